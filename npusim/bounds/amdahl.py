"""Amdahl's law: what more chips can gain, and which serial part a gain implies (Amdahl 1967)."""

from __future__ import annotations

from npusim.bounds.finding import Finding
from npusim.bounds.reading import LEAST, Reading
from npusim.words import Phrase

NAME = "Amdahl's law"


def gain(metric: str, few: tuple[int, Reading], many: tuple[int, Reading]) -> Finding:
    """A latency on more chips against the same on fewer: the gain is at most the ratio of the chips.

    few, many: (chips, latency). Not a hard bound: memory on the chips may come to hold what one chip had to fetch.
    """
    ratio = many[0] / few[0]
    low, high = few[1].low / many[1].high / ratio, few[1].high / max(many[1].low, LEAST) / ratio
    told = {"ratio": f"{ratio:g}", "many": many[0], "few": few[0]}
    says = Phrase("the {ratio}-fold gain that {many} chips can have over {few}", told)
    return Finding(NAME, metric, low, high, says, few[1].low / ratio, hard=False)


def serial_part(chips_ratio: float, speed_up: float) -> float:
    """Part of the work that does not spread, from S = 1 / (s + (1 - s) / n); negative beyond a linear gain."""
    return (chips_ratio / speed_up - 1.0) / (chips_ratio - 1.0)
