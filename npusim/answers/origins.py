"""Where the numbers of an architecture come from: facts or assumptions, its own or another's."""

from __future__ import annotations

from collections import Counter
from typing import Any

from npusim.hardware.calibration import Calibration, same_numbers
from npusim.hardware.catalog import load_system, root_of
from npusim.hardware.system import System
from npusim.ledger import KINDS, Quantity, provenances

_CALIBRATED, _FITTED = "calibrated", "fitted"
"""Kind of a number that a calibration gives, and how the source of one begins that was fitted beforehand."""
_DIGITS = 3
"""Of a share of some hundred numbers."""


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


def numbers_by_kind(name_or_path: str, system: System) -> dict[str, Any]:
    """How many numbers of an architecture are of which kind, and which share of them is fact.

    of_other_silicon: of all of these, those taken over unchanged from an architecture that `chip.reference` does not
    name; fact: the share, 0 to 1, that is neither assumed, nor fitted to measured points, nor of other silicon; fitted:
    the share of the numbers that were fitted, by a calibration or as their source says.
    """
    found = list(provenances("", system))
    counts = Counter[str](each.quantity.kind for each in found)
    foreign = _of_other_silicon(name_or_path, system)
    own = [each.quantity for each in found if each.path not in foreign]
    fitted = sum(_is_fitted(each) for each in own)
    facts = sum(not each.is_assumed and not _is_fitted(each) for each in own)
    told = {"all": len(found), **{kind: counts[kind] for kind in KINDS}}
    return {
        **told,
        "of_other_silicon": len(foreign),
        "fact": round(facts / len(found), _DIGITS),
        "fitted": round(fitted / len(found), _DIGITS),
    }


def _is_fitted(quantity: Quantity) -> bool:
    return not quantity.is_assumed and (quantity.kind == _CALIBRATED or quantity.source.startswith(_FITTED))


def _of_other_silicon(name_or_path: str, system: System) -> frozenset[str]:
    """Paths of the numbers that it has unchanged from the root of its lineage, unless that is its reference."""
    root = root_of(name_or_path)
    base = None if root is None else load_system(str(root), uncalibrated=True)
    if base is None or system.chip.reference == base.name:
        return frozenset()
    return same_numbers(base, load_system(name_or_path, uncalibrated=True))
