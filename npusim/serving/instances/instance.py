"""An instance: a server to which requests are sent one by one, and which goes on no further than it is told to.

That is all that whoever sends requests needs to know of a server; `clock` brings many of them through time together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from npusim.errors import UserError
from npusim.serving.instances.prefixes import Prefixes
from npusim.serving.load import Load
from npusim.serving.policies import BUDGETED, COMPILED, token_budget
from npusim.serving.scheduler.make import make_routed_state
from npusim.serving.scheduler.serve import CompiledServer
from npusim.serving.simulate import ServedRun, Service, what_was_served

_ROOM = 64
"""Requests for which an instance has room at first."""


class Instance(Protocol):
    """A server among others. next_s: when something next happens in it by itself, infinite where nothing does."""

    next_s: float

    def send(self, index: int, due_s: float, now_s: float) -> None:
        """Request `index` of the load, due at `due_s`, is sent to it; it has gone on until `now_s`."""

    def advance(self, until_s: float, may_begin: bool) -> list[int]:
        """Let happen what is due until then; the requests that were answered or refused meanwhile, in that order.

        may_begin: whether a turn may begin at `until_s`: not while something may still be sent to it at that time.
        """

    def cached_tokens(self, index: int) -> int:
        """Leading tokens of the prompt of request `index` that its prefix cache holds."""


class CompiledInstance:
    """A compiled server as an Instance. service: what serves; load: the requests of which it is sent some; at: its row
    of `progress_of`, an array of one."""

    def __init__(self, service: Service, load: Load, at: np.ndarray) -> None:
        policy = service.deployment.runtime.policy
        if type(policy) not in COMPILED:
            name = service.deployment.runtime.name
            raise UserError(name, "policy", f"{policy.kind} is not compiled; several instances need one that is")
        self._service, self._load = service, load
        longest = int(load.tokens.sum(axis=1).max())
        state = make_routed_state(at, _ROOM, longest, service.kv, service.limits)
        state.rules["policy"] = COMPILED[type(policy)]
        if isinstance(policy, BUDGETED):
            state.rules["token_budget"] = token_budget(service.deployment.runtime_record[0])
        self._server = CompiledServer(state, service.engine, service.limits, service.recorder, service.seed)
        self._prefixes = Prefixes(self._server, load.tree, service.kv) if service.kv.caching else None
        self._lengths: list[tuple[int, int]] = load.tokens.tolist()
        self._heard = 0
        self.next_s = np.inf
        self.advance(0.0, False)

    def send(self, index: int, due_s: float, now_s: float) -> None:
        path = (0, 0) if self._prefixes is None else self._prefixes.path_of(index)
        self.next_s = self._server.receive(index, *self._lengths[index], due_s, now_s, path)

    def advance(self, until_s: float, may_begin: bool) -> list[int]:
        at = self._server.state.at[0]
        at["until_s"], at["may_begin"] = until_s, may_begin
        heard, self.next_s = self._server.go_on()
        if heard == self._heard:
            return []
        state, first, self._heard = self._server.state, self._heard, heard
        return list(state.requests["index"][state.queues["ended"][first:heard]].tolist())

    def cached_tokens(self, index: int) -> int:
        return 0 if self._prefixes is None else self._prefixes.cached_tokens(index)

    @property
    def last_s(self) -> float:
        """When its last step ended."""
        return float(self._server.state.at["worked_s"][0])

    @property
    def busy_s(self) -> float:
        """Seconds of all its steps."""
        return self.last_s - float(self._server.state.at["idled_s"][0])

    def served(self, duration_s: float) -> ServedRun:
        """What it did until `duration_s`."""
        self._server.leave_in(self._service.kv, self._load.requests)
        return replace(what_was_served(self._service, duration_s), warm_up=self._load.warm_up)
