"""The headlines of a K-Perf prediction in words: a line a figure, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from npusim.kperf.table import BEST, column, headlines
from npusim.metric_names import best_label
from npusim.scales import MOST_MS
from npusim.units import MS_PER_S, plain_number
from npusim.words import Say

_WHOLE = 1e3
"""Figures from which digits after the point say nothing."""
MEANS = (
    "90 % prediction interval: a measurement under these conditions is expected inside it nine times out of ten; a "
    "claim outside it needs evidence of its own."
)
"""What an interval says to whoever judges a claim."""


def headline_lines(cells: pd.DataFrame, say: Say) -> list[tuple[str, list[str]]]:
    """Label of each line, and its text of every model; the first line names the models."""
    models = [list(_told(line, say)) for line in headlines(cells).to_dict("records")]
    labels = [label for label, _ in _lines(say)]
    return [(label, [told[position] for told in models]) for position, label in enumerate(labels)]


def _lines(say: Say) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Label of each line, and the columns of the headlines that it is made of."""
    yield say("Model"), ("model",)
    yield say("Precision, KV"), ("precision",)
    yield say("Cards"), ("cards",)
    yield say("Cells predicted"), ("count",)
    for row in BEST:
        yield f"{say(best_label(row))} [{say(row.unit)}]", (row.name, f"{row.name}_low", f"{row.name}_high")
        yield f"- {say('at in / out × users')}", (f"{row.name}_at",)
    yield say("Fewest users in the grid"), ("fewest",)
    speed = column("tokens_per_s_per_user").label_in(say)
    yield f"- {speed}, {say('slowest to fastest shape')}", ("speed_low", "speed_high")
    yield f"- {say('TTFT mean')}, {say('shortest to longest')}", ("ttft_low", "ttft_high")


def _told(line: Mapping[Any, Any], say: Say) -> Iterator[str]:
    """The text of each line for one model."""
    for _, names in _lines(say):
        first, *rest = (line[name] for name in names)
        if pd.isna(first):
            yield "-"
        elif isinstance(first, str):
            yield say(first)
        elif not rest:
            yield f"{int(first):,}"
        elif len(rest) == 1:
            texts = [
                _duration_text(value) if names[0].startswith("ttft") else _figure(value) for value in (first, *rest)
            ]
            yield texts[0] if texts[0] == texts[1] else say("{low} to {high}", low=texts[0], high=texts[1])
        elif pd.isna(rest[0]):
            yield _figure(first)
        else:
            low, high = map(_figure, rest)
            yield f"{_figure(first)} ({say('{low} to {high}', low=low, high=high)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE else plain_number(value)


def _duration_text(value_ms: float) -> str:
    """Milliseconds, or seconds where these are many."""
    return f"{value_ms / MS_PER_S:,.1f} s" if value_ms >= MOST_MS else f"{_figure(value_ms)} ms"
