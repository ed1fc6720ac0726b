"""What a proposal must have shown before a claim is accepted that is predicted to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npusim.explore.evaluate.deciders import ClaimDecider
from npusim.explore.evaluate.neighbour import Neighbour
from npusim.explore.evaluate.proposal import Maturity
from npusim.hardware.catalog import base_system, load_system, shipped_systems
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment
from npusim.words import Phrase

LEAST_TRL = 4
"""Technology readiness level from which something works in a laboratory (ISO 16290:2013)."""
TRL_SOURCE = "ISO 16290:2013"
TRL_RULE = Phrase(
    "Acceptance waits until the technology readiness level at entry is 4 or more: the breadboard is shown to work in a "
    "laboratory. Below that a claim that is predicted to hold is conditional."
)
"""The rule in words; that acceptance hangs on it is npusim's own, the levels are those of the standard."""
ASSUMED = "assumed"
HANGS = "it hangs on numbers that nobody has measured: {names}"
"""Why a chip that is no silicon waits."""


def withheld(
    maturity: Maturity,
    arch: str,
    deployment: Deployment,
    deciders: Sequence[ClaimDecider],
    neighbour: Neighbour | None,
) -> tuple[Phrase, ...]:
    """Why a claim is not accepted though it is predicted to hold; none where nothing stands against it.

    The rule: the technology works in a laboratory at least; no assumed number is given without a range; and the chip is
    silicon, or none of the numbers that decide is assumed, or runs near the claim were measured.
    """
    return tuple(_reasons(maturity, arch, deployment, deciders, neighbour))


def _reasons(
    maturity: Maturity,
    arch: str,
    deployment: Deployment,
    deciders: Sequence[ClaimDecider],
    neighbour: Neighbour | None,
) -> Iterator[Phrase]:
    if maturity.trl < LEAST_TRL:
        level = {"trl": maturity.trl, "least": LEAST_TRL}
        yield Phrase(
            "its technology readiness level is {trl}; {least} or more is needed (shown in a laboratory)", level
        )
    points = without_range(arch)
    if points:
        told = {"count": len(points), "names": ", ".join(points[:3])}
        yield Phrase("{count} assumed numbers of unpublished structure have a range of zero width: {names}", told)
    if deployment.system.silicon or (neighbour is not None and neighbour.same_class and not neighbour.far):
        return
    assumed = [f"{each.owner}.{each.path}" for each in deciders if each.quantity.kind == ASSUMED]
    if assumed:
        yield Phrase(HANGS, {"names": ", ".join(assumed)})


def without_range(arch: str) -> list[str]:
    """Paths of assumed numbers whose range is a point, of those that a proposal's own architecture gives itself."""
    if arch in shipped_systems():
        return []
    base = base_system(arch)
    known = {} if base is None else {item.path: item.quantity for item in provenances("", base)}
    return [
        item.path
        for item in provenances("", load_system(arch, uncalibrated=True))
        if item.quantity.kind == ASSUMED
        and item.quantity.low is not None
        and item.quantity.low == item.quantity.high
        and known.get(item.path) != item.quantity
    ]
