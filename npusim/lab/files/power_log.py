"""Logs of card power over time, and the two ways in which their mean is read wrongly.

furiosa-perf sums the watts of cards that are at work and writes 0 where none is: a mean over all its samples reads too
low wherever cards rest. A log that holds only samples at work (furiosa-ai/vllm, --enable-device-monitor) reads too
high over a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.lab.files.files import csv_lines, read_lab_text
from npusim.lab.files.lab_run import Conduct

MONITORING = ("timestamp", "used_device_num", "power_consumption")


@dataclass(frozen=True)
class PowerLog:
    """watts: of every sample, all cards together, (samples,)."""

    watts: np.ndarray

    @property
    def at_work(self) -> np.ndarray:
        return self.watts[self.watts > 0.0]

    def figures(self) -> dict[str, Reading]:
        """power_w_active and power_w_samples: the means over samples at work and over all."""
        found = {"power_w_samples": float(self.watts.mean())}
        if len(self.at_work):
            found["power_w_active"] = float(self.at_work.mean())
        return {name: Reading.exact(value) for name, value in found.items()}

    def conduct(self, conduct: Conduct) -> Conduct:
        """`conduct` with the samples counted."""
        samples = len(self.watts)
        return replace(conduct, power_samples=samples, idle_samples=samples - len(self.at_work))


def read_log(path: Path) -> PowerLog:
    """A monitoring log of furiosa-perf. Raises UserError."""
    header, lines = csv_lines(path, read_lab_text(path))
    missing = [name for name in MONITORING if name not in header]
    if missing:
        raise UserError(str(path), missing[0], "the column is missing; give the log as furiosa-perf wrote it")
    if not lines:
        raise UserError(str(path), "", "has no samples; give the log of a finished run")
    return PowerLog(np.array([line.reading("power_consumption").value for line in lines]))
