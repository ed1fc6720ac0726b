"""A run as a lab's files describe it: what ran, how it was measured, what was measured. None: the files do not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from npusim.bounds.reading import Reading

BURST, CLOSED = "burst", "closed"


@dataclass(frozen=True)
class RunConditions:
    """What ran on what. device: the maker's or a shipped name; isl, osl: (mean) tokens of a request; users: most
    requests in flight; runtime: backend and version as the files name it."""

    model: str | None = None
    precision: str | None = None
    kv_precision: str | None = None
    device: str | None = None
    cards: int | None = None
    tensor_parallel: int | None = None
    runtime: str | None = None
    isl: float | None = None
    osl: float | None = None
    users: float | None = None

    def filled(self, other: RunConditions) -> RunConditions:
        """This setting, and where it says nothing what `other` says."""
        return replace(self, **{name: value for name, value in vars(other).items() if getattr(self, name) is None})


@dataclass(frozen=True)
class Conduct:
    """How it was measured.

    arrival: burst, closed, or "rate" for requests that come at a rate. completed, failed: requests. prompts_differ:
    True where every prompt is random. lengths_fixed: True where every request has isl and osl tokens. expected_osl:
    output tokens that were asked for. warm_up: how it was kept apart. tokens_per_step: most tokens that a step gave a
    sequence. power_scope: "cards", "server", "wall". power_samples, idle_samples: of the power log, and those of them
    with no card at work. remarks, notes: what the files say of the run, to be doubted and to be known.
    """

    arrival: str | None = None
    requests: int | None = None
    completed: int | None = None
    failed: int | None = None
    duration_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    expected_osl: float | None = None
    prompts_differ: bool | None = None
    lengths_fixed: bool = False
    tokens_per_step: float = 1.0
    power_scope: str | None = None
    power_samples: int | None = None
    idle_samples: int | None = None
    warm_up: str | None = None
    firmware: str | None = None
    sdk: str | None = None
    date: str | None = None
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabRun:
    """One run. location: file with line or key; tool: that wrote it; figures: by npusim's names (ttft_ms_mean,
    output_tokens_per_s, power_w ...) in their units."""

    location: str
    tool: str
    setting: RunConditions
    figures: Mapping[str, Reading]
    conduct: Conduct = field(default_factory=Conduct)
