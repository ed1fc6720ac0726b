"""The server: requests wait, are prefilled, decode together, and leave; a SimPy process takes the turns.

Between two scheduling events a run of decode steps is one call of the engine, exact step by step; it ends when a
sequence is done, when KV blocks run out, or after the step during which something else happens (an arrival).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, Protocol

import numpy as np
import simpy

from npusim.engine.analytic import DecodeRun
from npusim.engine.limiter import PowerLimiter
from npusim.engine.stepcost import StepCost
from npusim.serving.kvcache import KvCache
from npusim.serving.record import Recorder
from npusim.serving.request import Request
from npusim.workload.step import Step, mixed

Turn = Generator[simpy.Event, Any, None]
_ONE = np.ones(1)


class ServingEngine(Protocol):
    """What the server asks of an engine: costs of steps, never of operators."""

    def cost(self, step: Step) -> StepCost: ...
    def prefill_chunk(self, query: int, context: int, limited: float = 1.0) -> StepCost: ...
    def with_host(self, cost: StepCost, sequences: int) -> StepCost: ...
    def waiting(self, cost: StepCost, seconds: float) -> StepCost: ...
    def stall_s(self, seed: int, counter: int) -> float: ...
    def decode_run(
        self, held: np.ndarray, slots: int, limit: int, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun: ...


class Policy(Protocol):
    """A scheduling policy takes one turn: admissions and steps until it wants to look again."""

    def turn(self, server: Server) -> Turn: ...


class ServerLimits:
    """What bounds a server.

    slots: compiled sequence slots; max_sequences: most in service; max_waiting: longest queue, None without limit;
    watermark: part of the KV blocks beyond which nothing is admitted; longest_context: of model and compiled shapes;
    largest_chunk: most prompt tokens of one step, None without limit; request_time_s: from sending to the queue;
    limiter_s: time constant of the power limiter; whole_answers: whether a request is admitted only when the answers of
    all have room.
    """

    def __init__(
        self,
        slots: int,
        max_sequences: int,
        max_waiting: int | None,
        watermark: float,
        longest_context: int,
        largest_chunk: int | None,
        request_time_s: float = 0.0,
        limiter_s: float = 0.0,
        whole_answers: bool = False,
    ) -> None:
        self.slots = slots
        self.max_sequences = max_sequences
        self.max_waiting = max_waiting
        self.watermark = watermark
        self.longest_context = longest_context
        self.largest_chunk = largest_chunk
        self.request_time_s = request_time_s
        self.limiter_s = limiter_s
        self.whole_answers = whole_answers


class Server:
    """live, held, remaining and last_s are parallel: requests that decode, KV tokens that they hold, tokens that they
    still put out, and when each put out its last one.
    """

    def __init__(
        self,
        env: simpy.Environment,
        engine: ServingEngine,
        policy: Policy,
        kv: KvCache,
        limits: ServerLimits,
        recorder: Recorder,
        seed: int,
    ) -> None:
        self.env = env
        self.engine = engine
        self.kv = kv
        self.limits = limits
        self.recorder = recorder
        self.waiting: deque[Request] = deque()
        self.prefilling: list[Request] = []
        self.live: list[Request] = []
        self.held = np.zeros(0, np.int64)
        self.remaining = np.zeros(0, np.int64)
        self.last_s = np.zeros(0)
        self._policy = policy
        self._limiter = PowerLimiter(limits.limiter_s)
        self._seed = seed
        self._steps = 0
        self._work = env.event()
        env.process(self._serve())

    def submit(self, request: Request) -> simpy.Event:
        """Send a request; the event that is returned happens when it is answered or refused."""
        request.sent_s = self.env.now
        done = self.env.event()
        request.done = done
        if self.limits.request_time_s > 0.0:
            self.env.process(self._travel(request))
        else:
            self._enqueue(request)
        return done

    def _travel(self, request: Request) -> Turn:
        yield self.env.timeout(self.limits.request_time_s)
        self._enqueue(request)

    def _enqueue(self, request: Request) -> None:
        request.refusal = self._refusal(request)
        if request.refusal:
            self.recorder.refused.append(request)
            request.done.succeed()
            return
        self.waiting.append(request)
        if not self._work.triggered:
            self._work.succeed()

    def admissible(self) -> Request | None:
        """The first waiting request, if there is a slot and KV memory for it and what the others will still need."""
        if not self.waiting or len(self.live) + len(self.prefilling) >= self.limits.max_sequences:
            return None
        request = self.waiting[0]
        need = self.kv.need(request)
        if need + self._growth_beside(request) > self.kv.free:
            return None
        alone = not self.live and not self.prefilling
        below_watermark = self.kv.used + need <= self.limits.watermark * self.kv.capacity
        return request if alone or below_watermark else None

    def _growth_beside(self, request: Request) -> float:
        """Blocks to keep for live sequences: those of their next token, or of all answers, that of `request` too."""
        if not self.limits.whole_answers:
            return self.kv.growth(self.held, 1)
        started = [*self.prefilling, request]
        held = np.append(self.held, [each.to_prefill for each in started])
        coming = np.append(self.remaining, [each.longest - each.to_prefill for each in started])
        return self.kv.growth(held, coming)

    def admit(self, request: Request) -> None:
        """Give the first waiting request its KV blocks."""
        self.waiting.popleft()
        self.kv.admit(request)
        sequences = len(self.live) + len(self.prefilling) + 1
        self.recorder.peak_sequences = max(self.recorder.peak_sequences, sequences)

    def prefill(self, request: Request) -> Turn:
        """Admit a request and compute its prompt alone, in the largest chunks that the runtime has."""
        self.admit(request)
        total = request.to_prefill
        largest = self.limits.largest_chunk or total
        while request.computed < total:
            query = min(largest, total - request.computed)
            request.computed += query
            self.recorder.prefill_tokens += query
            cost = self._stalled(self._chunk(query, request.computed))
            yield self.env.timeout(cost.time_s)
            self._span(cost)
        self._put_first(request)

    def mixed_step(self, chunks: list[tuple[Request, int]]) -> Turn:
        """One step over all live sequences and the next `tokens` of each prompt in `chunks`."""
        if self.kv.steps_that_fit(self.held, 1) == 0:
            self._preempt()
            return
        live = list(self.live)
        sizes = [(tokens, request.computed + tokens) for request, tokens in chunks]
        step = mixed(self.held + 1, sizes, self.limits.slots)
        cost = self._stalled(self.engine.with_host(self.engine.cost(step), len(step.query)))
        yield self.env.timeout(cost.time_s)
        self._span(cost)
        self._limiter.elapse(cost.time_s, cost.clock)
        self.recorder.mixed_steps += 1
        if live:
            self._advance(np.array([cost.time_s]))
        for request, tokens in chunks:
            request.computed += tokens
            self.recorder.prefill_tokens += tokens
            if request.computed == request.to_prefill:
                self.prefilling.remove(request)
                self._put_first(request)

    def decode(self, limit: int | None = None) -> Turn:
        """A run of decode steps over all live sequences, at most `limit` steps."""
        wanted = int(self.remaining.min()) if limit is None else min(limit, int(self.remaining.min()))
        fitting = self.kv.steps_that_fit(self.held, wanted)
        if fitting == 0:
            self._preempt()
            return
        horizon = self.env.peek() - self.env.now
        if horizon <= 0.0:
            return
        run = self.engine.decode_run(self.held, self.limits.slots, fitting, horizon, self._seed, self._steps)
        self._steps += len(run.times_s)
        seconds = float(run.times_s.sum())
        yield self.env.timeout(seconds)
        self._limiter.elapse(seconds, run.clock)
        self.recorder.spans(run.times_s, run.energies_j)
        self.recorder.decode_steps += len(run.times_s)
        self._advance(run.times_s)

    def _serve(self) -> Turn:
        while True:
            if not (self.waiting or self.prefilling or self.live):
                self._work, since = self.env.event(), self.env.now
                yield self._work
                self._limiter.elapse(self.env.now - since, 1.0)
            yield from self._policy.turn(self)
            while self.env.peek() <= self.env.now:
                yield self.env.timeout(0.0)

    def _refusal(self, request: Request) -> str:
        tokens, limits = request.longest, self.limits
        if tokens > limits.longest_context:
            return f"{tokens} tokens are more than the longest context, {limits.longest_context}"
        if self.kv.blocks_for(tokens) > self.kv.capacity:
            return f"{tokens} tokens of KV are more than the cache holds, {self.kv.capacity * self.kv.block_tokens}"
        if limits.max_waiting is not None and len(self.waiting) >= limits.max_waiting:
            return f"the queue already holds {limits.max_waiting} requests"
        return ""

    def _chunk(self, query: int, context: int) -> StepCost:
        """A chunk of one prompt as far as the power limiter has come."""
        settled = self.engine.prefill_chunk(query, context)
        cost = self.engine.prefill_chunk(query, context, self._limiter.mean(settled.time_s))
        self._limiter.elapse(cost.time_s, settled.clock)
        return cost

    def _stalled(self, cost: StepCost) -> StepCost:
        stall_s = self.engine.stall_s(self._seed, self._steps)
        self._steps += 1
        return self.engine.waiting(cost, stall_s)

    def _span(self, cost: StepCost) -> None:
        self.recorder.spans(np.array([cost.time_s]), np.array([cost.energy_j]))

    def _put_first(self, request: Request) -> None:
        """The prompt is computed and with it one token is out; the request joins the live ones, or is done."""
        held = request.to_prefill
        self.kv.publish(request)
        now = self.env.now
        if request.first_token_s < 0.0:
            request.first_token_s = now
        else:
            self.recorder.intervals(np.array([now - request.last_token_s]), _ONE)
        request.last_token_s = now
        request.generated += 1
        if request.generated == request.osl:
            self._answer(request, held)
            return
        self.live.append(request)
        self.held = np.append(self.held, held)
        self.remaining = np.append(self.remaining, request.osl - request.generated)
        self.last_s = np.append(self.last_s, now)

    def _advance(self, times_s: np.ndarray) -> None:
        """Every live sequence has put out one token per step, the last of them now."""
        now, steps = self.env.now, len(times_s)
        first_step_end = now - float(times_s[1:].sum())
        self.recorder.intervals(first_step_end - self.last_s, np.ones(len(self.live)))
        if steps > 1:
            self.recorder.intervals(times_s[1:], np.full(steps - 1, float(len(self.live))))
        self.kv.grow(self.held, steps)
        self.held += steps
        self.remaining -= steps
        self.last_s[:] = now
        if self.remaining.min() == 0:
            self._retire()

    def _retire(self) -> None:
        done = np.flatnonzero(self.remaining == 0).tolist()
        for index in done:
            self._catch_up(index)
            self._answer(self.live[index], int(self.held[index]))
        for index in reversed(done):
            del self.live[index]
        self.held, self.remaining = np.delete(self.held, done), np.delete(self.remaining, done)
        self.last_s = np.delete(self.last_s, done)

    def _catch_up(self, index: int) -> None:
        """Write down in a live request how far it has come."""
        request = self.live[index]
        request.last_token_s = float(self.last_s[index])
        request.generated = request.osl - int(self.remaining[index])

    def _answer(self, request: Request, held: int) -> None:
        self.kv.release(request, held)
        self.recorder.requests.append(request)
        request.done.succeed()

    def _preempt(self) -> None:
        """The sequence that joined last gives its blocks back and will be computed again."""
        self._catch_up(-1)
        request = self.live.pop()
        self.kv.release(request, int(self.held[-1]))
        self.held, self.remaining, self.last_s = self.held[:-1], self.remaining[:-1], self.last_s[:-1]
        request.preemptions += 1
        request.computed = 0
        self.recorder.preemptions += 1
        self.waiting.appendleft(request)
