"""Where the numbers of an architecture come from: facts or assumptions, its own or another's."""

from __future__ import annotations

from collections import Counter
from typing import Any

from npusim.hardware.calibration import Calibration, same_numbers
from npusim.hardware.catalog import load_system, root_of
from npusim.hardware.system import System
from npusim.ledger import provenances

_FACTS = ("measured", "datasheet", "derived")
"""Kinds of numbers that a document or a measurement gives, by arithmetic or as they stand."""


def kinds_of_numbers(system: System) -> dict[str, float]:
    """How many numbers of an architecture are of each kind, and the fraction of them that are facts."""
    counts: Counter[str] = Counter(each.quantity.kind for each in provenances("", system))
    facts = sum(counts[kind] for kind in _FACTS)
    return {"facts_fraction": round(facts / counts.total(), 3), **dict(sorted(counts.items()))}


def origins(name_or_path: str, calibration: Calibration | None) -> dict[str, Any] | None:
    """How many numbers an architecture has from the one at the end of its lineage, and how many not; None where it
    inherits from none.

    inherited_calibrated: as there, and under its calibration; inherited: as there; replaced: another value, range or
    source; added: of parts that the other lacks; assumed: of all of these, those of kind `assumed`.
    """
    root = root_of(name_or_path)
    if root is None:
        return None
    base, system = load_system(str(root), uncalibrated=True), load_system(name_or_path, uncalibrated=True)
    inherited, known = same_numbers(base, system), {each.path for each in provenances("", base)}
    numbers = () if calibration is None else calibration.numbers
    calibrated = {each.path for each in numbers if each.owner == system.name}
    counts: Counter[str] = Counter()
    for each in provenances("", system):
        if each.path in inherited:
            counts["inherited_calibrated" if each.path in calibrated else "inherited"] += 1
        else:
            counts["replaced" if each.path in known else "added"] += 1
        counts["assumed"] += each.quantity.is_assumed and each.path not in calibrated
    kinds = ("inherited_calibrated", "inherited", "replaced", "added", "assumed")
    return {"base": base.name, **{kind: counts[kind] for kind in kinds}}
