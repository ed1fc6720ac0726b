"""Prefill and decode apart: a pool of instances computes prompts, another decodes, and KV goes from one to the other.

The first token comes from the prefill instance, or, where the runtime's connector says so, from the decode instance,
which computes the last token of the prompt again (vLLM behind a proxy works so). An instance of the decode pool makes
room for the KV when it admits the request, at one of its turns; then the KV is moved, and the request decodes from the
turn after it is there. The prefill instance keeps the KV until then. (Zhong et al., DistServe, arXiv 2401.09670; Patel
et al., Splitwise, arXiv 2311.18677; vLLM's connectors work so.)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from npusim.serving.instances.clients import Clients
from npusim.serving.instances.instance import CompiledInstance
from npusim.serving.instances.routing import Balancer
from npusim.serving.instances.transfer import KvBytes, Wires


@dataclass
class Moved:
    """Transfers of a run. waited_s: from when a prompt was done and its place made until its KV was there; kv_bytes: of
    each."""

    waited_s: list[float] = field(default_factory=list)
    kv_bytes: list[float] = field(default_factory=list)


@dataclass
class _Prompt:
    """source, target: instances of the pools; times: when the prompt began, was done, and its place was made; is_lost:
    whether the decode instance has refused it before it was done."""

    source: int
    due_s: float
    begun_s: float = math.nan
    first_token_s: float = math.nan
    target: int = -1
    asked_s: float = math.nan
    is_lost: bool = False


class PoolRouter:
    """A `clock.Sender` for the instances of both pools, those for prompts first.

    kv_bytes: what is moved of so many tokens; layer_wise: whether KV is sent while the prompt is computed, so that its
    place is made when the prompt begins; alone: whether each request is answered by its first token alone.
    """

    reacts = True

    def __init__(
        self,
        clients: Clients,
        prefill: Balancer[CompiledInstance],
        decode: Balancer[CompiledInstance],
        wires: Wires,
        kv_bytes: KvBytes,
        alone: Sequence[bool],
        layer_wise: bool,
    ) -> None:
        self._clients, self._prefill, self._decode = clients, prefill, decode
        self._wires, self._kv_bytes, self._alone, self._layer_wise = wires, kv_bytes, alone, layer_wise
        self._prompts: dict[int, _Prompt] = {}
        self._unrouted: list[int] = []
        self._arrivals: list[tuple[float, int]] = []
        self._collected: list[tuple[int, int]] = []
        self._now_s = math.inf
        self.moved = Moved()

    @property
    def next_s(self) -> float:
        """At once where a request is to be sent on, or memory to be given back."""
        if self._unrouted or self._collected:
            return self._now_s
        return min(self._clients.next_s, self._arrivals[0][0] if self._arrivals else math.inf)

    def hear(self, instance: int, ended: Sequence[int], now_s: float) -> bool:
        self._now_s = now_s
        prompts = len(self._prefill.instances)
        if instance < prompts:
            return self._hear_of_prompts(instance, ended, now_s)
        return self._hear_of_answers(instance - prompts, ended, now_s)

    def _hear_of_prompts(self, place: int, ended: Sequence[int], now_s: float) -> bool:
        begun = self._prefill.instances[place].admitted()
        for index in begun:
            self._prompts[index].begun_s = now_s
            if self._layer_wise and not self._alone[index]:
                self._unrouted.append(index)
        self._prefill.ended(place, len(ended))
        for index in ended:
            self._end_prompt(place, index, now_s)
        return bool(begun or ended)

    def _end_prompt(self, place: int, index: int, now_s: float) -> None:
        prompt = self._prompts[index]
        refused = self._prefill.instances[place].refused(index)
        if refused or prompt.is_lost or self._alone[index]:
            self._finish(index, now_s, kept=not refused)
            return
        prompt.first_token_s = now_s
        if not self._layer_wise:
            self._unrouted.append(index)
        self._move(index)

    def _hear_of_answers(self, place: int, ended: Sequence[int], now_s: float) -> bool:
        decode = self._decode.instances[place]
        asked = decode.admitted()
        for index in asked:
            self._prompts[index].asked_s = now_s
            self._move(index)
        self._decode.ended(place, len(ended))
        for index in ended:
            refused = decode.refused(index)
            if refused and math.isnan(self._prompts[index].first_token_s):
                self._prompts[index].is_lost = True
            else:
                self._finish(index, now_s, kept=refused)
        return bool(asked or ended)

    def _finish(self, index: int, now_s: float, kept: bool) -> None:
        """A request was answered or refused; kept: whether the prefill instance still holds its KV."""
        prompt = self._prompts.pop(index)
        if kept:
            self._collected.append((prompt.source, index))
        self._clients.answered(index, now_s)

    def _move(self, index: int) -> None:
        """Send the KV once the prompt is done and its place made."""
        prompt = self._prompts[index]
        if math.isnan(prompt.first_token_s) or math.isnan(prompt.asked_s):
            return
        kv_bytes = self._kv_bytes(self._decode.instances[prompt.target].missing_tokens(index))
        there_s = self._wires.there_s(
            kv_bytes, prompt.source, prompt.target, prompt.begun_s, prompt.first_token_s, prompt.asked_s
        )
        heapq.heappush(self._arrivals, (there_s, index))
        self.moved.waited_s.append(there_s - max(prompt.first_token_s, prompt.asked_s))
        self.moved.kv_bytes.append(kv_bytes)

    def send(self, now_s: float) -> Iterator[int]:
        while self._arrivals and self._arrivals[0][0] <= now_s:
            yield self._deliver(heapq.heappop(self._arrivals)[1], now_s)
        while self._collected:
            place, index = self._collected.pop()
            self._prefill.instances[place].collect(index, now_s)
            yield place
        for index, due_s in self._clients.due(now_s):
            place = self._prefill.choose(index)
            self._prompts[index] = _Prompt(place, due_s)
            self._prefill.instances[place].send(index, due_s, now_s)
            yield place
        while self._unrouted:
            yield self._send_on(self._unrouted.pop(0), now_s)

    def _deliver(self, index: int, now_s: float) -> int:
        prompt = self._prompts[index]
        self._decode.instances[prompt.target].deliver(index, prompt.first_token_s, now_s)
        self._collected.append((prompt.source, index))
        return len(self._prefill.instances) + prompt.target

    def _send_on(self, index: int, now_s: float) -> int:
        prompt = self._prompts[index]
        prompt.target = self._decode.choose(index)
        self._decode.instances[prompt.target].send(index, prompt.due_s, now_s, given=True)
        return len(self._prefill.instances) + prompt.target
