"""What differs between kinds of compute units; a kind has kernels of these names in `kernels/units/<kind>`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from npusim.compilation import kernel_by_record
from npusim.hardware.machine import is_with_pim
from npusim.hardware.units import kernel_by_unit, kind_of

_KERNELS = "npusim.kernels.units"
COSTED_TOGETHER = ("fusions", "place", "overlap")
"""Kernels of a unit in which the cost of an operator hangs on the others of its step."""


def where_costed_apart(kernel_apart: Any) -> Callable[[Any], Any]:
    """The function below it, but `kernel_apart` for machines that cost each operator for itself."""

    def decorate(contract: Any) -> Any:
        def choose(fields: frozenset[str]) -> Any:
            own = import_module(f"{_KERNELS}.{kind_of(fields)}")
            together = is_with_pim(fields) or any(hasattr(own, name) for name in COSTED_TOGETHER)
            return contract if together else kernel_apart

        return kernel_by_record("machine", choose)(contract)

    return decorate


@kernel_by_unit(_KERNELS, required=True)
def cost_row(row, machine, runtime, path, cost):
    """Set contraction_s, vector_s, memory_s and link_s of `cost` for a row of any kind but a collective over chips.

    Fixed times are added to its overhead_s, which holds the path's launch; macs is set where padding is multiplied
    too, and fetched where more or less is read from memory than the row's own bytes.
    """


@kernel_by_unit(_KERNELS, required=True)
def softmax_passes(machine):
    """Vector operations for each score of attention, which take energy."""


@kernel_by_unit(_KERNELS)
def fusions(machine, runtime, sizes):
    """Fill `sizes` with the numbers of engines (PEs) on which a step may run; returns how many there are."""
    sizes[0] = 1.0
    return 1


@kernel_by_unit(_KERNELS)
def place(rows, count, machine, runtime):
    """Set `tile`, `spilled` and `stays` of rows[:count] whose `pes` are set: what the memory of the engines holds."""


@kernel_by_unit(_KERNELS)
def meeting_time(machine, pes):
    """Seconds in which `pes` engines meet at the end of a step."""
    return 0.0


@kernel_by_unit(_KERNELS)
def drawn_bandwidth(limit, machine, pes):
    """Bytes/s that `pes` engines (1 where it has none) read together from a memory whose own limit is `limit`."""
    return limit


@kernel_by_unit(_KERNELS)
def kv_copies(row, machine, pes):
    """How often K and V are read from memory."""
    return 1.0


@kernel_by_unit(_KERNELS)
def lane_time(row, operations, machine):
    """Seconds of vector operations beside PIM units (softmax between scores and context, conversions); 0 where they
    overlap with the arrival of the results."""
    return 0.0


@kernel_by_unit(_KERNELS)
def softmax_launch(machine):
    """Fixed seconds of a softmax between scores and context of PIM units, beside its launch."""
    return 0.0


@kernel_by_unit(_KERNELS)
def waves(row, machine):
    """Waves of blocks in which the unit works off a row, one after the other."""
    return 1.0


@kernel_by_unit(_KERNELS)
def overlap(rows, count, machine, runtime, path, costs):
    """Subtract from `costs` of rows[:count] what the unit's queues hide of one operator under others."""
