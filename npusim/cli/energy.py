"""The energy of a step or a run in a terminal: a bar a component, and what published tables would have said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npusim.cli.output import figure, table

if TYPE_CHECKING:
    from npusim.cli.fitted_table import FittedTable

_BAR_WIDTH, _BAR = 40, "#"
_LEAST = 0.0005
"""Part of the energy below which a component is left out."""


def energy_breakdown(answer: dict[str, Any]) -> FittedTable:
    """The components of the energy, the largest first."""
    return table(("energy", "J", "share", ""), _rows(answer["energy_breakdown_j"]), "What the energy is spent on")


def _rows(breakdown: dict[str, Any]) -> Iterator[list[str]]:
    known = {name: each["value"] if isinstance(each, dict) else each for name, each in breakdown.items()}
    total = sum(known.values())
    for name in sorted(known, key=lambda name: -known[name]):
        share = known[name] / total
        if share >= _LEAST:
            bar = _BAR * round(share * _BAR_WIDTH)
            yield [name.replace("_", " "), figure(breakdown[name], 4), f"{share:.1%}", bar]


def reconciliation_text(answer: dict[str, Any]) -> str:
    """How the bottom-up sums of the tables compare with the energies that the figures are made from."""
    told = ", ".join(
        f"{part.replace('_', ' ')} {ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        for part, ratio in answer["energy_reconciliation"].items()
    )
    return f"Published energies of accesses, summed bottom up, over those of the description: {told}."
