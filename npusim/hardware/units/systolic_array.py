"""Systolic arrays: weights stay in the cells, activations pass through; a vector unit and one memory on the chip."""

from __future__ import annotations

from typing import ClassVar, Literal

from npusim.hardware.compute import MacRates, Traits, Unit, VectorPasses
from npusim.ledger import Bandwidth, Bytes, Count, Duration, Efficiency, Few


class SystolicArray(Unit):
    """Weight-stationary arrays beside a vector unit (Jouppi et al., ISCA 2017 and 2021: TPU v1 and v4i)."""

    TRAITS: ClassVar = Traits(
        prefix="systolic",
        elements=("arrays", "array_rows", "array_columns"),
        macs="macs_per_cell",
        on_chip={"sram_bytes": ("sram",)},
        lanes=("vector_lanes",),
        shared=("array_columns",),
    )

    kind: Literal["systolic_array"]
    """Kind of compute unit."""
    arrays: Few
    """Number of arrays of the chip."""
    array_rows: Few
    """Number of rows of cells of an array, over which products are summed."""
    array_columns: Few
    """Number of columns of cells of an array, each of which makes an output."""
    macs_per_cell: MacRates
    """Multiply-accumulates of a cell by operand type."""
    row_granule: Few
    """Number of activation rows to whose multiples a matrix is padded."""
    array_efficiency: Efficiency
    """Fraction of the cycles, 0 to 1, in which running arrays are fed."""
    vector_lanes: Count
    """Number of vector lanes of the chip."""
    vector_passes: VectorPasses
    """Passes of the vector lanes by operator."""
    sram: Bytes
    """Memory on the chip (VMEM, CMEM) in which activations stay where they fit, in bytes."""
    sram_bandwidth: Bandwidth
    """Rate of that memory, in bytes/s."""
    transfer_start: Duration
    """Time from the start of an operator to the first bytes of its weights, in seconds."""
