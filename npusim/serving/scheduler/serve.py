"""The compiled server's other half: it asks the engine for costs, and hands the record over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from npusim.engine.analytic import DecodeRun
from npusim.engine.limiter import PowerLimiter
from npusim.engine.stepcost import StepCost
from npusim.serving.kvcache import KvCache
from npusim.serving.limits import ServerLimits
from npusim.serving.record import Recorder
from npusim.serving.refusal import ACCEPTED, refusal_text
from npusim.serving.request import Request
from npusim.serving.scheduler.loop import go_on
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
from npusim.serving.served import ServedRequests
from npusim.serving.server import ServingEngine, chunk_costs
from npusim.workload.step import mixed

_STALLS = 1 << 12
"""Steps whose stalls are drawn together."""
_THIS_ONCE = 0
"""Place among the prompts of one that costs this only now: the power limiter is on its way, or a chunk stalls."""


class CompiledServer:
    """Serves the requests of a state to the end; what it needs of the engine it asks for step by step."""

    def __init__(
        self, state: ServerState, engine: ServingEngine, limits: ServerLimits, recorder: Recorder, seed: int
    ) -> None:
        self._state, self._engine, self._limits, self._recorder, self._seed = state, engine, limits, recorder, seed
        self._limiter = PowerLimiter(limits.limiter_s, limits.sustained_s, limits.cap_w, limits.idle_w)
        state.rules["asks_always"], state.rules["stalls"] = not self._limiter.is_still, engine.stalls_at_all
        self._costs: list[list[StepCost]] = [[]]
        self._chunks = 0
        self._live, self._steps = state.at["live"], state.at["steps"]
        self._times_s = self._joules = self._parts_j = np.zeros(0)

    def run(self) -> None:
        """Serve until nothing is left to happen."""
        answers = {
            NEEDS_RUN: self._decode,
            NEEDS_PROMPT: self._prompt,
            NEEDS_STEP: self._mixed_step,
            NEEDS_STALLS: self._draw_stalls,
            NEEDS_ROOM: self._make_room,
        }
        while True:
            wanted, steps, horizon_s = go_on(self._state, self._times_s, self._joules, self._parts_j)
            if wanted == DONE:
                return self._hand_over()
            answers[wanted](steps, horizon_s)

    def leave_in(self, kv: KvCache, make: Callable[[], list[Request]]) -> None:
        """Bring record and counts of the cache to where the run has left them; make: the requests before the run."""
        state, at, recorder = self._state, self._state.at[0], self._recorder
        for name in ("preemptions", "decode_steps", "prefill_tokens", "mixed_steps", "peak_sequences"):
            setattr(recorder, name, int(at[name]))
        recorder.spend(at["parts_j"])
        kv.used, kv.peak = float(at["used"]), float(at["peak"])
        kv.hit_tokens, kv.asked_tokens = int(at["hit_tokens"]), int(at["asked_tokens"])
        rows = state.requests[state.queues["ended"][: int(at["ended"])]]
        accepted = rows["refusal"] == ACCEPTED
        served = rows[accepted]
        recorder.requests = ServedRequests(served, lambda: _as_requests(served, make()))
        refused = rows[~accepted]
        if len(refused):
            recorder.refused = _as_requests(refused, make())
            for request, refusal in zip(recorder.refused, refused["refusal"].tolist(), strict=True):
                request.refusal = refusal_text(refusal, request, kv, self._limits)

    def _decode(self, steps: int, horizon_s: float) -> None:
        held, counter = self._held(), int(self._steps[0])
        run = self._engine.decode_run(held, self._limits.slots, steps, horizon_s, self._seed, counter)
        self._take(run)

    def _held(self) -> np.ndarray:
        """KV tokens that each live sequence holds."""
        return np.ascontiguousarray(self._state.sequences["held"][: self._live[0]])

    def _mixed_step(self, steps: int, horizon_s: float) -> None:
        state, count = self._state, int(self._state.at["chunks"][0])
        chunks = state.sequences[:count]
        tokens, which = chunks["chunk_tokens"], chunks["chunk_request"]
        contexts = (state.requests["computed"][which] + tokens).tolist()
        sizes = list(zip(tokens.tolist(), contexts, strict=True))
        step = mixed(self._held() + 1, sizes, self._limits.slots)
        self._take(self._engine.mixed_run(step, self._seed, int(self._steps[0])))

    def _take(self, run: DecodeRun) -> None:
        """The steps are what was asked for; the power limiter sees them, after the rest before them."""
        self._times_s, self._joules, self._parts_j = run.times_s, run.energies_j, run.parts_j
        if not self._limiter.is_still:
            self._wake_limiter()
            seconds = float(run.times_s.sum())
            self._limiter.elapse(seconds, float(run.energies_j.sum()) / seconds, run.held)

    def _wake_limiter(self) -> None:
        at = self._state.at
        if at["rested"][0]:
            self._limiter.elapse(float(at["rested_s"][0]), self._limits.idle_w, False)
            at["rested"] = False

    def _prompt(self, steps: int, horizon_s: float) -> None:
        """Cost the prompt that is to begin: for good, or as this once a stall or the power limiter has it."""
        self._wake_limiter()
        state, at = self._state, self._state.at
        request = state.requests[int(at["request"][0])]
        done, total = int(request["computed"]), int(request["isl"] + request["generated"])
        if not self._limiter.is_still:
            costs = chunk_costs(self._engine, self._limiter, self._limits.largest_chunk or total, done, total)
        else:
            costs = self._costs[self._keep(done, total)]
        first = int(self._steps[0])
        stalls = [self._engine.stall_s(self._seed, step) for step in range(first, first + len(costs))]
        if self._limiter.is_still and not any(stalls):
            at["prompt"] = self._place(done, total)
            return
        costs = [self._engine.waiting(cost, stall_s) for cost, stall_s in zip(costs, stalls, strict=True)]
        self._write(_THIS_ONCE, done, costs)
        at["prompt"] = _THIS_ONCE

    def _place(self, done: int, total: int) -> int:
        place = int(self._state.prompts["first"][total])
        while place != NONE and self._state.prompts["done"][place] != done:
            place = int(self._state.prompts["next"][place])
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
        self._state.prompts["next"][place] = self._state.prompts["first"][total]
        self._state.prompts["first"][total] = place
        return place

    def _write(self, place: int, done: int, costs: list[StepCost]) -> None:
        """Write what chunks cost behind those of the known prompts."""
        self._grow(place + 1, self._chunks + len(costs))
        state, own = self._state, slice(self._chunks, self._chunks + len(costs))
        prompt = state.prompts[place]
        prompt["done"], prompt["begin"], prompt["count"] = done, self._chunks, len(costs)
        chunks = state.chunks
        chunks["seconds"][own] = [cost.time_s for cost in costs]
        chunks["joules"][own] = [cost.energy_j for cost in costs]
        chunks["parts_j"][own] = [cost.parts_in_order for cost in costs]

    def _grow(self, prompts: int, chunks: int) -> None:
        state = self._state
        if prompts > len(state.prompts):
            longer = _longer(state.prompts, prompts)
            longer["first"][len(state.prompts) :] = NONE
            self._state = state = state._replace(prompts=longer)
        if chunks > len(state.chunks):
            self._state = state._replace(chunks=_longer(state.chunks, chunks))

    def _draw_stalls(self, steps: int, horizon_s: float) -> None:
        """Draw the stalls of further steps, at least of as many as the largest known prompt has chunks."""
        known = self._state.stall_s
        first, most = int(self._steps[0]), max(len(costs) for costs in self._costs)
        count = max(_STALLS, first + most - len(known))
        further = self._engine.stalls(self._seed, len(known), count)
        self._state = self._state._replace(stall_s=np.concatenate([known, further]))

    def _make_room(self, steps: int, horizon_s: float) -> None:
        """Hand the record over; an empty one that still has too little room gets more."""
        at = self._state.at[0]
        if at["intervals"] == at["spans"] == 0:
            record = self._state.record
            self._state = self._state._replace(record=np.zeros(2 * len(record), record.dtype))
        self._hand_over()

    def _hand_over(self) -> None:
        state, at = self._state, self._state.at
        intervals, spans = int(at["intervals"][0]), int(at["spans"][0])
        record = state.record
        self._recorder.intervals(record["interval_s"][:intervals].copy(), record["interval_weight"][:intervals].copy())
        self._recorder.spans(record["span_s"][:spans].copy(), record["span_j"][:spans].copy())
        at["intervals"] = at["spans"] = 0


def _as_requests(rows: np.ndarray, requests: list[Request]) -> list[Request]:
    """Those of `requests` that have rows, brought to where their rows are."""
    found = [requests[index] for index in rows["index"].tolist()]
    for name in ("due_s", "sent_s", "first_token_s", "last_token_s", "generated", "computed", "preemptions"):
        for request, value in zip(found, rows[name].tolist(), strict=True):
            setattr(request, name, value)
    return found


def _longer(array: np.ndarray, least: int) -> np.ndarray:
    """The array with room for twice as much, at least for `least`."""
    longer = np.zeros((max(least, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
