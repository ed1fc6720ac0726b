"""The plans that --plan auto chose from, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npusim.cli.output import figure, table

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.serving.planning import Found


def print_front(console: Console, found: Found) -> None:
    """The plans that none beats, the chosen one marked."""
    chosen = found.best.plan
    rows = [
        [
            f"{score.plan.name}{' *' if score.plan == chosen else ''}",
            str(score.plan.cards),
            figure(score.ttft_ms, 1),
            figure(score.tpot_ms),
            figure(score.output_tokens_per_s, 1),
            figure(score.tokens_per_joule, 3),
            score.bound,
        ]
        for score in found.front
    ]
    headings = ("plan", "cards", "TTFT [ms]", "TPOT [ms]", "tokens/s", "tokens/J", "decode bound")
    title = f"Of {found.considered:,} plans {found.without_room:,} have no room; those that no other beats"
    console.print(table(headings, rows, title))
