"""What a simulated run leaves behind: times of requests, intervals between tokens, energy over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from npusim.kernels.power import ENERGY_PARTS
from npusim.serving.request import Request
from npusim.serving.step_log import StepLog


@dataclass
class Recorder:
    """Collected while a run goes on; arrays are joined once at its end.

    interval_s/interval_weight: times between successive tokens of a sequence and how many sequences saw each.
    span_s/span_j: every stretch of device time with its energy, all chips; parts_j: that energy by ENERGY_PARTS.
    log: of steps, None where nobody asks for one.
    """

    requests: Sequence[Request] = field(default_factory=list)
    refused: list[Request] = field(default_factory=list)
    preemptions: int = 0
    decode_steps: int = 0
    prefill_tokens: int = 0
    mixed_steps: int = 0
    parts_j: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ENERGY_PARTS, 0.0))
    peak_sequences: int = 0
    log: StepLog | None = None
    _interval_s: list[np.ndarray] = field(default_factory=list)
    _interval_weight: list[np.ndarray] = field(default_factory=list)
    _span_s: list[np.ndarray] = field(default_factory=list)
    _span_j: list[np.ndarray] = field(default_factory=list)

    def answered(self, request: Request) -> None:
        """A request was answered."""
        assert isinstance(self.requests, list)
        self.requests.append(request)

    def intervals(self, seconds: np.ndarray, weight: np.ndarray) -> None:
        self._interval_s.append(seconds)
        self._interval_weight.append(weight)

    def spans(self, seconds: np.ndarray, joules: np.ndarray) -> None:
        self._span_s.append(seconds)
        self._span_j.append(joules)

    def spend(self, parts_j: np.ndarray) -> None:
        """Add joules by ENERGY_PARTS, in their order."""
        for name, joules in zip(ENERGY_PARTS, parts_j.tolist(), strict=True):
            self.parts_j[name] += joules

    @property
    def interval_s(self) -> np.ndarray:
        return np.concatenate(self._interval_s) if self._interval_s else np.zeros(0)

    @property
    def interval_weight(self) -> np.ndarray:
        return np.concatenate(self._interval_weight) if self._interval_weight else np.zeros(0)

    @property
    def span_s(self) -> np.ndarray:
        return np.concatenate(self._span_s) if self._span_s else np.zeros(0)

    @property
    def span_j(self) -> np.ndarray:
        return np.concatenate(self._span_j) if self._span_j else np.zeros(0)
