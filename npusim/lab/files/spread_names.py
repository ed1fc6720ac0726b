"""What tools call the least, the greatest and the standard deviation of a quantity, of which npusim predicts none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from npusim.metric_names import figure_of, metric

_WORDS = ("min", "max", "std")
_MEAN = ("mean", "Mean", "avg")


def spreads_in(tool: str, keys: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    """Key, name (ttft_ms_max) and worth of the unit of each such figure among a tool's keys."""
    for key in keys:
        for word in _WORDS:
            found = next((at for mean in _MEAN if (at := figure_of(tool, key.replace(word, mean, 1)))), None)
            row = None if word not in key or found is None else metric(found[0])
            if row is not None and found is not None and row.statistic == "mean":
                yield key, f"{row.quantity}_{word}", found[1]
