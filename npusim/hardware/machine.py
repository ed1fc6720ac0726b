"""Machine: one chip and its links as a flat record that the cost kernels read; many machines are one array.

Header fields (memory_*, reduction_*, power_*, host_link_*, fabric_*) hold for every chip; `unit_kind` says whether the
tcp_* or the gpu_* fields describe its compute unit; the pim_* fields hold where its memory has units (pim_maps_linear,
pim_maps_attention). All values are SI. It knows nothing of a model. The group_* tables say what collectives over the
groups of a plan put on the fabric (mapping/placement.py); NaN until a plan is placed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npusim import dtypes
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.compute import ContractionProcessor, Gpu
from npusim.hardware.flat import MAX_PARTS, FlatField, empty_record, fill, quantity_fields, record_dtype
from npusim.hardware.pim import Pim
from npusim.hardware.system import Card, Chip, ServerCards, System

UNIT_CONTRACTION_PROCESSOR = 0
UNIT_GPU = 1
GROUPS = 4
"""Kinds of groups of chips that work together."""
GROUP_TENSOR, GROUP_EXPERT, GROUP_EXPERT_TENSOR, GROUP_STAGE = range(GROUPS)
STEPS, MESSAGES, DEPTH, LOCAL = range(4)
"""Places in a row of `group_shape`."""
_UNIT_CODES = {"contraction_processor": UNIT_CONTRACTION_PROCESSOR, "gpu": UNIT_GPU}


_PIM_FLAGS = (
    "pim_maps_linear", "pim_maps_attention", "pim_maps_streams",
    "pim_keeps_inputs", "pim_balances", "pim_over_bus", "pim_opens_early",
    "pim_softmax_in_memory", "pim_overlaps_heads",
)  # fmt: skip


def _fields() -> Iterator[FlatField]:
    for part in (Chip, Card, ServerCards):
        yield from quantity_fields(part)


MACHINE_DTYPE = record_dtype(
    _fields(),
    [
        ("unit_kind", np.int64),
        ("power_cap_enforced", np.bool_),
        ("settled", np.float64),
        ("multiplies", np.int64, (dtypes.COUNT, dtypes.COUNT)),
        *((name, np.bool_) for name in _PIM_FLAGS),
        ("stages", np.int64),
        ("micro_batches", np.int64),
        ("transport_serves", np.int64, (MAX_PARTS, len(ALGORITHMS))),
        ("group_shape", np.float64, (GROUPS, len(SCHEDULES), 4)),
        ("group_hops", np.float64, (GROUPS, len(SCHEDULES), MAX_PARTS)),
        ("group_load", np.float64, (GROUPS, len(SCHEDULES), MAX_PARTS)),
    ],
)
PLACED = ("stages", "micro_batches", "transport_serves", "group_shape", "group_hops", "group_load")
"""Fields that a plan sets, not the description of the chip."""


def build_machine(system: System) -> np.ndarray:
    """The machine of one chip of `system`, an array of shape (1,) of MACHINE_DTYPE.

    A power cap whose provenance is `assumed` is not enforced: an unknown cap is no cap. `settled` is 1: the chip has
    run long enough to be hot and for its power limit to act; 0 is a rested chip.
    """
    machines = empty_record(MACHINE_DTYPE)
    record = machines[0]
    for part in (system.chip, system.card, system.server):
        fill(record, part)
    record["stages"] = record["micro_batches"] = 1
    record["unit_kind"] = _UNIT_CODES[system.chip.unit.kind]
    record["power_cap_enforced"] = not system.chip.power.cap.is_assumed
    record["settled"] = 1.0
    if system.chip.memory.stream_residual is None:
        record["memory_stream_residual"] = 1.0
    record["multiplies"] = _multiplication_types(system.chip.unit)
    if system.chip.pim is not None:
        _describe_pim(record, system.chip.pim)
    return machines


def build_pim(pim: Pim) -> np.ndarray:
    """A memory with PIM units alone: an array of shape (1,) of MACHINE_DTYPE of which the pim_* fields hold."""
    machines = empty_record(MACHINE_DTYPE)
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


def _multiplication_types(unit: ContractionProcessor | Gpu) -> np.ndarray:
    """Format code that is multiplied for [stored weight, activation]; NOT_MULTIPLIED where the chip cannot."""
    table = np.full((dtypes.COUNT, dtypes.COUNT), dtypes.NOT_MULTIPLIED, np.int64)
    rates = unit.macs_per_slice if isinstance(unit, ContractionProcessor) else unit.macs_per_sm
    for native in type(rates).model_fields:
        if getattr(rates, native) is not None:
            table[dtypes.code(native), dtypes.code(native)] = dtypes.code(native)
    for expansion in unit.expansions:
        place = dtypes.code(expansion.stored), dtypes.code(expansion.activations)
        table[place] = dtypes.code(expansion.computed)
    return table
