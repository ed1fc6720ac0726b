"""Compiled costing of whole steps: one step, or a run of decode steps between two scheduling events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npusim.compilation import entry, kernel
from npusim.engine.host import exposed_host_time, stall_time
from npusim.engine.known_shapes import SHAPES, WIDTH, is_there, place_of, set_shape
from npusim.hardware.runtime_record import ATTENTION_GROUPED, ATTENTION_UNIFORM
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.pim_offload import with_units
from npusim.kernels.power import ENERGY_PARTS, IDLE, LOADED, total_energy, waiting_power
from npusim.kernels.step import STEP_COST_DTYPE, cost_grown, cost_step
from npusim.kernels.sub_batches import interleave, splits_batches
from npusim.kernels.unit import where_costed_apart
from npusim.mapping.lower import grow, grow_each, instantiate
from npusim.mapping.optable import ATTENTION, OP_DTYPE
from npusim.mapping.specialise import room_for, specialise_rows, step_path

_ENDLESS = 1 << 40
"""More steps than any run has."""


class Workspace(NamedTuple):
    """Arrays that costing writes into, made once per engine.

    lowered, special: OP_DTYPE, the rows before and after specialising; costs: OPERATOR_COST_DTYPE, one per special
    row; step: STEP_COST_DTYPE (machines,); query, context: int64 and decoding: bool (sequences,); times_s, energies_j,
    host_s: float64 (steps,); parts_j, step_parts_j: float64 (ENERGY_PARTS,), joules of a run and of its latest step;
    shape, known_shapes: int64 (WIDTH,), (SHAPES, WIDTH), known_steps: STEP_COST_DTYPE (SHAPES,), as `known_shapes` has
    them.
    """

    lowered: np.ndarray
    special: np.ndarray
    costs: np.ndarray
    step: np.ndarray
    query: np.ndarray
    context: np.ndarray
    decoding: np.ndarray
    times_s: np.ndarray
    energies_j: np.ndarray
    host_s: np.ndarray
    parts_j: np.ndarray
    step_parts_j: np.ndarray
    shape: np.ndarray
    known_shapes: np.ndarray
    known_steps: np.ndarray


class Kept(NamedTuple):
    """What a Workspace holds of a run's decode step before the next one: how many rows, 0 where they must be made anew;
    and of the tokens that its sequences held before the run, those of the longest one, and all."""

    rows: int
    longest: int
    total: int


def make_workspace(template: np.ndarray, sequences: int, steps: int, machines: int = 1) -> Workspace:
    """Room for steps of the program `template` over `sequences` sequences, in runs of `steps` on one machine."""
    lowered = np.zeros(2 * len(template), OP_DTYPE)
    special = np.zeros(len(template) + room_for(template, sequences), OP_DTYPE)
    return Workspace(
        lowered=lowered,
        special=special,
        costs=np.zeros(len(special), OPERATOR_COST_DTYPE),
        step=np.zeros(machines, STEP_COST_DTYPE),
        query=np.zeros(sequences, np.int64),
        context=np.zeros(sequences, np.int64),
        decoding=np.zeros(sequences, np.bool_),
        times_s=np.zeros(steps),
        energies_j=np.zeros(steps),
        host_s=np.zeros(steps),
        parts_j=np.zeros(len(ENERGY_PARTS)),
        step_parts_j=np.zeros(len(ENERGY_PARTS)),
        shape=np.zeros(WIDTH, np.int64),
        known_shapes=np.zeros((SHAPES, WIDTH), np.int64),
        known_steps=np.zeros(SHAPES, STEP_COST_DTYPE),
    )


@kernel
def _cost_whole(template, query, context, decoding, slots, machine, runtime, work, steps):
    """As `cost_machine`, all sequences together."""
    count = instantiate(template, query, context, decoding, work.lowered)
    lowered = work.lowered[:count]
    count = specialise_rows(lowered, query, context, decoding, slots, machine, runtime, work.special)
    live = 0
    for sequence in range(len(query)):
        live += 1 if decoding[sequence] else 0
    prefilling = live < len(query)
    path = step_path(len(query) - live if prefilling else live, prefilling, runtime)
    cost_step(work.special, count, machine, runtime, path, work.costs, steps[0])
    return count


@kernel
def _cost_interleaved(template, query, context, decoding, slots, machine, runtime, work, steps):
    """As `cost_machine`. A decode step is split into two sub-batches where the runtime can and that is faster: `steps`
    is then that of both, the rows and their costs are those of the whole.
    """
    count = _cost_whole(template, query, context, decoding, slots, machine, runtime, work, steps)
    half = len(query) // 2
    if splits_batches(runtime) and half > 0 and steps[0].pim_s > 0.0 and decoding.all():
        whole_s, parts = steps[0].time_s, np.zeros(2, STEP_COST_DTYPE)
        host, layers = np.zeros(2), 1.0
        for part in range(2):
            first, last = (0, half) if part == 0 else (half, len(query))
            own_query, own_context, own_decoding = query[first:last], context[first:last], decoding[first:last]
            own_step = parts[part : part + 1]
            count = _cost_whole(template, own_query, own_context, own_decoding, slots, machine, runtime, work, own_step)
            for index in range(count):
                host[part] += work.costs[index].repeat * work.costs[index].memory_s
                layers = max(layers, float(work.costs[index].repeat))
        count = _cost_whole(template, query, context, decoding, slots, machine, runtime, work, steps)
        interleave(parts, host, layers, machine)
        if parts[0].time_s < whole_s:
            steps[0] = parts[0]
    return count


@with_units(_cost_interleaved)
def cost_machine(template, query, context, decoding, slots, machine, runtime, work, steps):
    """Lower, specialise and cost one step: fills steps[0], special and costs of `work`; returns the number of rows."""
    return _cost_whole(template, query, context, decoding, slots, machine, runtime, work, steps)


@entry
def cost_sequences(template, query, context, decoding, slots, machines, runtimes, work):
    """`cost_machine` of one step on machine i of `machines` under record i of `runtimes` for each step[i] of `work`.

    special and costs of `work`, and the number of rows that is returned, are those of the last machine.
    """
    count = 0
    for index in range(len(machines)):
        steps, machine, runtime = work.step[index : index + 1], machines[index], runtimes[index]
        count = cost_machine(template, query, context, decoding, slots, machine, runtime, work, steps)
    return count


@kernel
def _set_contexts(context, held, further):
    """Contexts of sequences that hold `held` tokens, of their `further`-th step."""
    for sequence in range(len(held)):
        context[sequence] = held[sequence] + further


@kernel
def _cost_anew(template, query, context, decoding, slots, machines, runtimes, work):
    """`cost_sequences` of a decode step; the number of its rows in `work`, 0 where a step of its shape was known."""
    runtime = runtimes[0]
    known = runtime.attention_shapes == ATTENTION_GROUPED and not splits_batches(runtime)
    if not known or not set_shape(context, slots, runtime, work.shape):
        return cost_sequences(template, query, context, decoding, slots, machines, runtimes, work)
    used = 2 + runtime.context_count
    place = place_of(work.shape, used)
    if is_there(work.shape, work.known_shapes[place], used):
        work.step[0] = work.known_steps[place]
        return 0
    rows = cost_sequences(template, query, context, decoding, slots, machines, runtimes, work)
    for number in range(used):
        work.known_shapes[place, number] = work.shape[number]
    work.known_steps[place] = work.step[0]
    return rows


@kernel
def _cost_next_apart(template, held, further, query, context, decoding, slots, machine, machines, runtimes, work, kept):
    """As `cost_next`: of rows that other contexts leave as they are, the costs are kept."""
    runtime = runtimes[0]
    if kept.rows == 0 or runtime.attention_shapes in (ATTENTION_GROUPED, ATTENTION_UNIFORM):
        _set_contexts(context, held, further)
        return _cost_anew(template, query, context, decoding, slots, machines, runtimes, work)
    longest, total, live, is_set = kept.longest + further, kept.total + len(held) * further, len(held), False
    for index in range(kept.rows):
        row = work.special[index]
        if row.kind == ATTENTION and not grow(row, longest, total):
            if not is_set:
                _set_contexts(context, held, further)
                is_set = True
            grow_each(row, query, context, decoding)
    path = step_path(live, False, runtime)
    cost_grown(work.special, kept.rows, machine, runtime, path, work.costs, work.step[0])
    return kept.rows


@where_costed_apart(_cost_next_apart)
def cost_next(template, held, further, query, context, decoding, slots, machine, machines, runtimes, work, kept):
    """`cost_sequences` of the `further`-th decode step of sequences that hold `held` tokens, on the only `machine` of
    `machines`; query, context, decoding: room for theirs, of which query and decoding are set.

    kept: what `work` holds of the step before it of the same sequences.
    """
    _set_contexts(context, held, further)
    return _cost_anew(template, query, context, decoding, slots, machines, runtimes, work)


@kernel
def steps_alike(context, held, further, runtime, growth):
    """Decode steps from the `further`-th on of sequences that hold `held` tokens, for which none leaves its compiled
    context. context: room for theirs.

    Where every context runs as it is: for which the shortest grows by no more than the fraction `growth`, at least 1.
    """
    if runtime.attention_shapes not in (ATTENTION_GROUPED, ATTENTION_UNIFORM):
        return max(1, int(growth * (held.min() + further))) if growth > 0.0 else 1
    _set_contexts(context, held, further)
    alike = _ENDLESS
    if runtime.attention_shapes == ATTENTION_GROUPED:
        for sequence in range(len(context)):
            for bucket in range(runtime.context_count):
                if context[sequence] <= runtime.contexts[bucket]:
                    alike = min(alike, runtime.contexts[bucket] - context[sequence] + 1)
                    break
            else:
                return 1
        return alike
    longest = context.max()
    multiple = runtime.contexts[0]
    return (multiple - longest % multiple) % multiple + 1


@kernel
def _decode_step(template, held, further, query, context, decoding, slots, machines, runtimes, work, kept):
    """Rows of a decode step, 0 where `work` holds only a part of it, its seconds, and those in which it waits for
    launches; its joules (one chip) in step_parts_j: its micro-batches follow each other through the stages.

    A sequence waits until its token leaves the last stage; with fewer micro-batches than stages, the stages wait too.
    Arguments as those of `cost_next`.
    """
    machine, live = machines[0], len(held)
    parts = min(machine.micro_batches, live)
    busy_s, launch_wait_s, parts_j, rows = 0.0, 0.0, work.step_parts_j, 0
    parts_j[:] = 0.0
    for part in range(parts):
        start, end = part * live // parts, (part + 1) * live // parts
        # -(-a // b) rounds up.
        own = -(-slots // parts)
        rows = cost_next(
            template, held[start:end], further, query[start:end], context[start:end], decoding[start:end],
            own, machine, machines, runtimes, work, kept,
        )  # fmt: skip
        busy_s += work.step[0].time_s
        launch_wait_s += work.step[0].launch_wait_s
        _add_parts(work.step[0].parts_j, parts_j)
    bubble_s = busy_s * (max(machine.stages, parts) / parts - 1.0)
    _add_waiting(bubble_s, machine, parts_j)
    return rows if parts == 1 else 0, busy_s + bubble_s, launch_wait_s


@kernel
def _add_parts(more_j, parts_j):
    """Add joules by ENERGY_PARTS. (For arrays, numba compiles checks of their shapes that take longer than this.)"""
    for index in range(len(parts_j)):
        parts_j[index] += more_j[index]


@kernel
def _add_waiting(seconds, machine, parts_j):
    """Add the joules of a chip that waits."""
    parts_j[IDLE] += seconds * machine.power_idle
    parts_j[LOADED] += seconds * waiting_power(machine)


@entry
def mixed_run(template, query, context, decoding, slots, machines, runtimes, logit_bytes, stall_s, ready_s, work):
    """Cost one step with its host time and a stall, in the first places of times_s, energies_j (one chip) and host_s
    (those of times_s in which the chip waits for the host) of `work` and in parts_j; returns the host seconds in which
    it is launched.

    Where steps queue, its launch began `ready_s` after the step does (mostly before), and it lasts until that is done.
    """
    machine, runtime, step = machines[0], runtimes[0], work.step[0]
    cost_sequences(template, query, context, decoding, slots, machines, runtimes, work)
    launch, hosted = 0.0, step.time_s
    waiting = stall_s
    if runtime.host_queue_limit > 1.0:
        launch = runtime.host_step_time + step.launch_s
        lasting = max(step.time_s - step.launch_wait_s, ready_s + launch)
        waiting += lasting - step.time_s
        hosted = max(lasting, runtime.host_step_time)
    waiting += exposed_host_time(hosted, len(query), logit_bytes, machine, runtime)
    work.parts_j[:] = 0.0
    _add_parts(step.parts_j, work.parts_j)
    _add_waiting(waiting, machine, work.parts_j)
    work.times_s[0], work.host_s[0] = step.time_s + waiting, max(0.0, step.launch_wait_s + waiting)
    work.energies_j[0] = step.energy_j + waiting * (machine.power_idle + waiting_power(machine))
    return launch


@entry
def decode_run(template, held, slots, limit, horizon_s, growth, machines, runtimes, logit_bytes, seed, counter, work):
    """Run decode steps until `limit` steps are done or `horizon_s` has passed; returns the number of steps.

    Steps of nearly equal cost (`steps_alike`) are given the cost of the middle one.

    held: int64 (live,), KV tokens of each live sequence before the run; machines, runtimes: arrays of one record.
    times_s and energies_j of `work` are filled with seconds and joules (one chip) of each step, host time and stalls
    included; host_s with the seconds in which the chip waits for the host; parts_j with the joules of all steps by
    ENERGY_PARTS.
    """
    machine, runtime, live = machines[0], runtimes[0], len(held)
    query, context, decoding = work.query[:live], work.context[:live], work.decoding[:live]
    for sequence in range(live):
        query[sequence], decoding[sequence] = 1, True
    static_w = machine.power_idle + waiting_power(machine)
    elapsed, host_s, launch_wait_s, time_s, energy_j = 0.0, 0.0, 0.0, 0.0, 0.0
    parts_j = work.parts_j
    parts_j[:] = 0.0
    done, alike, kept = 0, 0, Kept(0, held.max(), held.sum())
    while done < limit and elapsed < horizon_s:
        if alike == 0:
            alike = min(steps_alike(context, held, 1 + done, runtime, growth), limit - done)
            # Cost grows in proportion to the context, so the middle step costs the mean.
            further = 1 + done + (alike - 1) // 2
            rows, time_s, launch_wait_s = _decode_step(
                template, held, further, query, context, decoding, slots, machines, runtimes, work, kept
            )
            kept = Kept(rows, kept.longest, kept.total)
            energy_j = total_energy(work.step_parts_j)
            host_s = exposed_host_time(time_s, live, logit_bytes, machine, runtime)
        alike -= 1
        waiting = host_s + stall_time(seed, counter + done, runtime)
        work.times_s[done], work.host_s[done] = time_s + waiting, launch_wait_s + waiting
        work.energies_j[done] = energy_j + waiting * static_w
        _add_parts(work.step_parts_j, parts_j)
        _add_waiting(waiting, machine, parts_j)
        elapsed += work.times_s[done]
        done += 1
    return done
