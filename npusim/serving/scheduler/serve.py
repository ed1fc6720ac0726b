"""The compiled server's other half: it asks the engine for costs, and hands the record over."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy

import numpy as np

from npusim.engine.analytic import DecodeRun
from npusim.engine.limiter import PowerLimiter
from npusim.engine.stepcost import StepCost
from npusim.serving.drafts import Drafts
from npusim.serving.kvcache import KvCache
from npusim.serving.limits import ServerLimits
from npusim.serving.record import Recorder
from npusim.serving.refusal import ACCEPTED, refusal_text
from npusim.serving.request import Request
from npusim.serving.scheduler.costed import Costing, costing_of, serve
from npusim.serving.scheduler.loop import go_on
from npusim.serving.scheduler.queue import first_has_no_room
from npusim.serving.scheduler.routed import collect, deliver, receive
from npusim.serving.scheduler.state import (
    DONE,
    NEEDS_PROMPT,
    NEEDS_ROOM,
    NEEDS_RUN,
    NEEDS_STALLS,
    NEEDS_STEP,
    NONE,
    ServerState,
)
from npusim.serving.scheduler.turns import HYBRID
from npusim.serving.served import ServedRequests, as_requests
from npusim.serving.server import ServingEngine, after_load, chunk_costs, chunks_of
from npusim.workload.step import mixed

_STALLS = 1 << 12
"""Steps whose stalls are drawn together."""
_ONE_EACH = np.zeros((0, 0), np.int64)
"""No tokens told: each step makes one of each sequence."""
_THIS_ONCE = 0
"""Place among the prompts of one that costs this only now: the power limiter is on its way, or a chunk stalls."""


class CompiledServer:
    """Serves the requests of a state; what it needs of the engine it asks for step by step."""

    def __init__(
        self,
        state: ServerState,
        engine: ServingEngine,
        limits: ServerLimits,
        recorder: Recorder,
        seed: int,
        drafts: Drafts | None = None,
    ) -> None:
        self.state, self._engine, self._limits, self._recorder, self._seed = state, engine, limits, recorder, seed
        # The limiter acts on prompts that are computed alone; where each is part of a mixed step, there are none.
        mixes = bool(state.rules["policy"][0] == HYBRID)
        limiter_s = math.nan if mixes else limits.limiter_s
        self._limiter = PowerLimiter(limiter_s, limits.sustained_s, limits.cap_w, limits.idle_w)
        state.rules["stalls"] = engine.stalls_at_all
        state.rules["asks_always"] = not self._limiter.is_still or recorder.log is not None
        self._costs: list[list[StepCost]] = [[]]
        self._chunks = 0
        self._live, self._steps = state.at["live"], state.at["steps"]
        self._times_s = self._joules = self._parts_j = np.zeros(0)
        self._drafts, self._tokens = drafts, _ONE_EACH
        self._most_steps, self._limiter_before = 0, self._limiter
        self._costing: Costing | None = None
        if self._limiter.is_still and recorder.log is None and drafts is None:
            self._costing = costing_of(engine, limits, seed, mixes, self._arguments)
        self._answers: dict[int, Callable[[int, float], None]] = {
            NEEDS_RUN: self._decode,
            NEEDS_PROMPT: self._prompt,
            NEEDS_STEP: self._mixed_step,
            NEEDS_STALLS: self._draw_stalls,
            NEEDS_ROOM: self._make_room,
        }

    def go_on(self) -> tuple[int, float]:
        """Serve until nothing is left that may happen: how many answers were heard of, when something next happens."""
        while True:
            wanted, steps, horizon_s = self._next_wish()
            if wanted == DONE:
                return steps, horizon_s
            self._answers[wanted](steps, horizon_s)

    @property
    def _arguments(self) -> tuple[ServerState, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.state, self._times_s, self._joules, self._parts_j, self._tokens

    def _next_wish(self) -> tuple[int, int, float]:
        """What the loop needs next (`go_on`); the costs that it was given last are kept."""
        state, *given = self._arguments
        if self._costing is None:
            return go_on(state, *given)
        wanted, steps, horizon_s, count, most = serve(state, self._costing, *given)
        if count > 0:
            work, self._most_steps = self._costing.work, most
            self._times_s, self._joules = work.times_s[:count].copy(), work.energies_j[:count].copy()
            self._parts_j = work.parts_j.copy()
        return wanted, steps, horizon_s

    def receive(
        self,
        index: int,
        isl: int,
        osl: int,
        given: int,
        paths: tuple[int, int, int, int],
        intake_s: float,
        due_s: float,
        now_s: float,
    ) -> float:
        """A request is sent from outside; when something next happens. paths: first node and nodes of its prompt, and
        of the one that goes on from it; intake_s: for which the front end is busy with it."""
        place = int(self.state.at["unsent"][0])
        if place == len(self.state.requests):
            self._make_room_for_requests()
        self.state.requests["intake_s"][place] = intake_s
        found = receive(self.state, index, isl, osl, given, *paths, due_s, now_s, self._times_s)
        return self._interrupted(now_s, found)

    def deliver(self, place: int, first_token_s: float, now_s: float) -> float:
        """The KV of the request in that row is there; when something next happens."""
        return self._interrupted(now_s, deliver(self.state, place, first_token_s, now_s, self._times_s))

    def collect(self, place: int, now_s: float) -> float:
        """The KV of the request in that row is no longer kept; when something next happens."""
        return self._interrupted(now_s, collect(self.state, place, now_s, self._times_s))

    def _interrupted(self, now_s: float, left_and_next: tuple[int, float]) -> float:
        left, next_s = left_and_next
        if left > 0:
            self._shorten(left, now_s)
        return float(next_s)

    def _shorten(self, left: int, now_s: float) -> None:
        """The run under way ends after `left` steps, since something happened at `now_s`: its joules are asked anew."""
        at = self.state.at[0]
        self._limiter = self._limiter_before
        self._steps[0] -= left
        self._decode(self._most_steps, now_s - float(at["begun_s"]))
        self._steps[0] += left

    def _make_room_for_requests(self) -> None:
        """Twice the room; the ring of those that wait is laid out anew."""
        state, at = self.state, self.state.at[0]
        first, count = int(at["waiting_first"]), int(at["waiting"])
        waiting = np.roll(state.queues["waiting"], -first)[:count]
        self.state = state._replace(requests=_longer(state.requests, 0), queues=_longer(state.queues, 0))
        self.state.queues["waiting"][:count], at["waiting_first"] = waiting, 0

    def make_room_for_nodes(self, nodes: int, path_nodes: int) -> None:
        """Room for at least so many nodes, and nodes of paths."""
        if nodes > len(self.state.nodes):
            self.state = self.state._replace(nodes=_longer(self.state.nodes, nodes))
        if path_nodes > len(self.state.paths):
            self.state = self.state._replace(paths=_longer(self.state.paths, path_nodes))

    def leave_in(self, kv: KvCache, make: Callable[[], list[Request]]) -> None:
        """Bring record and counts of the cache to where the run has left them; make: the requests before the run."""
        self._hand_over()
        state, at, recorder = self.state, self.state.at[0], self._recorder
        for name in ("preemptions", "decode_steps", "prefill_tokens", "mixed_steps", "peak_sequences"):
            setattr(recorder, name, int(at[name]))
        recorder.spend(at["parts_j"])
        kv.used, kv.peak = float(at["used"]), float(at["peak"])
        kv.hit_tokens, kv.asked_tokens = int(at["hit_tokens"]), int(at["asked_tokens"])
        kv.tier_hit_tokens = state.tiers["hit_tokens"].tolist()
        rows = state.requests[state.queues["ended"][: int(at["ended"])]]
        accepted = rows["refusal"] == ACCEPTED
        served = rows[accepted]
        recorder.requests = ServedRequests(served, lambda: as_requests(served, make()))
        refused = rows[~accepted]
        if len(refused):
            recorder.refused = as_requests(refused, make())
            for request, refusal in zip(recorder.refused, refused["refusal"].tolist(), strict=True):
                request.refusal = refusal_text(refusal, request, kv, self._limits)

    def _decode(self, steps: int, horizon_s: float) -> None:
        self._most_steps = steps
        held, slots, counter = self._held(), self._limits.slots, int(self._steps[0])
        if self._drafts is None:
            run = self._engine.decode_run(held, slots, steps, horizon_s, self._seed, counter)
        else:
            tokens = self._drawn(self._drafts, steps)
            run = self._drafts.engine.drafted_run(held, slots, tokens, horizon_s, self._seed, counter)
            self._tokens = tokens[: len(run.times_s)]
        self._log(run, [])
        self._take(run)

    def _log(self, run: DecodeRun, chunks: list[tuple[int, int]]) -> None:
        """Steps begin now, over all live sequences and chunks of prompts (request, tokens)."""
        if self._recorder.log is not None:
            decoding, now_s = self._limits.width * int(self._live[0]), float(self.state.at["now_s"][0])
            self._recorder.log.run(now_s, run, decoding, chunks, bool(first_has_no_room(self.state)))

    def _log_prompt(self, done: int, total: int, costs: list[StepCost]) -> None:
        """Chunks of the prompt at hand begin now."""
        if self._recorder.log is not None:
            state, at = self.state, self.state.at[0]
            index = int(state.requests["index"][at["request"]])
            sizes = [query for query, _ in chunks_of(self._limits.largest_chunk or total, done, total)]
            self._recorder.log.prompt(float(at["now_s"]), index, sizes, costs, bool(first_has_no_room(state)))

    def _drawn(self, drafts: Drafts, steps: int) -> np.ndarray:
        """Tokens of each live sequence in the next steps, (steps, sequences)."""
        live = self.state.sequences[: self._live[0]]
        requests, remaining = self.state.requests[live["live"]], live["remaining"]
        return drafts.tokens(requests["index"], requests["osl"] - remaining, remaining, steps)

    def _held(self) -> np.ndarray:
        """KV tokens that each live sequence holds."""
        return np.ascontiguousarray(self.state.sequences["held"][: self._live[0]])

    def _mixed_step(self, steps: int, horizon_s: float) -> None:
        state, count = self.state, int(self.state.at["chunks"][0])
        chunks = state.sequences[:count]
        tokens, which = chunks["chunk_tokens"], chunks["chunk_request"]
        contexts = (state.requests["computed"][which] + tokens).tolist()
        sizes = list(zip(tokens.tolist(), contexts, strict=True))
        width = self._limits.width
        step = mixed(self._held() + width, sizes, self._limits.slots, width)
        if self._drafts is not None:
            self._tokens = self._drawn(self._drafts, 1)
        at, ahead = state.at[0], bool(state.rules["ahead"][0])
        ready_s = float(max(at["seen_s"], at["launched_s"]) - at["now_s"]) if ahead else 0.0
        run = self._engine.mixed_run(step, self._seed, int(self._steps[0]), ready_s)
        at["launch_s"] = run.launch_s
        loads = state.requests["load_s"][which]
        state.requests["load_s"][which] = 0.0
        run = after_load(self._engine, run, sum(loads.tolist()))
        self._log(run, list(zip(state.requests["index"][which].tolist(), tokens.tolist(), strict=True)))
        self._take(run)

    def _take(self, run: DecodeRun) -> None:
        """The steps are what was asked for; the power limiter sees them, after the rest before them."""
        self._times_s, self._joules, self._parts_j = run.times_s, run.energies_j, run.parts_j
        if not self._limiter.is_still:
            self._wake_limiter()
            self._limiter_before = copy(self._limiter)
            seconds = float(run.times_s.sum())
            self._limiter.elapse(seconds, float(run.energies_j.sum()) / seconds, run.held)

    def _wake_limiter(self) -> None:
        at = self.state.at
        if at["rested"][0]:
            self._limiter.elapse(float(at["rested_s"][0]), self._limits.idle_w, False)
            at["rested"] = False

    def _prompt(self, steps: int, horizon_s: float) -> None:
        """Cost the prompt that is to begin: for good, or as this once a stall or the power limiter has it."""
        self._wake_limiter()
        state, at = self.state, self.state.at
        request = state.requests[int(at["request"][0])]
        done, total = int(request["computed"]), int(at["prompt_end"][0])
        if not self._limiter.is_still:
            costs = chunk_costs(self._engine, self._limiter, self._limits.largest_chunk or total, done, total)
        else:
            costs = self._costs[self._keep(done, total)]
        first = int(self._steps[0])
        stalls = [self._engine.stall_s(self._seed, step) for step in range(first, first + len(costs))]
        stalls[0] += float(request["load_s"])
        request["load_s"] = 0.0
        if self._limiter.is_still and not any(stalls):
            self._log_prompt(done, total, costs)
            at["prompt"] = self._place(done, total)
            return
        costs = [self._engine.waiting(cost, stall_s) for cost, stall_s in zip(costs, stalls, strict=True)]
        self._log_prompt(done, total, costs)
        self._write(_THIS_ONCE, done, costs)
        at["prompt"] = _THIS_ONCE

    def _place(self, done: int, total: int) -> int:
        place = int(self.state.prompts["first"][total])
        while place != NONE and self.state.prompts["done"][place] != done:
            place = int(self.state.prompts["next"][place])
        return place

    def _keep(self, done: int, total: int) -> int:
        """The place of a prompt among the known ones, costed where it is not there."""
        place = self._place(done, total)
        if place != NONE:
            return place
        place = len(self._costs)
        costs = chunk_costs(self._engine, self._limiter, self._limits.largest_chunk or total, done, total)
        self._costs.append(costs)
        self._write(place, done, costs)
        self._chunks += len(costs)
        self.state.prompts["next"][place] = self.state.prompts["first"][total]
        self.state.prompts["first"][total] = place
        return place

    def _write(self, place: int, done: int, costs: list[StepCost]) -> None:
        """Write what chunks cost behind those of the known prompts."""
        self._grow(place + 1, self._chunks + len(costs))
        state, own = self.state, slice(self._chunks, self._chunks + len(costs))
        prompt = state.prompts[place]
        prompt["done"], prompt["begin"], prompt["count"] = done, self._chunks, len(costs)
        chunks = state.chunks
        chunks["seconds"][own] = [cost.time_s for cost in costs]
        chunks["joules"][own] = [cost.energy_j for cost in costs]
        chunks["parts_j"][own] = [cost.parts_in_order for cost in costs]

    def _grow(self, prompts: int, chunks: int) -> None:
        state = self.state
        if prompts > len(state.prompts):
            longer = _longer(state.prompts, prompts)
            longer["first"][len(state.prompts) :] = NONE
            self.state = state = state._replace(prompts=longer)
        if chunks > len(state.chunks):
            self.state = state._replace(chunks=_longer(state.chunks, chunks))

    def _draw_stalls(self, steps: int, horizon_s: float) -> None:
        """Draw the stalls of further steps, at least of as many as the largest known prompt has chunks."""
        known = self.state.stall_s
        first, most = int(self._steps[0]), max(len(costs) for costs in self._costs)
        count = max(_STALLS, first + most - len(known))
        further = self._engine.stalls(self._seed, len(known), count)
        self.state = self.state._replace(stall_s=np.concatenate([known, further]))

    def _make_room(self, steps: int, horizon_s: float) -> None:
        """Hand the record over; an empty one that still has too little room gets more."""
        at = self.state.at[0]
        if at["intervals"] == at["spans"] == 0:
            record = self.state.record
            self.state = self.state._replace(record=np.zeros(2 * len(record), record.dtype))
        self._hand_over()

    def _hand_over(self) -> None:
        state, at = self.state, self.state.at
        intervals, spans = int(at["intervals"][0]), int(at["spans"][0])
        record = state.record
        self._recorder.intervals(record["interval_s"][:intervals].copy(), record["interval_weight"][:intervals].copy())
        self._recorder.spans(record["span_s"][:spans].copy(), record["span_j"][:spans].copy())
        at["intervals"] = at["spans"] = 0


def _longer(array: np.ndarray, least: int) -> np.ndarray:
    """The array with room for twice as much, at least for `least`."""
    longer = np.zeros((max(least, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
