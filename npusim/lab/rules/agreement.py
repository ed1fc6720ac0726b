"""When two ways to one figure disagree, and which slip between units would make them agree."""

from __future__ import annotations

from npusim.bounds.reading import LEAST, Reading
from npusim.lab.files.lab_run import LabRun

EXACT = 0.003
"""Relative difference that digits of a tool's own sums leave where one figure follows from others by definition
(0.0007 at most over 108 runs on one H200, November 2026)."""
CLOCKS = 0.02
"""Relative difference between figures of several clocks and counters: rates over a run, energy over watts."""


def apart(one: Reading, other: Reading, tolerance: float) -> bool:
    """Whether no values that round to the two figures lie within `tolerance` of each other."""
    return one.low > other.high * (1.0 + tolerance) or one.high < other.low * (1.0 - tolerance)


def product(one: Reading, other: Reading) -> Reading:
    """One figure times another."""
    return Reading(one.value * other.value, max(one.low, 0.0) * max(other.low, 0.0), one.high * other.high)


def quotient(one: Reading, other: Reading) -> Reading:
    """One figure over another."""
    low, high = max(one.low, 0.0) / max(other.high, LEAST), one.high / max(other.low, LEAST)
    return Reading(one.value / max(other.value, LEAST), low, high)


def sum_of(one: Reading, other: Reading) -> Reading:
    """The sum of two figures."""
    return Reading(one.value + other.value, one.low + other.low, one.high + other.high)


def slip(run: LabRun, told: Reading, computed: Reading, tolerance: float) -> str:
    """The slip that explains a figure by another way to it, as the end of a sentence; "" where none fits."""
    for factor, says in _slips(run):
        if not apart(told, computed.times(factor), tolerance):
            return f"; it fits if {says}"
    return ""


def _slips(run: LabRun) -> list[tuple[float, str]]:
    """What a figure that was given so is multiplied by, and how to say it."""
    setting = run.setting
    found = [
        (1e3, "milli-units were given as units"),
        (1e-3, "thousands were given as units"),
        (60.0, "a figure per minute was given as one per second"),
    ]
    if setting.isl and setting.osl:
        share = (setting.isl + setting.osl) / setting.osl
        found += [(share, "prompts were counted with the outputs"), (1.0 / share, "prompts were left out")]
    for count, noun in ((setting.cards, "card"), (setting.users, "user")):
        if count is not None and count > 1:
            found += [(1.0 / count, f"that of one {noun} was given for all"), (count, f"all {noun}s were given as one")]
    return found
