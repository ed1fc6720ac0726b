"""The cost of one operator on one machine: seconds per resource, joules."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, record_type
from npusim.hardware.algorithms import OPERATIONS
from npusim.kernels.collective import collective_time
from npusim.kernels.launch import launch_time
from npusim.kernels.pim_offload import layout_loss, offload
from npusim.kernels.power import product_energy, vector_energy
from npusim.kernels.unit import cost_row
from npusim.mapping.optable import COLLECTIVE, OP_NAMES

_OPERATION = np.array([OPERATIONS.index(name) if name in OPERATIONS else -1 for name in OP_NAMES])
"""The collective operation of an operator, by the operator's code."""

OPERATOR_COST_DTYPE = record_type(
    [
        ("repeat", np.int64),
        ("contraction_s", np.float64),
        ("vector_s", np.float64),
        ("memory_s", np.float64),
        ("pim_s", np.float64),
        ("pim_mode_s", np.float64),
        ("link_s", np.float64),
        ("overhead_s", np.float64),
        ("macs", np.float64),
        ("fetched", np.float64),
        ("stored", np.float64),
        ("compute_j", np.float64),
        ("transfer_j", np.float64),
        ("vector_j", np.float64),
        ("write_j", np.float64),
        ("link_j", np.float64),
        ("pim_activate_j", np.float64),
        ("pim_column_j", np.float64),
        ("pim_mac_j", np.float64),
        ("pim_io_j", np.float64),
    ]
)


@kernel
def cost_operator(row, machine, runtime, path, cost):
    """Fill `cost` (OPERATOR_COST_DTYPE) for one specialised row; `path` is the index of the step's path.

    compute_j is that of products and vector operations (vector_j) at full clock; transfer_j that of memory reads and
    writes (write_j), of links (link_j) and of units in memory (pim_*_j). pim_mode_s is the part of pim_s in which the
    memory is switched to its units and back.

    macs includes those on padding, where the kernel computes it; fetched, stored: bytes read from and written to
    memory over its pins, those of whole access units and of copies included. link_s and overhead_s are what is left
    exposed beside the operator's arithmetic or memory stream: by the fraction that the path states, or, where it states
    none, by what the unit's queues can hide (`overlap` subtracts that later).
    """
    cost.repeat = row.repeat
    cost.contraction_s = cost.vector_s = cost.memory_s = cost.link_s = 0.0
    cost.pim_s = cost.pim_mode_s = 0.0
    cost.overhead_s = launch_time(row, runtime, path)
    cost.macs = row.flops / 2.0
    cost.fetched, cost.stored = row.weight_bytes + row.kv_read_bytes, row.kv_write_bytes
    cost_row(row, machine, runtime, path, cost)
    if row.kind == COLLECTIVE:
        cost.link_s = row_collective_time(row, machine)
    cost.memory_s *= layout_loss(row, machine, runtime)
    if not math.isnan(runtime.paths_hidden[path]):
        _hide(cost, runtime.paths_hidden[path])
    cost.vector_j = vector_energy(row, machine)
    cost.compute_j = product_energy(row, cost.macs, machine) + cost.vector_j
    cost.write_j = cost.stored * machine.power_memory_byte
    cost.link_j = row.collective_bytes * machine.power_link_byte
    cost.transfer_j = cost.fetched * machine.power_memory_byte + cost.write_j + cost.link_j
    cost.pim_activate_j = cost.pim_column_j = cost.pim_mac_j = cost.pim_io_j = 0.0
    offload(row, machine, runtime, path, cost)


@kernel
def row_collective_time(row, machine):
    """Seconds of a COLLECTIVE row over its group of chips."""
    return collective_time(_OPERATION[row.op], row.collective_bytes, row.group, machine)


@kernel
def _hide(cost, part):
    """Hide the fraction `part` of the fixed times under the operator's arithmetic or memory stream, as long as it
    lasts."""
    fixed = cost.link_s + cost.overhead_s
    if fixed > 0.0:
        busy = max(cost.contraction_s + cost.vector_s, cost.memory_s)
        left = 1.0 - part * min(fixed, busy) / fixed
        cost.link_s *= left
        cost.overhead_s *= left
