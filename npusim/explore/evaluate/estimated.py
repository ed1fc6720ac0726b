"""A claim's figure on other numbers, relative to that on its own: from the cost of a prompt and of a decode step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from npusim.explore.evaluate.claim import Claim
from npusim.explore.one_changed import Change, estimates_of, estimates_on
from npusim.explore.sweep.estimate import Figures, estimate_figures
from npusim.explore.sweep.machines import Records
from npusim.mapping.deployment import Deployment
from npusim.metric_names import metric
from npusim.metric_row import Follows


def relative(claim: Claim, deployment: Deployment, records: Records) -> np.ndarray:
    """The claim's figure on each of the records, relative to that on the deployment's own."""
    return _over_own(claim, deployment, estimate_figures(deployment, records, *claim.load, _needed(claim)))


def changed_estimates(claim: Claim, deployment: Deployment, changes: Sequence[Change]) -> np.ndarray:
    """The claim's figure under each change alone, relative to that without one."""
    return _over_own(claim, deployment, estimates_of(deployment, changes, *claim.load, _needed(claim)))


def _over_own(claim: Claim, deployment: Deployment, other: Figures) -> np.ndarray:
    known = follows(claim)
    assert known is not None, claim.figure
    own = _own(deployment, claim.load, (known.estimate,))
    return _ratio(known, other, own)


def _ratio(known: Follows, other: Figures, own: Figures) -> np.ndarray:
    return np.asarray((other[known.estimate] / own[known.estimate][0]) ** known.power)


def _own(deployment: Deployment, load: tuple[int, int, int], figures: tuple[str, ...]) -> Figures:
    records = Records(deployment.machine, deployment.runtime_record)
    return estimate_figures(deployment, records, *load, figures)


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
    names = tuple(dict.fromkeys(known.estimate for known in figures.values()))
    own = _own(deployment, claim.load, names)
    found = estimates_on(deployment, others, claim.load, names)
    return {name: _ratio(known, found, own) for name, known in figures.items()}
