"""The plans that --plan auto chose from, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npusim.cli.output import figure, table
from npusim.metric_row import Shown
from npusim.metrics import shown

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.serving.planning import Found


def print_front(console: Console, found: Found) -> None:
    """The plans that none beats, the chosen one marked."""
    from npusim.serving.planning import PlanScore

    chosen = found.best.plan
    told = [row for row in shown(Shown.BRIEF) if row.quantity in PlanScore.__dataclass_fields__]
    rows = [
        [
            f"{score.plan.name}{' *' if score.plan == chosen else ''}",
            str(score.plan.cards),
            *(figure(getattr(score, row.quantity), row.digits) for row in told),
            score.bound,
        ]
        for score in found.front
    ]
    headings = ("plan", "cards", *(f"{row.label} [{row.unit}]" for row in told), "decode bound")
    title = f"Of {found.considered:,} plans {found.without_room:,} have no room; those that no other beats"
    console.print(table(headings, rows, title))
