"""Time of the host beside a step: what of it the device does not hide, and stalls that come at random."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npusim.compilation import entry, kernel

# The constants of SplitMix64, and how many floats between 0 and 1 it can tell apart.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_MANTISSA = 2.0**53


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
