"""The server: requests wait, are prefilled, decode together, and leave; a SimPy process takes the turns.

Between two scheduling events a run of decode steps is one call of the engine, exact step by step; it ends when a
sequence is done, when KV blocks run out, or after the step during which something else happens (an arrival).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import simpy

from npusim.engine.analytic import DecodeRun
from npusim.engine.limiter import PowerLimiter
from npusim.engine.stepcost import RESOURCES, StepCost
from npusim.serving.drafts import Drafts
from npusim.serving.kvcache import KvCache
from npusim.serving.limits import ServerLimits
from npusim.serving.live import Live
from npusim.serving.record import Recorder
from npusim.serving.refusal import ACCEPTED, QUEUE_FULL, TOO_LARGE, TOO_LONG, refusal_text
from npusim.serving.request import Request
from npusim.workload.step import Step, mixed

Process = Generator[simpy.Event, Any, None]
_ONE = np.ones(1)


class ServingEngine(Protocol):
    """What the server asks of an engine: costs of steps, never of operators.

    stalls_at_all: whether steps stall; stalls: `stall_s` of `count` steps from `first` on.
    """

    @property
    def stalls_at_all(self) -> bool: ...
    def prefill_chunk(self, query: int, context: int, limited: float = 1.0) -> StepCost: ...
    def waiting(self, cost: StepCost, seconds: float) -> StepCost: ...
    def stall_s(self, seed: int, counter: int) -> float: ...
    def stalls(self, seed: int, first: int, count: int) -> np.ndarray: ...
    def mixed_run(self, step: Step, seed: int, counter: int, ready_s: float = 0.0) -> DecodeRun: ...
    def decode_run(
        self, held: np.ndarray, slots: int, limit: int, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun: ...


class Policy(Protocol):
    """A scheduling policy takes one turn: admissions and steps until it wants to look again."""

    def turn(self, server: Server) -> Process: ...


class Server:
    """waiting, prefilling, live: requests that queue, whose prompts are under way, and that decode."""

    def __init__(
        self,
        env: simpy.Environment,
        engine: ServingEngine,
        policy: Policy,
        kv: KvCache,
        limits: ServerLimits,
        recorder: Recorder,
        seed: int,
        drafts: Drafts | None = None,
    ) -> None:
        self.env = env
        self.engine = engine
        self.kv = kv
        self.limits = limits
        self.recorder = recorder
        self.waiting: deque[Request] = deque()
        self.prefilling: list[Request] = []
        self.live = Live()
        self._travelling: deque[tuple[float, list[Request]]] = deque()
        self._answered: list[Request] = []
        self._prompts: dict[tuple[int, int], _Prompt] = {}
        self._policy = policy
        self._limiter = PowerLimiter(limits.limiter_s, limits.sustained_s, limits.cap_w, limits.idle_w)
        self._seed = seed
        self._drafts = drafts
        self._steps = 0
        self._seen_s = self._launched_s = 0.0
        self._fresh = 0
        self._taken_in_s = 0.0
        self._work = env.event()
        env.process(self._serve())

    def submit(self, request: Request) -> None:
        """Send a request; its `done` is called when it is answered or refused."""
        request.sent_s = self.env.now
        if self.limits.intake.is_busy or self.limits.drawing_s >= 0.0:
            self._take_in(request)
        elif self.limits.request_time_s > 0.0:
            self._travel(request)
        else:
            self._enqueue(request)

    def _take_in(self, request: Request) -> None:
        """The front end takes in one request after the other."""
        begun_s = max(self._taken_in_s, self.env.now)
        if self.limits.drawing_s >= 0.0:
            request.sent_s = begun_s = begun_s + self.limits.drawing_s
        self._taken_in_s = begun_s + request.intake_s
        arrival_s = self._taken_in_s + self.limits.request_time_s
        _when(self.env.timeout(arrival_s - self.env.now), partial(self._enqueue, request))

    def _travel(self, request: Request) -> None:
        """Requests that are sent at one time arrive together: one event for all."""
        if self._travelling and self._travelling[-1][0] == self.env.now:
            self._travelling[-1][1].append(request)
            return
        self._travelling.append((self.env.now, [request]))
        _when(self.env.timeout(self.limits.request_time_s), self._arrive)

    def _arrive(self) -> None:
        for request in self._travelling.popleft()[1]:
            self._enqueue(request)

    def _enqueue(self, request: Request) -> None:
        request.queued_s = self.env.now
        refusal = self._refusal(request)
        if refusal != ACCEPTED:
            request.refusal = refusal_text(refusal, request, self.kv, self.limits)
            self.recorder.refused.append(request)
            self._tell(request)
            return
        self.waiting.append(request)
        if not self._work.triggered:
            self._work.succeed()

    def _tell(self, request: Request) -> None:
        """Clients hear of it once the server has gone on as far as it can at this time."""
        if not self._answered:
            _when(self.env.timeout(0.0), self._tell_all)
        self._answered.append(request)

    def _tell_all(self) -> None:
        answered, self._answered = self._answered, []
        for request in answered:
            request.done()

    def admissible(self) -> Request | None:
        """The first waiting request, if there is a slot and KV memory for it and what the others will still need."""
        if not self.waiting or self._unseen(self.waiting[0]) or self._first_has_no_room():
            return None
        return self.waiting[0]

    def _first_has_no_room(self) -> bool:
        """Whether the first waiting request, if there is one, lacks a slot or KV memory."""
        if not self.waiting:
            return False
        sequences = len(self.live) + len(self.prefilling)
        if sequences >= self.limits.max_sequences:
            return True
        request = self.waiting[0]
        need = self.kv.need(request)
        if need + self._growth_beside(request) > self.kv.free:
            return True
        return sequences > 0 and self.kv.used + need > self.limits.watermark * self.kv.capacity

    def _unseen(self, request: Request) -> bool:
        """Whether the next step was scheduled before the request came."""
        return self.limits.ahead and request.queued_s > self._seen_s

    def _growth_beside(self, request: Request) -> float:
        """Blocks to keep for live sequences: those of their next token, or of all answers, that of `request` too."""
        if not self.limits.whole_answers:
            return self.kv.growth(self.live.held, self.limits.width)
        started = [*self.prefilling, request]
        held = np.append(self.live.held, [each.to_prefill for each in started])
        coming = np.append(self.live.remaining, [each.longest - each.to_prefill for each in started])
        return self.kv.growth(held, coming + (self.limits.width - 1))

    def admit(self, request: Request) -> None:
        """Give the first waiting request its KV blocks."""
        self.waiting.popleft()
        if request.preemptions == 0:
            request.admitted_s = self.env.now
        self.kv.admit(request)
        sequences = len(self.live) + len(self.prefilling) + 1
        self.recorder.peak_sequences = max(self.recorder.peak_sequences, sequences)

    def prefill(self, request: Request) -> Process:
        """Admit a request and compute its prompt alone, in the largest chunks that the runtime has."""
        self.admit(request)
        yield from self._compute(request, request.to_prefill)
        self._put_first(request)

    def prefill_chunk(self, request: Request) -> Process:
        """Compute the next chunk of a prompt that is under way, alone."""
        yield from self._compute(request, request.computed + self.next_chunk(request))
        if request.computed == request.to_prefill:
            self.prefilling.remove(request)
            self._put_first(request)

    def next_chunk(self, request: Request) -> int:
        """Tokens of the next chunk of a prompt, the largest that the runtime has."""
        left = request.to_prefill - request.computed
        return min(left, self.limits.largest_chunk or left)

    def _compute(self, request: Request, total: int) -> Process:
        """Compute a prompt up to its first `total` tokens."""
        done, begun_s = request.computed, self.env.now
        self._seen_s = begun_s
        prompt = self._prompt(done, total, request.load_s)
        request.load_s = 0.0
        if self.recorder.log is not None:
            sizes = [query for query, _ in chunks_of(self.limits.largest_chunk or total, done, total)]
            self.recorder.log.prompt(begun_s, request.index, sizes, prompt.costs, self._first_has_no_room())
        end_s = begun_s
        for seconds in prompt.times_s:
            end_s += seconds
        at_once = delay_until(begun_s, end_s)
        for seconds in prompt.times_s if at_once is None else [at_once]:
            yield self.env.timeout(seconds)
        self.recorder.spans(prompt.spans_s, prompt.spans_j)
        for cost in prompt.costs:
            self.recorder.spend(cost.parts_in_order)
        self.recorder.prefill_tokens += total - done
        request.computed = total

    def mixed_step(self, chunks: list[tuple[Request, int]]) -> Process:
        """One step over all live sequences and the next `tokens` of each prompt in `chunks`."""
        width = self.limits.width
        if self.kv.steps_that_fit(self.live.held, 1, width) == 0:
            self._preempt()
            return
        sizes = [(tokens, request.computed + tokens) for request, tokens in chunks]
        step = mixed(self.live.held + width, sizes, self.limits.slots, width)
        run = after_load(self.engine, self._launch(step), sum(request.load_s for request, _ in chunks))
        for request, _ in chunks:
            request.load_s = 0.0
        self._log(run, [(request.index, tokens) for request, tokens in chunks])
        self._steps += 1
        seconds = float(run.times_s[0])
        yield self.env.timeout(seconds)
        self.recorder.spans(run.times_s, run.energies_j)
        self.recorder.spend(run.parts_j)
        self._limiter.elapse(seconds, float(run.energies_j[0]) / seconds, run.held)
        self.recorder.mixed_steps += 1
        if self.live:
            self._advance(run.times_s, self._tokens(1))
        for request, tokens in chunks:
            request.computed += tokens
            self.recorder.prefill_tokens += tokens
            if request.computed == request.to_prefill:
                self.prefilling.remove(request)
                self._put_first(request)

    def _launch(self, step: Step) -> DecodeRun:
        """Cost a step whose launch began when the host was free, be that before the chip was.

        Where one thread schedules and launches, first tokens of the step before come out when it has launched this one.
        """
        now = self.env.now
        if not self.limits.ahead:
            self._seen_s = now
            return self.engine.mixed_run(step, self._seed, self._steps)
        free_s = max(self._seen_s, self._launched_s)
        run = self.engine.mixed_run(step, self._seed, self._steps, free_s - now)
        self._launched_s = free_s + run.launch_s
        self._seen_s = now
        if self.limits.holds and self._launched_s > now:
            self._seen_s = self._launched_s
            self.live.postpone(self._fresh, self._launched_s)
        self._fresh = 0
        return run

    def decode(self, limit: int | None = None) -> Process:
        """A run of decode steps over all live sequences, at most `limit` steps."""
        wanted = -(-int(self.live.remaining.min()) // self.limits.width)
        if limit is not None:
            wanted = min(limit, wanted)
        if self.waiting and self._unseen(self.waiting[0]):
            wanted = 1
        fitting = self.kv.steps_that_fit(self.live.held, wanted, self.limits.width)
        if fitting == 0:
            self._preempt()
            return
        horizon = self.env.peek() - self.env.now
        if horizon <= 0.0:
            return
        run, tokens = self._decode_run(fitting, horizon)
        self._log(run, [])
        self._steps += len(run.times_s)
        seconds = float(run.times_s.sum())
        self._fresh = 0
        self._seen_s = self.env.now + float(run.times_s[:-1].sum())
        yield self.env.timeout(seconds)
        self._limiter.elapse(seconds, float(run.energies_j.sum()) / seconds, run.held)
        self.recorder.spans(run.times_s, run.energies_j)
        self.recorder.spend(run.parts_j)
        self.recorder.decode_steps += len(run.times_s)
        self._advance(run.times_s, tokens)

    def _log(self, run: DecodeRun, chunks: list[tuple[int, int]]) -> None:
        """Steps begin now, over all live sequences and chunks of prompts (request, tokens)."""
        if self.recorder.log is not None:
            decoding = self.limits.width * len(self.live)
            self.recorder.log.run(self.env.now, run, decoding, chunks, self._first_has_no_room())

    def _decode_run(self, steps: int, horizon_s: float) -> tuple[DecodeRun, np.ndarray | None]:
        """At most `steps` decode steps, and what comes of them (steps, sequences) where that is not a token each."""
        held, slots, tokens = self.live.held, self.limits.slots, self._tokens(steps)
        if self._drafts is None or tokens is None:
            return self.engine.decode_run(held, slots, steps, horizon_s, self._seed, self._steps), None
        run = self._drafts.engine.drafted_run(held, slots, tokens, horizon_s, self._seed, self._steps)
        return run, tokens[: len(run.times_s)]

    def _tokens(self, steps: int) -> np.ndarray | None:
        """Tokens of each live sequence in the next steps (steps, sequences); None where each is one."""
        if self._drafts is None:
            return None
        live = self.live
        return self._drafts.tokens(live.numbers, live.generated, live.remaining, steps)

    def _serve(self) -> Process:
        while True:
            if not (self.waiting or self.prefilling or self.live):
                self._work, since = self.env.event(), self.env.now
                yield self._work
                self._limiter.elapse(self.env.now - since, self.limits.idle_w, False)
            if not (self.prefilling or self.live):
                self._seen_s = self.env.now
            yield from self._policy.turn(self)
            while self.env.peek() <= self.env.now:
                yield self.env.timeout(0.0)

    def _refusal(self, request: Request) -> int:
        tokens, limits = request.longest, self.limits
        if tokens > limits.longest_context:
            return TOO_LONG
        if self.kv.blocks_for(tokens + limits.width - 1) > self.kv.capacity:
            return TOO_LARGE
        if limits.max_waiting is not None and len(self.waiting) >= limits.max_waiting:
            return QUEUE_FULL
        return ACCEPTED

    def _prompt(self, done: int, total: int, load_s: float) -> _Prompt:
        """The chunks of a prompt of `total` tokens of which `done` are there, in the largest that the runtime has.

        load_s: for which KV is loaded before the first of them.
        """
        known = self._prompts.get((done, total))
        if known is None:
            known = _Prompt(chunk_costs(self.engine, self._limiter, self.limits.largest_chunk or total, done, total))
            if self._limiter.is_still:
                self._prompts[done, total] = known
        first, self._steps = self._steps, self._steps + len(known.costs)
        stalls = [self.engine.stall_s(self._seed, step) for step in range(first, self._steps)]
        stalls[0] += load_s
        if not any(stalls):
            return known
        return _Prompt([self.engine.waiting(cost, stall_s) for cost, stall_s in zip(known.costs, stalls, strict=True)])

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
        self.live.join(request, held, now)
        self._fresh += 1

    def _advance(self, times_s: np.ndarray, tokens: np.ndarray | None) -> None:
        """Every live sequence has put out `tokens` (steps, sequences), None for one per step, the last one now."""
        now, steps = self.env.now, len(times_s)
        first_step_end = now - float(times_s[1:].sum())
        self.recorder.intervals(*_alike(first_step_end - self.live.last_s))
        if steps > 1:
            seconds, count = _alike(times_s[1:])
            self.recorder.intervals(seconds, count * len(self.live))
        self._grow(steps if tokens is None else tokens)
        self.live.advance(steps if tokens is None else tokens.sum(axis=0), now)
        staying = self.live.remaining > 0
        if not staying.all():
            for request, held in self.live.leave(staying):
                self._answer(request, held)

    def _grow(self, tokens: int | np.ndarray) -> None:
        """Take blocks for the tokens; the last step has written all that it computed, of which the rejected go."""
        if isinstance(tokens, int):
            self.kv.grow(self.live.held, tokens)
            return
        rejected = self.limits.width - tokens[-1]
        kept = tokens.sum(axis=0)
        self.kv.grow(self.live.held, kept + rejected)
        self.kv.shrink(self.live.held + kept, rejected)

    def _answer(self, request: Request, held: int) -> None:
        self.kv.publish_answer(request, held)
        self.kv.release(request, held)
        self.recorder.answered(request)
        self._tell(request)

    def _preempt(self) -> None:
        """The sequence that joined last gives its blocks back and will be computed again."""
        request, held = self.live.leave_last()
        self._fresh = 0
        self.kv.release(request, held)
        request.preemptions += 1
        request.computed = 0
        self.recorder.preemptions += 1
        self.waiting.appendleft(request)


class _Prompt:
    """The chunks of a prompt that follow each other. spans_s, spans_j: seconds and joules of each, float64."""

    def __init__(self, costs: list[StepCost]) -> None:
        self.costs = costs
        self.times_s = [cost.time_s for cost in costs]
        self.spans_s = np.array(self.times_s)
        self.spans_j = np.array([cost.energy_j for cost in costs])


def chunks_of(largest: int, done: int, total: int) -> Iterator[tuple[int, int]]:
    """Tokens of each chunk of a prompt of which `done` tokens are there, and tokens that are there after it."""
    while done < total:
        query = min(largest, total - done)
        done += query
        yield query, done


def chunk_costs(engine: ServingEngine, limiter: PowerLimiter, largest: int, done: int, total: int) -> list[StepCost]:
    """Costs of the chunks of a prompt of which `done` tokens are there, each as far as the power limiter has come."""
    costs = []
    for query, context in chunks_of(largest, done, total):
        cost = settled = engine.prefill_chunk(query, context)
        if settled.held and not limiter.is_still:
            rested = engine.prefill_chunk(query, context, 0.0)
            cost = engine.prefill_chunk(query, context, limiter.share(rested, settled))
        limiter.elapse(cost.time_s, cost.power_w, settled.held)
        costs.append(cost)
    return costs


def _alike(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of which neighbours differ, and how many of each stood together, float64."""
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    return values[ends], np.diff(ends, prepend=-1).astype(float)


def after_load(engine: ServingEngine, run: DecodeRun, seconds: float) -> DecodeRun:
    """A single step before which KV is loaded for so long; the chips wait."""
    if seconds <= 0.0:
        return run
    step = StepCost(float(run.times_s[0]), float(run.energies_j[0]), dict.fromkeys(RESOURCES, 0.0), 0.0, 0.0, 1.0)
    whole = engine.waiting(step, seconds)
    parts_j = run.parts_j + whole.parts_in_order
    return replace(run, times_s=np.array([whole.time_s]), energies_j=np.array([whole.energy_j]), parts_j=parts_j)


def _when(event: simpy.Event, action: Callable[[], None]) -> None:
    """Calls `action` when the event happens."""
    assert event.callbacks is not None
    event.callbacks.append(lambda _event: action())


def delay_until(now_s: float, end_s: float) -> float | None:
    """What added to `now_s` is `end_s` to the last bit, None where no number is.

    Sums halfway between two numbers round to the even one, so that an odd `end_s` can lie between two delays that both
    miss it.
    """
    nearest = end_s - now_s
    for delay_s in (nearest, math.nextafter(nearest, math.inf), math.nextafter(nearest, -math.inf)):
        if now_s + delay_s == end_s:
            return delay_s
    return None
