"""Attention of decoding sequences on PIM units: scores against K, then the context from V, head by head.

Each head has its own channels. Query heads that share a KV head read it one after the other.
"""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.pim import (
    clear,
    exposed_gap,
    external_bandwidth,
    mac_interval,
    mac_rate,
    mode_switch,
    row_columns,
    units,
)
from npusim.kernels.pim_linear import add_products

_BITS = 8.0


@kernel
def decode_attention(heads, head_dim, kv, kv_bits, activation_bits, machine, cost):
    """Fill `cost` (PIM_COST_DTYPE) with attention of `heads` query heads of all sequences over `kv` tokens each.

    Refresh is not included. activation_bits: of queries and of the scores after softmax.
    """
    clear(cost)
    slots = machine.pim_channels / machine.pim_unit_attention_channels
    turns = math.ceil(heads / slots)
    alike = min(heads, slots)
    if machine.pim_overlaps_heads:
        # Heads overlap in pairs; the last of an odd number has no partner.
        if turns % 2.0 > 0.0:
            turns += min(1.0, kv / machine.pim_unit_attention_lone_tokens)
        _overlapped(turns, alike, head_dim, kv, kv_bits, activation_bits, machine, cost)
    else:
        channels = machine.pim_unit_attention_channels
        add_products(kv, head_dim, turns, channels, alike, kv_bits, activation_bits, machine, cost)
        add_products(head_dim, kv, turns, channels, alike, kv_bits, activation_bits, machine, cost)
    calls = 1.0
    results = head_dim
    if not machine.pim_softmax_in_memory:
        calls, results = 2.0, kv + head_dim
    cost.mode = calls * mode_switch(machine)
    cost.fence_s += calls * machine.pim_unit_fence_time * machine.pim_unit_fence_per_operation
    cost.read_bytes = heads * results * machine.pim_unit_reduction_output_bytes
    cost.host_read_s = cost.read_bytes / external_bandwidth(machine)


@kernel
def _overlapped(turns, alike, head_dim, kv, kv_bits, activation_bits, machine, cost):
    """Add `turns` heads one after the other, whose scores and inputs move while another head is multiplied.

    Tokens lie over pseudo-channels, ranks and bank groups, the head dimension over the banks of a group
    (scale-snu/attacc_simulator@c600051).
    """
    access = machine.pim_memory_organisation_access
    ways = machine.pim_unit_attention_channels * units(machine)
    dimension_ways = machine.pim_unit_attention_dimension_ways
    per_column = access * _BITS / kv_bits
    columns = math.ceil(kv / (ways / dimension_ways)) * math.ceil(head_dim / dimension_ways / per_column)
    macs = columns * max(1.0, per_column / mac_rate(kv_bits, activation_bits, machine))
    rows = math.ceil(columns / row_columns(machine))
    passes = 2.0 * turns
    cost.mac += passes * macs * mac_interval(machine)
    cost.activation += passes * rows * exposed_gap(machine)
    in_use = alike * machine.pim_unit_attention_channels
    cost.activations += passes * rows * machine.pim_unit_activation_banks * in_use
    cost.column_bytes += passes * columns * access * units(machine) * in_use
    cost.written_bytes += turns * alike * (head_dim + kv) * activation_bits / _BITS
    cost.macs += passes * columns * per_column * units(machine) * in_use
