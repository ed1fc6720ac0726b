"""The way of a prompt's KV from the instance that computed it to the one that decodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KvBytes = Callable[[int], float]
"""Bytes of KV of so many tokens."""


@dataclass(frozen=True)
class Wire:
    """rate_bytes_per_s, latency_s: of an instance's link, both ways at once; layers: pieces in which a prompt's KV is
    sent while it is computed, 1 where it is sent once the prompt is done."""

    rate_bytes_per_s: float
    latency_s: float
    layers: int = 1

    def left_s(self, kv_bytes: float, prompt_s: float) -> float:
        """Time from the end of a prompt that took `prompt_s` until its KV is there, on an idle link.

        Layer after layer is done and sent: the last one is sent after the prompt, and what the link did not manage
        before (Patel et al., Splitwise, arXiv 2311.18677).
        """
        whole_s = kv_bytes / self.rate_bytes_per_s
        hidden_s = prompt_s * (self.layers - 1) / self.layers
        return max(whole_s / self.layers, whole_s - hidden_s) + self.latency_s


class Wires:
    """Links of all instances: each sends one prompt's KV at a time, and takes in one at a time, in the order in which
    it is asked."""

    def __init__(self, wire: Wire, sources: int, targets: int) -> None:
        self._wire = wire
        self._sent_s, self._taken_s = np.zeros(sources), np.zeros(targets)

    def there_s(
        self, kv_bytes: float, source: int, target: int, begun_s: float, first_token_s: float, asked_s: float
    ) -> float:
        """When the KV is there of a prompt that began at `begun_s` and was done at `first_token_s`, whose place at the
        target was made at `asked_s`."""
        wire = self._wire
        whole_s = kv_bytes / wire.rate_bytes_per_s
        ready_s = begun_s + (first_token_s - begun_s) / wire.layers
        starts_s = max(ready_s, asked_s, self._sent_s[source], self._taken_s[target])
        ends_s = max(starts_s + whole_s, first_token_s + whole_s / wire.layers)
        self._sent_s[source] = self._taken_s[target] = ends_s
        return float(ends_s + wire.latency_s)
