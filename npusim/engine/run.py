"""Compiled costing of whole steps: one step, or a run of decode steps between two scheduling events."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from npusim.compilation import entry, kernel
from npusim.hardware.runtime_record import ATTENTION_GROUPED, ATTENTION_UNIFORM
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.pim_offload import with_units
from npusim.kernels.power import ENERGY_PARTS, IDLE, LOADED, total_energy, waiting_power
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.kernels.sub_batches import interleave, splits_batches
from npusim.mapping.lower import instantiate
from npusim.mapping.optable import OP_DTYPE
from npusim.mapping.specialise import room_for, specialise_rows, step_path

_ENDLESS = 1 << 40
"""More steps than any run has."""
# The constants of SplitMix64, and how many floats between 0 and 1 it can tell apart.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_MANTISSA = 2.0**53


class Workspace(NamedTuple):
    """Arrays that costing writes into, made once per engine.

    lowered, special: OP_DTYPE, the rows before and after specialising; costs: OPERATOR_COST_DTYPE, one per special
    row; step: STEP_COST_DTYPE (machines,); query, context: int64 and decoding: bool (sequences,); times_s, energies_j,
    host_s: float64 (steps,); parts_j, step_parts_j: float64 (ENERGY_PARTS,), joules of a run and of its latest step.
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
def steps_alike(context, runtime, growth):
    """Decode steps, the next one included, for which no sequence leaves its compiled context.

    Where every context runs as it is: for which the shortest grows by no more than the fraction `growth`, at least 1.
    """
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
    if runtime.attention_shapes == ATTENTION_UNIFORM:
        longest = context.max()
        multiple = runtime.contexts[0]
        return (multiple - longest % multiple) % multiple + 1
    return max(1, int(growth * context.min()))


@kernel
def exposed_host_time(device_s, sequences, logit_bytes, machine, runtime):
    """Host seconds that a step adds to the device's: scheduling (hidden where steps queue), sampling on the host, and
    what the front end needs for a token of each sequence beyond all that.
    """
    waiting = runtime.host_step_time
    if runtime.host_queue_limit > 1.0:
        waiting = max(0.0, waiting - device_s)
    if runtime.host_sampling:
        link = machine.host_link_bandwidth * machine.host_link_efficiency
        transfer = machine.host_link_latency + sequences * logit_bytes / link
        waiting += transfer + sequences * runtime.host_sampling_time
    if runtime.host_token_time > 0.0:
        waiting = max(waiting, sequences * runtime.host_token_time - device_s)
    return waiting


# Python hands an array to compiled code fifty times faster than a record: these take arrays of records.


@entry
def host_times_of(device_s, sequences, logit_bytes, machines, runtimes, host_s):
    """Fills `host_s` with `exposed_host_time` beside `device_s` on each of `machines` under each of `runtimes`."""
    for index in range(len(machines)):
        host_s[index] = exposed_host_time(device_s[index], sequences, logit_bytes, machines[index], runtimes[index])


def host_time_of(device_s: float, sequences: int, logit_bytes: float, machines: Any, runtimes: Any) -> float:
    """`exposed_host_time` beside the only machine of `machines` under the only record of `runtimes`."""
    host_s = np.zeros(1)
    host_times_of(np.array([device_s]), sequences, logit_bytes, machines, runtimes, host_s)
    return float(host_s[0])


@entry
def stall_times_of(seed, first, stalls, runtimes):
    """Fills `stalls` with `stall_time` of the steps from `first` on under the only record of `runtimes`."""
    for step in range(len(stalls)):
        stalls[step] = stall_time(seed, first + step, runtimes[0])


@kernel
def uniform(seed, counter):
    """A number in (0, 1) from a counter: SplitMix64 (Steele, Lea, Flood 2014, OOPSLA)."""
    z = np.uint64(seed) + np.uint64(counter) * _GAMMA
    z = (z ^ (z >> _SHIFT_1)) * _MIX_1
    z = (z ^ (z >> _SHIFT_2)) * _MIX_2
    z = z ^ (z >> _SHIFT_3)
    # The upper 53 bits fill a float's mantissa; the half keeps 0 out, whose logarithm is infinite.
    return (float(z >> np.uint64(11)) + 0.5) / _MANTISSA


@kernel
def stall_time(seed, counter, runtime):
    """Host stall of step number `counter`: exponential with probability stall_probability, else 0."""
    if runtime.host_stall_probability <= 0.0:
        return 0.0
    if uniform(seed, 2 * counter) >= runtime.host_stall_probability:
        return 0.0
    return -runtime.host_stall_time * math.log(uniform(seed, 2 * counter + 1))


@kernel
def _decode_step(template, query, context, decoding, slots, machines, runtimes, work):
    """Seconds of a decode step, and those in which it waits for launches; its joules (one chip) in step_parts_j: its
    micro-batches follow each other through the stages.

    A sequence waits until its token leaves the last stage; with fewer micro-batches than stages, the stages wait too.
    """
    machine, live = machines[0], len(query)
    parts = min(machine.micro_batches, live)
    busy_s, launch_wait_s, parts_j = 0.0, 0.0, work.step_parts_j
    parts_j[:] = 0.0
    for part in range(parts):
        start, end = part * live // parts, (part + 1) * live // parts
        # -(-a // b) rounds up.
        own = -(-slots // parts)
        own_query, own_context, own_decoding = query[start:end], context[start:end], decoding[start:end]
        cost_sequences(template, own_query, own_context, own_decoding, own, machines, runtimes, work)
        busy_s += work.step[0].time_s
        launch_wait_s += work.step[0].launch_wait_s
        _add_parts(work.step[0].parts_j, parts_j)
    bubble_s = busy_s * (max(machine.stages, parts) / parts - 1.0)
    _add_waiting(bubble_s, machine, parts_j)
    return busy_s + bubble_s, launch_wait_s


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
        query[sequence], decoding[sequence], context[sequence] = 1, True, held[sequence] + 1
    static_w = machine.power_idle + waiting_power(machine)
    elapsed, host_s, launch_wait_s, time_s, energy_j = 0.0, 0.0, 0.0, 0.0, 0.0
    parts_j = work.parts_j
    parts_j[:] = 0.0
    done, alike = 0, 0
    while done < limit and elapsed < horizon_s:
        if alike == 0:
            alike = min(steps_alike(context, runtime, growth), limit - done)
            # Cost grows in proportion to the context, so the middle step costs the mean.
            context += (alike - 1) // 2
            time_s, launch_wait_s = _decode_step(template, query, context, decoding, slots, machines, runtimes, work)
            energy_j = total_energy(work.step_parts_j)
            context -= (alike - 1) // 2
            host_s = exposed_host_time(time_s, live, logit_bytes, machine, runtime)
        alike -= 1
        waiting = host_s + stall_time(seed, counter + done, runtime)
        work.times_s[done], work.host_s[done] = time_s + waiting, launch_wait_s + waiting
        work.energies_j[done] = energy_j + waiting * static_w
        _add_parts(work.step_parts_j, parts_j)
        _add_waiting(waiting, machine, parts_j)
        elapsed += work.times_s[done]
        done += 1
        for sequence in range(live):
            context[sequence] += 1
    return done
