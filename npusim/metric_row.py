"""What a row of the table of metrics (`metrics.py`) says of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Shown(IntEnum):
    """Where a figure of a run is shown: there, and wherever the members before it say."""

    LAB = 0  # nowhere: labs tell it, and no run computes it
    COMPARED = 1  # where runs are compared with measured tables
    RUN = 2  # in the answer of `npusim run`
    FOLDED = 3  # in CSV, sheets (folded away), sweeps and claims
    TABLE = 4  # unfolded in sheets, in a line of its own in terminals
    PAGE = 5  # in the table of a report
    BRIEF = 6  # in the short tables of terminals


@dataclass(frozen=True)
class Alias:
    """What a tool calls a figure, {} standing for the statistic, and what one of its units is worth in the figure's."""

    tool: str
    text: str
    factor: float = 1.0


@dataclass(frozen=True)
class Follows:
    """A figure is an estimate of a design to a power, times a constant; in_value: that power and constant are 1."""

    estimate: str
    power: float = 1.0
    in_value: bool = True


@dataclass(frozen=True)
class Drawn:
    """The chart of a figure: name of its file, title, column on its x axis; whether its y axis is logarithmic.

    position: among the charts.
    """

    slug: str
    title: str
    against: str
    log: bool
    position: int


@dataclass(frozen=True)
class Metric:
    """One figure. name: its one spelling, with the unit; quantity and statistic: its parts, where it is a mean or
    percentile (`ttft_ms`, `p50`), else the name itself and "".

    label, korean: heading in tables; meaning: in a sentence; definition: how it is measured; number: format in sheets;
    better: "less", "more", "" for neither; interval: tables have its low and high; exact: no draw of machines gives it
    a range; best: position among the columns of the best cells, 0 for none; strained: "any" where one above zero is
    marked in sheets, "fewer" where one below the users is; inverse_of: of which it is one over, per second;
    compared_with: the figure whose prediction a lab's is compared with, in place of its own.

    follows: the estimate by which a design is judged for it; error_from: figures whose errors join to its own where
    nothing measured it; measured_as: by what it was of, the figure and what that was of, whose error stands for its own
    where the former were never measured.
    """

    name: str
    unit: str
    label: str
    korean: str
    group: str
    number: str
    better: str = ""
    meaning: str = ""
    definition: str = ""
    quantity: str = ""
    statistic: str = ""
    shown: Shown = Shown.PAGE
    interval: bool = False
    exact: bool = False
    width: float = 11
    best: int = 0
    strained: str = ""
    inverse_of: str = ""
    compared_with: str = ""
    drawn: Drawn | None = None
    follows: Follows | None = None
    error_from: tuple[str, ...] = ()
    measured_as: Mapping[str, tuple[str, str]] = field(default_factory=dict, hash=False)
    aliases: tuple[Alias, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantity", self.quantity or self.name)
        object.__setattr__(self, "meaning", self.meaning or lowered(self.label))

    @property
    def percent(self) -> bool:
        """Whether it is a fraction that is shown in percent."""
        return self.number.endswith("%")

    @property
    def digits(self) -> int:
        """Digits after the point."""
        return len(self.number.rstrip("%").partition(".")[2])


def lowered(label: str) -> str:
    """A heading as it stands within a sentence."""
    return label if label[1:2].isupper() else f"{label[:1].lower()}{label[1:]}"
