"""A claim's figure on other numbers, relative to that on its own: from the cost of a prompt and of a decode step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from npusim.explore.evaluate.proposal import Claim
from npusim.explore.one_changed import OneChange, estimates_of
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared
from npusim.metric_row import Follows
from npusim.metrics import metric

_RECORDS = ("machine", "runtime_record")


def relative(claim: Claim, deployment: Deployment, records: Records) -> np.ndarray:
    """The claim's figure on each of the records, relative to that on the deployment's own."""
    return _over_own(claim, deployment, estimate_designs(deployment, records, *claim.load, figures=_needed(claim)))


def changed_estimates(claim: Claim, deployment: Deployment, changes: Sequence[OneChange]) -> np.ndarray:
    """The claim's figure under each change alone, relative to that without one."""
    return _over_own(claim, deployment, estimates_of(deployment, changes, *claim.load, _needed(claim)))


def _over_own(claim: Claim, deployment: Deployment, other: pd.DataFrame) -> np.ndarray:
    known = follows(claim)
    assert known is not None, claim.figure
    records = Records(deployment.machine, deployment.runtime_record)
    own = estimate_designs(deployment, records, *claim.load, figures=_needed(claim))
    return (other[known.estimate].to_numpy(float) / float(own[known.estimate].iloc[0])) ** known.power


def _needed(claim: Claim) -> tuple[str, ...]:
    known = follows(claim)
    return () if known is None else (known.estimate,)


def follows(claim: Claim) -> Follows | None:
    """The estimate that the claim's metric follows; None where none does."""
    row = metric(claim.figure)
    return None if row is None else row.follows


def ratios_on(
    claim: Claim, deployment: Deployment, others: Sequence[Deployment], figures: Mapping[str, Follows]
) -> dict[str, np.ndarray]:
    """Each of those figures on other deployments of the same plan, relative to that on the deployment's own, float64
    (others,); NaN where not one request has room. Shared assumptions of the others count too."""
    estimate = partial(estimate_designs, figures={known.estimate for known in figures.values()})
    own = estimate(deployment, Records(deployment.machine, deployment.runtime_record), *claim.load)
    if ranged_shared(deployment):
        parts = [estimate(each, Records(each.machine, each.runtime_record), *claim.load) for each in others]
        table = pd.concat(parts, ignore_index=True)
    else:
        records = Records(*(np.concatenate([getattr(each, name) for each in others]) for name in _RECORDS))
        table = estimate(deployment, records, *claim.load)
    return {
        name: (table[known.estimate].to_numpy(float) / float(own[known.estimate].iloc[0])) ** known.power
        for name, known in figures.items()
    }
