"""What commands print of the conditions of their answers: what was told, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_conditions(console: Console, found: Iterable[Mapping[str, Any]]) -> None:
    """A line for each run or model. found: {told, assumed}, and arch and model where there are several."""
    from npusim.conditions.known import in_words

    for each in found:
        which = f"{each['model']} on {each['arch']}, " if "model" in each else ""
        console.print(f"Conditions: {which}{in_words(each)}.")
