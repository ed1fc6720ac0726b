"""The monitoring log that furiosa-perf writes beside a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from npusim.errors import UserError
from npusim.lab.files.files import csv_lines, read_lab_text
from npusim.lab.files.lab_run import Conduct
from npusim.lab.files.power_log import MONITORING, PowerLog


def read_log(path: Path) -> PowerLog:
    """A monitoring log of furiosa-perf. Raises UserError."""
    header, lines = csv_lines(path, read_lab_text(path))
    missing = [name for name in MONITORING if name not in header]
    if missing:
        raise UserError(str(path), missing[0], "the column is missing; give the log as furiosa-perf wrote it")
    if not lines:
        raise UserError(str(path), "", "has no samples; give the log of a finished run")
    watts = np.array([line.reading("power_consumption").value for line in lines])
    return PowerLog(watts, tuple(line["timestamp"] for line in lines))


def logged(conduct: Conduct, log: PowerLog) -> Conduct:
    """`conduct` with the log and its samples counted."""
    samples = len(log.watts)
    return replace(conduct, power_samples=samples, idle_samples=samples - len(log.at_work), log=log)
