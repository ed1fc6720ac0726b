"""Time in which the SMs of a GPU read keys and values: from memory, or from the L2 cache where sequences share them."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.memory import kv_moved_bytes, stream_bandwidth
from npusim.kernels.rates import given
from npusim.kernels.units.gpu.attention import part_waves


@kernel
def kv_time(row, machine, runtime):
    """(seconds, bytes that the L2 cache saves the memory).

    Of the tokens that all decoding sequences have in common the first reader fetches keys and values, the others find
    them in the L2 cache while one layer's fit; all that is read passes that cache at its rate.
    """
    fetched, stored = kv_moved_bytes(row, machine, runtime)
    saved = _shared_bytes(row, fetched, machine)
    rate = stream_bandwidth(machine, 1.0) * given(machine.gpu_attention_stream_efficiency[row.library], 1.0)
    seconds = (fetched - saved + stored) / rate
    if saved > 0.0:
        through = given(machine.gpu_attention_cached_rate[row.library], machine.gpu_l2_bandwidth)
        seconds = min(max(seconds, (fetched + stored) / through), (fetched + stored) / rate)
    return seconds * _last_wave(row, rate, machine), saved


@kernel
def _shared_bytes(row, fetched, machine):
    """Bytes that all sequences but one find in the L2 cache."""
    if row.common <= 0.0 or row.batch <= 1.0 or row.kv_tokens <= 0.0:
        return 0.0
    once = fetched * min(row.common, row.kv_tokens / row.batch) / row.kv_tokens
    return (row.batch - 1.0) * once if once <= machine.gpu_l2_capacity else 0.0


@kernel
def _last_wave(row, rate, machine):
    """Time of decoding blocks over that of as many in full waves.

    The blocks of a last wave that is not full have the memory to themselves, but an SM reads no faster than
    `stream_per_sm`. Flash attention 3 splits a context only where its tiles are more than an SM's share of all.
    """
    per_sm = given(machine.gpu_attention_stream_per_sm[row.library], math.inf)
    if row.query != 1.0 or per_sm == math.inf:
        return 1.0
    waves = part_waves(row, machine)
    rest = waves - math.floor(waves)
    if waves <= 0.0 or rest <= 0.0:
        return 1.0
    share = min(1.0, rate / (machine.gpu_sms * per_sm))
    return (math.floor(waves) + max(rest, share)) / waves
