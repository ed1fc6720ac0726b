"""Logs of card power over time, and the two ways in which their mean is read wrongly.

furiosa-perf sums the watts of cards that are at work and writes 0 where none is: a mean over all its samples reads too
low wherever cards rest. A log that holds only samples at work (furiosa-ai/vllm, --enable-device-monitor) reads too
high over a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from npusim.bounds.reading import Reading

MONITORING = ("timestamp", "used_device_num", "power_consumption")


@dataclass(frozen=True)
class PowerLog:
    """watts: of every sample, all cards together, (samples,); cards: of each card, (samples, cards), None where the log
    does not tell them apart. times: when, as the log writes it, "" where it does not; seconds: the same since 1970, NaN
    where it is no time."""

    watts: np.ndarray
    times: tuple[str, ...] = ()
    cards: np.ndarray | None = None
    seconds: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", np.array([seconds_of(text) for text in self.times]))

    @property
    def at_work(self) -> np.ndarray:
        return self.watts[self.watts > 0.0]

    def figures(self) -> dict[str, Reading]:
        """power_w_active and power_w_samples: the means over samples at work and over all."""
        found = {"power_w_samples": float(self.watts.mean())}
        if len(self.at_work):
            found["power_w_active"] = float(self.at_work.mean())
        return {name: Reading.exact(value) for name, value in found.items()}

    @property
    def span_s(self) -> float | None:
        """Seconds that it covers, a sample's own among them; None without times."""
        count = len(self.seconds)
        if count < _FEWEST or np.isnan(self.seconds).any():
            return None
        return float((self.seconds[-1] - self.seconds[0]) * count / (count - 1))


_FEWEST = 3
"""Samples from which on a log covers a time."""


def seconds_of(text: str) -> float:
    """A time as a log writes it (ISO 8601, or seconds since 1970) in seconds since then; NaN for none."""
    plain = text.strip()
    try:
        return float(plain)
    except ValueError:
        return _seconds_of_date(plain)


def _seconds_of_date(plain: str) -> float:
    try:
        return datetime.fromisoformat(plain).timestamp()
    except ValueError:
        return float("nan")
