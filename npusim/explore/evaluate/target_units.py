"""Units in which a table of targets gives its values, and what one of each is worth in the unit of a claim's figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from npusim.explore.evaluate.claim import USERS_AT_SLO, Claim
from npusim.explore.evaluate.peaks import PEAKS
from npusim.explore.evaluate.target_table import Target
from npusim.metric_names import metric
from npusim.metrics import UNIT_NAMES

RATIO, USERS = "x", "users"
_KOREAN: Mapping[str, Mapping[str, float]] = {
    "ms": {"밀리초": 1.0, "초": 1e3},
    "tokens/s": {"토큰/초": 1.0},
    "tokens/s/user": {"토큰/초/사용자": 1.0, "토큰/초": 1.0, "tokens/s/user": 1.0},
    "tokens/J": {"토큰/J": 1.0, "토큰/줄": 1.0, "tokens/J": 1.0},
    "W": {"W": 1.0, "kW": 1e3, "와트": 1.0},
    RATIO: {"배": 1.0, "times": 1.0},
    USERS: {"명": 1.0},
    "": {"": 1.0},
}
"""How Korean forms spell them, beside what files of labs do (`metrics.UNIT_NAMES`)."""


def unit_of(claim: Claim) -> str:
    """The unit of a claim's figure."""
    if claim.baseline is not None:
        return RATIO
    if claim.is_peak:
        return PEAKS[claim.figure].unit
    row = metric(claim.metric)
    return (USERS if claim.figure == USERS_AT_SLO else "") if row is None else row.unit


def worth(unit: str, claim: Claim) -> float | None:
    """What one `unit` is worth in the unit of the claim's figure; None where it is not known to measure the same."""
    return _spellings(unit_of(claim)).get(unit.strip())


def require_claims(targets: Sequence[Target], claims: Sequence[Claim]) -> None:
    """Raises ValueError unless every target that names a claim names one of these, in its unit and on its side."""
    known = {claim.name: claim for claim in claims}
    for target in targets:
        if target.claim is None:
            continue
        where, claim = f"targets: '{target.item}'", known.get(target.claim)
        if claim is None:
            raise ValueError(f"{where}: claim: '{target.claim}' is no claim; known: {', '.join(known)}")
        if worth(target.unit, claim) is None:
            units = ", ".join(repr(each) for each in _spellings(unit_of(claim)) if each)
            raise ValueError(f"{where}: unit: '{target.unit}' does not measure {claim.metric}; use {units or 'none'}")
        if target.wants_more != claim.wants_more:
            side = "at_least" if claim.wants_more else "at_most"
            raise ValueError(f"{where}: years: claim '{claim.name}' is {side}; its targets are too")


def _spellings(own: str) -> Mapping[str, float]:
    return {own: 1.0, **UNIT_NAMES.get(own, {}), **_KOREAN.get(own, {})}
