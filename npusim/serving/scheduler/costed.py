"""The server and the costs of its steps in one compiled loop, which does not pass through Python."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from npusim.compilation import entry, inner_part, kernel
from npusim.engine.analytic import MOST_STEPS, AnalyticEngine
from npusim.engine.host import stall_time
from npusim.engine.run import Workspace, decode_run, mixed_run
from npusim.serving.limits import ServerLimits
from npusim.serving.scheduler.elsewhere import NOWHERE, calls, machine_code
from npusim.serving.scheduler.loop import go_on
from npusim.serving.scheduler.state import DONE, NEEDS_RUN, NEEDS_STEP

_WISH = types.Tuple((types.int64, types.int64, types.float64))
_go_on, _decode_run, _mixed_run = calls(go_on, _WISH), calls(decode_run, types.int64), calls(mixed_run, types.float64)


class Costing(NamedTuple):
    """What costs the steps of a server: an analytic engine's own, and how its server runs them.

    held: room for the tokens that each sequence holds, int64 (sequences,); most_decoding: sequences with which a mixed
    step is still one compiled step; loop, decode, mixed: `machine_code` of the entries.
    """

    template: np.ndarray
    machines: np.ndarray
    runtimes: np.ndarray
    work: Workspace
    held: np.ndarray
    logit_bytes: float
    growth: float
    chips: float
    slots: int
    seed: int
    most_decoding: int
    loop: np.ndarray
    decode: np.ndarray
    mixed: np.ndarray


def costing_of(engine: Any, limits: ServerLimits, seed: int, mixes: bool, arguments: tuple[Any, ...]) -> Costing | None:
    """Costing by an engine, None where it is not an analytic one of one artifact without drafts; mixes: whether there
    are mixed steps; arguments: those of `go_on`."""
    if type(engine) is not AnalyticEngine or not engine.has_one_artifact:
        return None
    template, machines, runtimes, work = engine.compiled_parts
    held, logit_bytes, growth = np.zeros(len(work.query), np.int64), float(engine.logit_bytes), float(engine.growth)
    sequences = work.query, work.context, work.decoding, 1
    decode = template, held, 1, 1, 0.0, growth, machines, runtimes, logit_bytes, seed, 0, work
    mixed = template, *sequences, machines, runtimes, logit_bytes, 0.0, 0.0, work
    return Costing(
        template, machines, runtimes, work, held, logit_bytes, growth, float(engine.plan.chips), limits.slots, seed,
        engine.most_decoding, machine_code(go_on, _WISH, arguments), machine_code(decode_run, types.int64, decode),
        machine_code(mixed_run, types.float64, mixed) if mixes else NOWHERE,
    )  # fmt: skip


@entry
def serve(state, costing, times_s, joules, parts_j, tokens):
    """As `go_on` until the caller is needed for what is not costed here; arguments and what is returned as there.

    Returned besides: steps that `costing.work` holds, which the next call is to be given (0: what this one was), and
    the most steps that were asked for of its last run.
    """
    loop, work, given, most = costing.loop, costing.work, 0, 0
    wanted, steps, horizon_s = _go_on(loop[0], loop[1], (state, times_s, joules, parts_j, tokens))
    while wanted != DONE:
        count = 0
        if wanted == NEEDS_RUN:
            most = steps
            count = _cost_run(state, costing, steps, horizon_s)
        elif wanted == NEEDS_STEP and _is_one_step(state, costing):
            count = _cost_mixed(state, costing)
        if count == 0:
            break
        given = count
        for step in range(given):
            work.energies_j[step] *= costing.chips
        for part in range(len(work.parts_j)):
            work.parts_j[part] *= costing.chips
        own = state, work.times_s[:given], work.energies_j[:given], work.parts_j, tokens
        wanted, steps, horizon_s = _go_on(loop[0], loop[1], own)
    return wanted, steps, horizon_s, given, most


@kernel
def _cost_run(state, costing, limit, horizon_s):
    """Cost a run of decode steps; how many, 0 where the caller is to find out why there is no cost."""
    at, work, live = state.at[0], costing.work, state.at[0].live
    if live > len(costing.held):
        return 0
    held = costing.held[:live]
    for place in range(live):
        held[place] = state.sequences[place].held
    own = (
        costing.template, held, costing.slots, min(limit, MOST_STEPS), horizon_s, costing.growth, costing.machines,
        costing.runtimes, costing.logit_bytes, costing.seed, at.steps, work,
    )  # fmt: skip
    count = _decode_run(costing.decode[0], costing.decode[1], own)
    return count if _has_cost(work) else 0


@inner_part
def _is_one_step(state, costing):
    """Whether the mixed step runs as one, before which no KV is loaded."""
    at = state.at[0]
    if at.live > costing.most_decoding or at.live + at.chunks > len(costing.held):
        return False
    loaded_s = 0.0
    for place in range(at.chunks):
        loaded_s += state.requests[state.sequences[place].chunk_request].load_s
    return loaded_s == 0.0


@kernel
def _cost_mixed(state, costing):
    """Cost a mixed step; 1, or 0 as `_cost_run`."""
    at, rules, work, live = state.at[0], state.rules[0], costing.work, state.at[0].live
    count = live + at.chunks
    query, context, decoding = work.query[:count], work.context[:count], work.decoding[:count]
    for place in range(live):
        query[place], context[place], decoding[place] = 1, state.sequences[place].held + 1, True
    for place in range(at.chunks):
        own = state.sequences[place]
        done = state.requests[own.chunk_request].computed
        query[live + place], decoding[live + place] = own.chunk_tokens, False
        context[live + place] = done + own.chunk_tokens
    ready_s = max(at.seen_s, at.launched_s) - at.now_s if rules.ahead else 0.0
    stall_s = stall_time(costing.seed, at.steps, costing.runtimes[0])
    slots = costing.slots if costing.slots > 0 else count
    own = (
        costing.template, query, context, decoding, slots, costing.machines, costing.runtimes, costing.logit_bytes,
        stall_s, ready_s, work,
    )  # fmt: skip
    launch_s = _mixed_run(costing.mixed[0], costing.mixed[1], own)
    if not _has_cost(work):
        return 0
    at.launch_s = launch_s
    return 1


@inner_part
def _has_cost(work):
    """Whether the last step has a time and an energy."""
    last = work.step[0]
    return math.isfinite(last.time_s) and not math.isnan(last.energy_j)
