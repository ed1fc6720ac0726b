"""A remark on a run: which rule it comes from, how grave it is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from npusim.lab.files.lab_run import LabRun

FAULT, DOUBT, NOTE = "fault", "doubt", "note"
"""The run contradicts itself; it was not measured as it should be; worth knowing."""


@dataclass(frozen=True)
class Remark:
    """A remark of the measurement linter. rule: its name."""

    rule: str
    severity: str
    message: str


Rule = Callable[[LabRun], Iterator[Remark]]
"""What it remarks on a run, whose setting holds what the user gave too."""
