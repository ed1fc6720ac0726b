"""A claim's figure on other numbers, relative to that on its own: from the cost of a prompt and of a decode step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from npusim.explore.evaluate.proposal import Claim
from npusim.explore.one_changed import Change, estimates_of
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Follows
from npusim.metrics import metric


def relative(claim: Claim, deployment: Deployment, records: Records) -> np.ndarray:
    """The claim's figure on each of the records, relative to that on the deployment's own."""
    return _over_own(claim, deployment, estimate_designs(deployment, records, *claim.load))


def changed(claim: Claim, deployment: Deployment, changes: Sequence[Change]) -> np.ndarray:
    """The claim's figure under each change alone, relative to that without one."""
    return _over_own(claim, deployment, estimates_of(deployment, changes, *claim.load))


def _over_own(claim: Claim, deployment: Deployment, other: pd.DataFrame) -> np.ndarray:
    known = follows(claim)
    assert known is not None, claim.figure
    records = Records(deployment.machine, deployment.runtime_record)
    own = estimate_designs(deployment, records, *claim.load)
    return (other[known.estimate].to_numpy(float) / float(own[known.estimate].iloc[0])) ** known.power


def follows(claim: Claim) -> Follows | None:
    """The estimate that the claim's metric follows; None where none does."""
    row = metric(claim.figure)
    return None if row is None else row.follows


def relative_on(claim: Claim, deployment: Deployment, other: Deployment) -> np.ndarray:
    """The claim's figure on another deployment of the same plan, under other shared assumptions too, float64 (1,)."""
    records = Records(other.machine, other.runtime_record)
    return _over_own(claim, deployment, estimate_designs(other, records, *claim.load))
