"""A credibility card after NASA-STD-7009B: a level from 0 to 4 for each factor, with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from npusim.explore.evaluate.decision import Judged
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibrated_systems
from npusim.mapping.deployment import Deployment
from npusim.words import Phrase

_PEDIGREE = {"assumed": 1, "derived": 2, "datasheet": 3, "calibrated": 3, "measured": 4}

_VERIFIED = Phrase(
    "Closed forms, conservation laws, properties and golden results are tested with every change; nobody outside the "
    "project has reviewed them."
)
_INPUTS = Phrase("Model shapes are read from published configurations; loads are as claimed.")


@dataclass(frozen=True)
class Factor:
    """A factor of credibility. level: 0 (nothing) to 4 (best), None where it is not assessed."""

    name: str
    level: int | None
    reason: Phrase


def credibility(deployment: Deployment, judged: Sequence[Judged]) -> list[Factor]:
    """The factors for the predictions of one architecture."""
    return [
        _data_pedigree(deployment, judged),
        Factor("Verification", 2, _VERIFIED),
        _validation(deployment, judged),
        Factor("Input pedigree", 3, _INPUTS),
        _uncertainty(deployment),
        _robustness(judged),
        Factor("Use history", 0, Phrase("No earlier decision that used this tool is on record.")),
        Factor("Management", 3, Phrase("Versioned, with a manifest that makes the result again.")),
        Factor("People", None, Phrase("Not assessed: the tool does not know who uses it.")),
    ]


def _data_pedigree(deployment: Deployment, judged: Sequence[Judged]) -> Factor:
    kinds = Counter(item.quantity.kind for item in deployment.provenances())
    deciding = [decider.quantity.kind for each in judged for decider in each.deciders]
    level = min((_PEDIGREE[kind] for kind in deciding), default=max(_PEDIGREE[kind] for kind in kinds))
    worst = next((kind for kind in deciding if _PEDIGREE[kind] == level), None)
    reason = Phrase(
        "Numbers by kind: {measured} measured, {datasheet} datasheet, {derived} derived, {calibrated} calibrated, "
        "{assumed} assumed; the weakest of those that decide a claim: {worst}.",
        dict.fromkeys(_PEDIGREE, 0) | dict(kinds) | {"worst": Phrase(worst or "-")},
    )
    return Factor("Data pedigree", level, reason)


def _validation(deployment: Deployment, judged: Sequence[Judged]) -> Factor:
    """Three for a calibrated chip whose measured runs are near every claim, two where a claim is far from them."""
    calibration, system = deployment.calibration, deployment.system
    if calibration is not None:
        told: dict[str, Any] = {
            "source": calibration.source,
            "date": calibration.date,
            "errors": _left_out(calibration),
        }
        far = dict.fromkeys(name for each in judged if each.neighbour is not None for name in each.neighbour.far)
        if not far:
            reason = Phrase("Calibrated to {source} ({date}); cross-validated mean error: {errors}.", told)
            return Factor("Validation", 3, reason)
        reason = Phrase(
            "Calibrated to {source} ({date}); cross-validated mean error: {errors}. A claim is more than a factor of "
            "two from every measured run in: {far}.",
            told | {"far": ", ".join(far)},
        )
        return Factor("Validation", 2, reason)
    siblings = [name for name in calibrated_systems(system.chip.unit.kind) if name != system.name]
    if siblings:
        told = {"siblings": ", ".join(siblings)}
        reason = Phrase("Not calibrated to runs of this chip; the same kind of unit was, on {siblings}.", told)
        return Factor("Validation", 1, reason)
    return Factor("Validation", 0, Phrase("Not calibrated to runs of this chip, nor of its kind of unit."))


def _left_out(calibration: Calibration) -> Phrase:
    """The cross-validated errors of all figures together, `npusim validate` has each."""
    errors = [100.0 * part.mape for part in calibration.left_out]
    if not errors:
        return Phrase("-")
    ends = {"n_low": f"{min(errors):.1f}", "n_high": f"{max(errors):.1f}", "n_median": f"{median(errors):.1f}"}
    told = ends | {"n_count": str(len(errors))}
    return Phrase("{n_low} % to {n_high} % over {n_count} figures, {n_median} % in the median", told)


def _uncertainty(deployment: Deployment) -> Factor:
    if deployment.calibration is not None:
        return Factor(
            "Uncertainty", 3, Phrase("Intervals include the ranges of all numbers and the cross-validated error.")
        )
    reason = Phrase(
        "Intervals hold the ranges of all numbers and, in place of the model's own error that nothing measured on this "
        "chip, the largest that a calibration of another chip left; the true one may be larger."
    )
    return Factor("Uncertainty", 2, reason)


def _robustness(judged: Sequence[Judged]) -> Factor:
    if any(each.deciders for each in judged):
        reason = Phrase("Every ranged number was moved to both ends of its range, one at a time.")
        return Factor("Robustness", 2, reason)
    return Factor("Robustness", 1, Phrase("No number has a range that moves a claim."))
