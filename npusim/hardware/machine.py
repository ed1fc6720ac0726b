"""Machine: one chip and its links as a flat record that the cost kernels read; many machines are one array.

Header fields (memory_*, reduction_*, power_*, host_link_*, fabric_*) hold for every chip. Beside them a record has the
fields of its own kind of compute unit under that kind's prefix (tcp_*, gpu_*), and the pim_* fields only where its
memory has units: kernels compile for the record, so a chip compiles what it has. All values are SI. It knows nothing of
a model. The group_* tables say the load that collectives over the groups of a plan put on the fabric
(mapping/placement.py); NaN until a plan is placed.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from npusim import dtypes
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.compute import MacRates, Unit
from npusim.hardware.flat import MAX_PARTS, empty_record, fill, quantity_fields, record_dtype
from npusim.hardware.pim import Pim
from npusim.hardware.reductions import TOPOLOGIES
from npusim.hardware.system import Card, Chip, ServerCards, System
from npusim.hardware.technology.reference import energies_left_out, follow_reference
from npusim.hardware.units import KINDS, MARK

_GROUPS = 4
"""Kinds of groups of chips that work together."""
GROUP_TENSOR, GROUP_EXPERT, GROUP_EXPERT_TENSOR, GROUP_STAGE = range(_GROUPS)
STEPS, MESSAGES, DEPTH, LOCAL = range(4)
"""Indices into a row of `group_shape`."""


_HEADER: list[tuple[Any, ...]] = [
    ("power_cap_enforced", np.bool_),
    ("power_over_nominal", np.float64),
    ("power_clocks", np.float64),
    ("settled", np.float64),
    ("reduction_topology", np.int64),
    ("multiplies", np.int64, (dtypes.COUNT, dtypes.COUNT)),
    ("stages", np.int64),
    ("micro_batches", np.int64),
    ("transport_serves", np.int64, (MAX_PARTS, len(ALGORITHMS))),
    ("group_shape", np.float64, (_GROUPS, len(SCHEDULES), 4)),
    ("group_hops", np.float64, (_GROUPS, len(SCHEDULES), MAX_PARTS)),
    ("group_load", np.float64, (_GROUPS, len(SCHEDULES), MAX_PARTS)),
]
_PIM_FLAGS = [
    (f"pim_{name}", np.bool_)
    for name in (
        "maps_linear", "maps_attention", "maps_streams", "keeps_inputs", "balances", "over_bus", "opens_early",
        "softmax_in_memory", "overlaps_heads",
    )
]  # fmt: skip
PIM_DTYPE = record_dtype(quantity_fields(Pim, "pim_"), _PIM_FLAGS)


@cache
def machine_dtype(kind: str, pim: bool) -> np.dtype[np.void]:
    """The record of a chip with that kind of compute unit, with or without units in its memory."""
    unit, marks = KINDS[kind], [(MARK + kind, np.bool_)]
    fields = [
        *quantity_fields(Chip, skipped=("unit", "pim")),
        *quantity_fields(unit, f"{unit.TRAITS.prefix}_"),
        *(quantity_fields(Pim, "pim_") if pim else ()),
        *quantity_fields(Card),
        *quantity_fields(ServerCards),
    ]
    return record_dtype(fields, [*marks, *_HEADER, *(_PIM_FLAGS if pim else ())])


def is_with_pim(fields: frozenset[str]) -> bool:
    """Whether a machine's record with these fields has units in its memory."""
    return "pim_maps_linear" in fields


PLACED = ("stages", "micro_batches", "transport_serves", "group_shape", "group_hops", "group_load")
"""Fields that a plan sets, not the description of the chip."""


def build_machine(system: System) -> np.ndarray:
    """The machine of one chip of `system`, an array of shape (1,) of its `machine_dtype`.

    A power cap whose provenance is `assumed` is not enforced unless the description says so: an unknown cap is no cap.
    power_over_nominal: clock of the unit over that at which its energies hold; power_clocks: watts of the clocks, part
    of `loaded_static`. `settled` is 1: the chip has run long enough to be hot and for its power limit to act; 0 is a
    rested chip.
    """
    machines = described_machine(system)
    follow_reference(system, machines)
    for field, figure in energies_left_out(system, machines).items():
        machines[field] = figure.value
    return machines


def described_machine(system: System) -> np.ndarray:
    """As `build_machine`, the energies as they stand in the description."""
    machines = empty_record(machine_dtype(system.chip.unit.kind, system.chip.pim is not None))
    record = machines[0]
    for part in (system.chip, system.card, system.server):
        fill(record, part)
    record["stages"] = record["micro_batches"] = 1
    record[MARK + system.chip.unit.kind] = True
    record["power_cap_enforced"] = system.chip.power.enforces
    record["power_over_nominal"] = system.chip.over_nominal
    record["settled"] = 1.0
    if system.chip.memory.stream_residual is None:
        record["memory_stream_residual"] = 1.0
    if system.chip.memory.host_share is None:
        record["memory_host_share"] = 0.0
    record["fabric_transports_message"] = np.nan_to_num(record["fabric_transports_message"])
    _describe_reduction(record, system.chip)
    record["multiplies"] = _multiplication_types(system.chip.unit)
    if system.chip.pim is not None:
        _describe_pim(record, system.chip.pim)
    return machines


def _describe_reduction(record: Any, chip: Chip) -> None:
    """The topology, and what a description may leave out: times hold at its own clock, over any number of PEs."""
    if chip.reduction is not None:
        record["reduction_topology"] = list(TOPOLOGIES).index(chip.reduction.topology)
        if chip.reduction.measured_pes is None:
            record["reduction_measured_pes"] = math.inf
        if chip.reduction.further is None:
            record["reduction_further"] = 1.0
    timing = f"{chip.unit.TRAITS.prefix}_timing_clock"
    if timing in (record.dtype.names or ()) and math.isnan(record[timing]):
        record[timing] = chip.unit.clock.value


def build_pim(pim: Pim) -> np.ndarray:
    """A memory with PIM units alone: an array of shape (1,) of PIM_DTYPE."""
    machines = empty_record(PIM_DTYPE)
    fill(machines[0], pim, "pim_")
    _describe_pim(machines[0], pim)
    return machines


def _describe_pim(record: Any, pim: Pim) -> None:
    unit = pim.unit
    record["pim_maps_linear"] = unit.linear is not None
    record["pim_maps_attention"] = unit.attention is not None
    record["pim_maps_streams"] = unit.streams is not None
    record["pim_keeps_inputs"] = unit.linear is not None and unit.linear.keeps == "inputs"
    record["pim_balances"] = unit.linear is not None and unit.linear.balanced
    record["pim_over_bus"] = unit.broadcast.over_bus
    record["pim_opens_early"] = unit.activation.early
    record["pim_softmax_in_memory"] = unit.attention is not None and unit.attention.softmax == "memory"
    record["pim_overlaps_heads"] = unit.attention is not None and unit.attention.overlapped


def _multiplication_types(unit: Unit) -> np.ndarray:
    """Format code that is multiplied for [stored weight, activation]; NOT_MULTIPLIED where the chip cannot."""
    table = np.full((dtypes.COUNT, dtypes.COUNT), dtypes.NOT_MULTIPLIED, np.int64)
    for native in MacRates.model_fields:
        if getattr(unit.macs, native) is not None:
            table[dtypes.code(native), dtypes.code(native)] = dtypes.code(native)
    for expansion in unit.expansions:
        position = dtypes.code(expansion.stored), dtypes.code(expansion.activations)
        table[position] = dtypes.code(expansion.computed)
    for activations in range(dtypes.COUNT):
        # Elements of NVFP4 are those of MXFP4, in blocks of their own: what widens the ones widens the others.
        if table[dtypes.NVFP4, activations] == dtypes.NOT_MULTIPLIED and activations != dtypes.NVFP4:
            table[dtypes.NVFP4, activations] = table[dtypes.MXFP4, activations]
    if unit.macs.nvfp4 is None:
        table[dtypes.NVFP4, dtypes.NVFP4] = table[dtypes.NVFP4, dtypes.BF16]
    return table
