"""A run as a lab's files describe it: what ran, how it was measured, what was measured. None: the files do not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from npusim.bounds.reading import Reading
from npusim.conditions.conditions import Conditions
from npusim.lab.files.power_log import PowerLog

BURST, CLOSED, RATE = "burst", "closed", "rate"


@dataclass(frozen=True)
class RunConditions(Conditions):
    """What ran on what, and under which conditions.

    device: the maker's or a shipped name; isl, osl: (mean) tokens of a request; users: most requests in flight.
    runtime: backend and version as the files name it.
    """

    model: str | None = None
    device: str | None = None
    isl: float | None = None
    osl: float | None = None
    users: float | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All that can be told of a run: what is asked, then the conditions."""
        conditions = tuple(each.name for each in fields(Conditions))
        return (*(each.name for each in fields(cls) if each.name not in conditions), *conditions)

    def values(self) -> dict[str, Any]:
        """All of it by name, None where it is not told."""
        return {name: getattr(self, name) for name in self.names()}


@dataclass(frozen=True)
class Conduct:
    """How it was measured.

    arrival: burst, closed, or "rate" for requests that come at a rate. completed, failed: requests. lengths_fixed: True
    where every request has isl and osl tokens. expected_isl, expected_osl: tokens that were asked for. warm_up: how it
    was kept apart. tokens_per_step: most tokens that a step gave a sequence; drafts_reported: whether the tool counted
    drafted tokens. power_scope: "cards", "server", "wall".
    power_samples, idle_samples: of the power log, and those of them with no card at work. date: of the run; dates: of
    other parts of it. also_counted: requests by other places of the files that count them; protocol_requests: that the
    tool sends. labels: words of people about the run. remarks, notes: what the files say of the run, to be doubted and
    to be known; contradictions: what of them cannot be true together. copied: whether its figures are the predicted
    ones of its file. log: of its power.
    """

    arrival: str | None = None
    requests: int | None = None
    completed: int | None = None
    failed: int | None = None
    duration_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    expected_isl: float | None = None
    expected_osl: float | None = None
    lengths_fixed: bool = False
    tokens_per_step: float = 1.0
    drafts_reported: bool = False
    power_scope: str | None = None
    power_samples: int | None = None
    idle_samples: int | None = None
    warm_up: str | None = None
    firmware: str | None = None
    sdk: str | None = None
    date: str | None = None
    dates: tuple[str, ...] = ()
    also_counted: tuple[tuple[str, int], ...] = ()
    protocol_requests: int | None = None
    labels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    copied: bool = False
    log: PowerLog | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LabRun:
    """One run. location: file with line or key; tool: that wrote it; figures: by npusim's names (ttft_ms_mean,
    output_tokens_per_s, power_w ...) in their units; aside: others that verdicts are not given on, to compare them
    with: the least, the greatest and the standard deviation of a quantity (ttft_ms_min, ..._max, ..._std). variant:
    what else sets it apart from runs of its setting."""

    location: str
    tool: str
    setting: RunConditions
    figures: Mapping[str, Reading]
    conduct: Conduct = field(default_factory=Conduct)
    aside: Mapping[str, Reading] = field(default_factory=dict)
    variant: tuple[str, ...] = ()
