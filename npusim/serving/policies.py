"""Scheduling policies: when a waiting prompt is computed, and what the sequences that decode do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npusim.hardware.runtime import AlternatePolicy, ExclusivePolicy, HybridPolicy, SchedulingPolicy
from npusim.mapping.deployment import Deployment
from npusim.serving.request import Request
from npusim.serving.scheduler.turns import ALTERNATE, EXCLUSIVE, HYBRID
from npusim.serving.server import Policy, Process, Server


class Exclusive:
    """Every waiting request that fits is prefilled alone before the next decode step (Furiosa-LLM's artifacts)."""

    def turn(self, server: Server) -> Process:
        while (request := server.admissible()) is not None:
            yield from server.prefill(request)
        if server.live:
            yield from server.decode()


class Alternate:
    """At most one prefill between two decode steps."""

    def turn(self, server: Server) -> Process:
        if (request := server.admissible()) is not None:
            yield from server.prefill(request)
        if server.live:
            yield from server.decode(limit=1 if server.admissible() is not None else None)


class Hybrid:
    """Chunks of prompts share steps with the decoding sequences, up to `token_budget` tokens a step.

    Agrawal et al., Sarathi-Serve, arXiv 2403.02310.
    """

    def __init__(self, token_budget: int) -> None:
        self._token_budget = token_budget

    def turn(self, server: Server) -> Process:
        chunks = self._chunks(server)
        if chunks:
            yield from server.mixed_step(chunks)
        elif server.live:
            yield from server.decode()

    def _chunks(self, server: Server) -> list[tuple[Request, int]]:
        """The next chunk of each prompt under way, then of newly admitted ones, while the budget lasts."""
        left = self._token_budget - len(server.live)
        chunks = []
        for request in server.prefilling:
            tokens = min(left, request.to_prefill - request.computed)
            if tokens > 0:
                chunks.append((request, tokens))
                left -= tokens
        while left > 0 and (admitted := server.admissible()) is not None:
            server.admit(admitted)
            server.prefilling.append(admitted)
            tokens = min(left, admitted.to_prefill - admitted.computed)
            chunks.append((admitted, tokens))
            left -= tokens
        return chunks


def token_budget(record: Any) -> int:
    """Most tokens of one step under a hybrid policy, from a runtime's record."""
    return round(record["policy_token_budget"])


POLICIES: dict[type[SchedulingPolicy], Callable[[Any], Policy]] = {
    ExclusivePolicy: lambda _: Exclusive(),
    AlternatePolicy: lambda _: Alternate(),
    HybridPolicy: lambda record: Hybrid(token_budget(record)),
}
"""How each described policy is made from the numbers of a runtime's record; descriptions: hardware/runtime.py."""


COMPILED: dict[type[SchedulingPolicy], int] = {
    ExclusivePolicy: EXCLUSIVE,
    AlternatePolicy: ALTERNATE,
    HybridPolicy: HYBRID,
}
"""The described policies that are compiled too; a server under another one is a SimPy process."""


def make_policy(deployment: Deployment) -> Policy:
    """The policy that the runtime's description names, with the numbers of its record."""
    return POLICIES[type(deployment.runtime.policy)](deployment.runtime_record[0])
