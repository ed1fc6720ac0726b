"""What each kind of compute unit does in its own way; its kernels are `kernels/units/<kind>`, under these names."""

from __future__ import annotations

from npusim.hardware.units import kernel_by_unit

_KERNELS = "npusim.kernels.units"


@kernel_by_unit(_KERNELS, required=True)
def cost_row(row, machine, runtime, path, cost):
    """Set contraction_s, vector_s, memory_s and link_s of `cost` for a row of any kind but a collective over chips.

    Fixed times are added to its overhead_s, which holds the path's launch; macs is set where padding is multiplied too.
    """


@kernel_by_unit(_KERNELS, required=True)
def softmax_passes(machine):
    """Vector operations for each score of attention, which take energy."""


@kernel_by_unit(_KERNELS)
def drawn_bandwidth(limit, machine, pes):
    """Bytes/s that the unit's `pes` engines (1 where it has none) draw together of a memory that could give `limit`."""
    return limit


@kernel_by_unit(_KERNELS)
def kv_copies(row, machine, pes):
    """How often K and V are read from memory."""
    return 1.0


@kernel_by_unit(_KERNELS)
def softmax_time(row, machine, runtime):
    """Seconds of softmax between scores and context that PIM units make; 0 where it passes while results arrive."""
    return 0.0


@kernel_by_unit(_KERNELS)
def overlap(rows, count, machine, runtime, path, costs):
    """Take off `costs`, of rows[:count], what the unit's queues hide of one operator under others."""
