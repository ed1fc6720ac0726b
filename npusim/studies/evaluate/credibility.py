"""A credibility card after NASA-STD-7009B: a level from 0 to 4 for each factor, with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from npusim.hardware.catalog import calibrated_systems
from npusim.hardware.overlay import Overlay
from npusim.mapping.deployment import Deployment
from npusim.studies.evaluate.decision import Judged

_PEDIGREE = {"assumed": 1, "derived": 2, "datasheet": 3, "calibrated": 3, "measured": 4}


@dataclass(frozen=True)
class Factor:
    """A factor of credibility. level: 0 (nothing) to 4 (best), None where it is not assessed; reason: a text of the
    catalogue and the values of its places."""

    name: str
    level: int | None
    reason: str
    values: dict[str, Any]


def credibility(deployment: Deployment, judged: Sequence[Judged]) -> list[Factor]:
    """The factors for the predictions of one architecture."""
    return [
        _data_pedigree(deployment, judged),
        Factor(
            "Verification",
            2,
            "Closed forms, conservation laws, properties and golden results are tested with every change; nobody "
            "outside the project has reviewed them.",
            {},
        ),
        _validation(deployment),
        Factor("Input pedigree", 3, "Model shapes are read from published configurations; loads are as claimed.", {}),
        _uncertainty(judged),
        _robustness(judged),
        Factor("Use history", 0, "No earlier decision that used this tool is on record.", {}),
        Factor("Management", 3, "Versioned, with a manifest that makes the result again.", {}),
        Factor("People", None, "Not assessed: the tool does not know who uses it.", {}),
    ]


def _data_pedigree(deployment: Deployment, judged: Sequence[Judged]) -> Factor:
    kinds = Counter(item.quantity.kind for item in deployment.certificates())
    deciding = [decider.quantity.kind for each in judged for decider in each.deciders]
    level = min((_PEDIGREE[kind] for kind in deciding), default=max(_PEDIGREE[kind] for kind in kinds))
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    worst = ", ".join(dict.fromkeys(kind for kind in deciding if _PEDIGREE[kind] == level)) or "-"
    reason = "Numbers by kind: {counted}; the weakest of those that decide a claim: {worst}."
    return Factor("Data pedigree", level, reason, {"counted": counted, "worst": worst})


def _validation(deployment: Deployment) -> Factor:
    overlay, system = deployment.overlay, deployment.system
    if overlay is not None:
        reason = "Calibrated to {source} ({date}); mean error on groups of runs left out: {errors}."
        values = {"source": overlay.source, "date": overlay.date, "errors": ", ".join(_left_out(overlay)) or "-"}
        return Factor("Validation", 3, reason, values)
    siblings = [name for name in calibrated_systems(system.chip.unit.kind) if name != system.name]
    if siblings:
        reason = "No measured run of this chip; the same kind of unit was validated on {siblings}."
        return Factor("Validation", 1, reason, {"siblings": ", ".join(siblings)})
    return Factor("Validation", 0, "No measured run of this chip or of its kind of unit.", {})


def _left_out(overlay: Overlay) -> Iterator[str]:
    for part in overlay.left_out:
        yield f"{part.table} {part.metric} {part.regime} {100.0 * part.mape:.1f} %"


def _uncertainty(judged: Sequence[Judged]) -> Factor:
    explained = [each.prediction.unexplained for each in judged if each.prediction is not None]
    if any(width > 0.0 for width in explained):
        return Factor(
            "Uncertainty", 3, "Intervals hold the ranges of all numbers and the model's own left-out error.", {}
        )
    return Factor(
        "Uncertainty",
        2,
        "Intervals hold the ranges of all numbers, not the model's own error: nothing measured it.",
        {},
    )


def _robustness(judged: Sequence[Judged]) -> Factor:
    if any(each.deciders for each in judged):
        return Factor("Robustness", 2, "Every ranged number was moved to both ends of its range, one at a time.", {})
    return Factor("Robustness", 1, "No number has a range that moves a claim.", {})
