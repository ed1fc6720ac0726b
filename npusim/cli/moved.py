"""What moves a step or a run, in words and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npusim.cli.output import figure, table
from npusim.engine.elasticity import LARGE, SMALL, meaning

if TYPE_CHECKING:
    from npusim.cli.fitted_table import FittedTable

_LEAST = 0.0005
"""Part of the time below which a resource is not told."""
_HEADINGS = ("resource", f"{SMALL:.0%} more saves", f"{LARGE:.0%} more saves")


def moved_table(moved: dict[str, Any], title: str) -> FittedTable:
    """A line a resource that saves anything, the one that saves most first."""
    gains, elasticities = moved["gains"], moved["elasticities"]
    told = sorted((name for name in gains if gains[name] >= _LEAST), key=lambda name: -gains[name])
    rows = [[meaning(name), f"{1.0 - (1.0 + SMALL) ** elasticities[name]:.2%}", f"{gains[name]:.1%}"] for name in told]
    return table(_HEADINGS, rows, title, text_columns=1)


def floor_text(floor: dict[str, Any], unit: str) -> str:
    """What hides behind what."""
    host, chip = (f"{figure(floor[f'{name}_{unit}'], 2)} {unit}" for name in ("floor", "chip"))
    if floor["binds"]:
        return f"The chip's {chip} hide behind {host} of the host: a faster chip gains nothing, a faster host does."
    return f"{host} of the host hide behind the chip's {chip}: a chip faster than the host gains nothing more."
