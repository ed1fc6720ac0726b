"""Time of collectives over the chips of a plan's groups."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.machine import DEPTH, LOCAL, MESSAGES, STEPS

_OPERATION = np.array([operation for operation, _ in SCHEDULES])
_ALGORITHM = np.array([list(ALGORITHMS).index(name) for _, name in SCHEDULES])
_OPERATIONS = len(OPERATIONS)


@kernel
def collective_time(operation, byte_count, group, machine):
    """Seconds of a collective over a group of the machine's plan: its fastest schedule on its fastest transport."""
    schedule, transport = fastest(operation, byte_count, group, machine)
    return schedule_time(schedule, transport, byte_count, group, machine)


@kernel
def fastest(operation, byte_count, group, machine):
    """Schedule and transport of least time; (-1, -1) where there is none. Raises ValueError for an unknown
    operation."""
    if not 0 <= operation < _OPERATIONS:
        raise ValueError("no collective has this code")
    best, chosen, carrier = np.inf, -1, -1
    for schedule in range(len(_OPERATION)):
        if _OPERATION[schedule] != operation:
            continue
        for transport in range(len(machine.transport_serves)):
            time = schedule_time(schedule, transport, byte_count, group, machine)
            if time < best:
                best, chosen, carrier = time, schedule, transport
    return chosen, carrier


@kernel
def schedule_time(schedule, transport, byte_count, group, machine):
    """Seconds of one schedule on one transport; infinite where the transport does not run its algorithm.

    t = launch + a + n b (Hockney 1994), a message cut in chunks through `depth` stages: launch + (depth + k - 1)
    (a + n b / k) with the best k (Sanders, Speck, Traeff 2009).
    """
    if schedule < 0 or machine.transport_serves[transport, _ALGORITHM[schedule]] == 0:
        return np.inf
    fixed, per_byte = stage_cost(schedule, transport, group, machine)
    # NaN: the schedule does not work for this group.
    if not fixed >= 0.0:
        return np.inf
    launch = machine.fabric_transports_launch[transport]
    moved = byte_count * per_byte
    depth = machine.group_shape[group, schedule, DEPTH]
    if depth <= 1.0:
        return launch + fixed + moved
    # Without a fixed cost the best chunk is as small as it can be, a byte.
    chunks = max(1.0, math.sqrt((depth - 1.0) * moved / fixed)) if fixed > 0.0 else byte_count
    return launch + (depth + chunks - 1.0) * (fixed + moved / chunks)


@kernel
def stage_cost(schedule, transport, group, machine):
    """Fixed seconds, and seconds per byte of the message, of a schedule or of one of its stages."""
    shape = machine.group_shape[group, schedule]
    fixed = (
        shape[STEPS] * machine.fabric_transports_step[transport]
        + shape[MESSAGES] * machine.fabric_transports_message[transport]
    )
    per_byte = 0.0
    for level in range(len(machine.fabric_levels_link_latency)):
        if machine.group_hops[group, schedule, level] > 0.0:
            fixed += machine.group_hops[group, schedule, level] * machine.fabric_levels_link_latency[level]
        if machine.group_load[group, schedule, level] > 0.0:
            per_byte += machine.group_load[group, schedule, level] / link_rate(level, machine)
    per_byte /= machine.fabric_transports_efficiency[transport]
    copying = machine.fabric_transports_copy_bandwidth[transport]
    if copying > 0.0:
        per_byte += shape[LOCAL] / copying
    return fixed, per_byte


@kernel
def link_rate(level, machine):
    """Payload rate of a link of a level, in bytes/s."""
    rate = machine.fabric_levels_link_bandwidth[level] * machine.fabric_levels_link_efficiency[level]
    payload = machine.fabric_levels_link_packet_payload[level]
    return rate * payload / (payload + machine.fabric_levels_link_packet_header[level]) if payload > 0.0 else rate
