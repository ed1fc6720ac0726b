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
from npusim.serving.refusal import ACCEPTED
from npusim.serving.scheduler.make import make_routed_state
from npusim.serving.scheduler.serve import CompiledServer
from npusim.serving.simulate import ServedRun, Service, what_was_served
from npusim.workload.arrivals import FIRST

_ROOM = 64
"""Requests for which an instance has room at first."""


class Instance(Protocol):
    """A server among others. next_s: when something next happens in it by itself, infinite where nothing does."""

    next_s: float

    def send(self, index: int, due_s: float, now_s: float, given: bool = False) -> None:
        """Request `index` of the load, due at `due_s`, is sent to it; it has gone on until `now_s`.

        given: whether its prompt's KV comes from another instance (`deliver`), and with it the first token unless the
        connector of its runtime says that it puts that out itself.
        """

    def advance(self, until_s: float, may_begin: bool) -> list[int]:
        """Let happen what is due until then; the requests that were answered or refused meanwhile, in that order.

        may_begin: whether a turn may begin at `until_s`: not while something may still be sent to it at that time.
        """

    def cached_tokens(self, index: int) -> int:
        """Leading tokens of the prompt of request `index` that its prefix cache holds."""


class CompiledInstance:
    """A compiled server as an Instance. service: what serves; load: the requests of which it is sent some; at: its row
    of `progress_of`, an array of one; prompts_alone: whether it computes no more than prompts and first tokens, and
    keeps their KV until it is collected."""

    def __init__(self, service: Service, load: Load, at: np.ndarray, prompts_alone: bool = False) -> None:
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
        self._server = CompiledServer(
            state, service.engine, service.limits, service.recorder, service.seed, service.drafts
        )
        self._prefixes = Prefixes(self._server, load.tree, service.kv) if service.kv.caching else None
        state.rules["keeps"] = prompts_alone
        connector = service.deployment.runtime.connector
        state.rules["puts_first"] = connector is not None and connector.first_token == "decode"
        self._block_s = _block_s(service) if state.rules["puts_first"][0] else 0.0
        self._heard = self._seen = 0
        self._places: dict[int, int] = {}
        self._prompts_alone = prompts_alone
        self.next_s = np.inf
        self.advance(0.0, False)

    def send(self, index: int, due_s: float, now_s: float, given: bool = False) -> None:
        path = next_path = (0, 0)
        if self._prefixes is not None:
            path, after = self._prefixes.path_of(index), int(self._load.after[index])
            next_path = next_path if after == FIRST else self._prefixes.path_of(after)
        isl, osl = self._load.tokens[index].tolist()
        if given or self._prompts_alone:
            self._places[index] = len(self._places)
        self.next_s = self._server.receive(
            index,
            isl,
            1 if self._prompts_alone else osl,
            isl if given else 0,
            (*path, *next_path),
            float(self._service.limits.intake.seconds(isl)),
            due_s,
            now_s,
        )

    def deliver(self, index: int, first_token_s: float, now_s: float) -> None:
        """The KV of a request that it was sent without is there; its first token came at `first_token_s`."""
        place, block = self._places[index], self._service.kv.block_tokens
        self._server.state.requests["load_s"][place] = -(-self.missing_tokens(index) // block) * self._block_s
        self.next_s = self._server.deliver(place, first_token_s, now_s)

    def collect(self, index: int, now_s: float) -> None:
        """The KV of a request whose prompt it computed is no longer needed."""
        self.next_s = self._server.collect(self._places[index], now_s)

    def admitted(self) -> list[int]:
        """Requests that have got their blocks since it was last asked, in that order."""
        state, first = self._server.state, self._seen
        self._seen = int(state.at["admitted"][0])
        return list(state.requests["index"][state.queues["admitted"][first : self._seen]].tolist())

    def missing_tokens(self, index: int) -> int:
        """Tokens of the KV of an admitted request that its prefix cache does not hold."""
        row = self._server.state.requests[self._places[index]]
        return int(row["isl"] - row["computed"])

    def refused(self, index: int) -> bool:
        """Whether it has refused a request."""
        return bool(self._server.state.requests["refusal"][self._places[index]] != ACCEPTED)

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


def _block_s(service: Service) -> float:
    """Seconds in which a server asks for the KV of one block, all layers of it."""
    layer_s = float(service.deployment.runtime_record[0]["connector_block_time"])
    return 0.0 if np.isnan(layer_s) else layer_s * service.deployment.model.layers
