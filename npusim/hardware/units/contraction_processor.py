"""Tensor contraction processors: clusters of PEs, each a row of slices with SRAM and engines."""

from __future__ import annotations

from typing import ClassVar, Literal

from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates, Traits, Unit, VectorPasses
from npusim.ledger import Bytes, BytesPerCycle, Count, Cycles, Duration, Efficiency, Few, Fraction, Frequency, Ratio


class VectorPrograms(Part):
    """Tensor-unit programs, one after the other, of which an operator consists whatever its size."""

    norm: Ratio
    """Number of programs of a normalisation."""
    rope: Ratio
    """Number of programs of a rotary position embedding."""
    activation: Ratio
    """Number of programs of an activation function with its product."""
    softmax: Ratio
    """Number of programs of a softmax."""
    sample: Ratio
    """Number of programs of sampling."""


class ContractionProcessor(Unit):
    """A tensor contraction processor: clusters of PEs, each a row of slices with SRAM and engines."""

    TRAITS: ClassVar = Traits(
        prefix="tcp",
        elements=("clusters", "pes_per_cluster", "slices_per_pe"),
        macs="macs_per_slice",
        on_chip={"sram_bytes": ("clusters", "pes_per_cluster", "slices_per_pe", "sram_per_slice")},
        lanes=("clusters", "pes_per_cluster", "slices_per_pe", "vector_lanes"),
        registers=("clusters", "pes_per_cluster", "slices_per_pe", "register_file_per_slice"),
        shared=("lanes",),
        engines=("clusters", "pes_per_cluster"),
        best=("dma_efficiency",),
        queues=True,
    )

    kind: Literal["contraction_processor"]
    """Kind of compute unit."""
    clusters: Few
    """Number of clusters of the chip."""
    pes_per_cluster: Few
    """Number of PEs of a cluster."""
    slices_per_pe: Few
    """Number of slices of a PE."""
    macs_per_slice: MacRates
    """Multiply-accumulates of a slice by operand type."""
    operand_stream_per_slice: BytesPerCycle
    """Rate at which the operand that is not held streams into a slice, in bytes per cycle."""
    lanes: Few
    """Number of lanes of a slice, each of which multiplies the stream by one token."""
    packet: Bytes
    """Size of a packet of the streamed operand, in bytes."""
    vector_lanes: Few
    """Number of vector lanes of a slice."""
    vector_passes: VectorPasses
    """Passes of the vector lanes by operator."""
    vector_programs: VectorPrograms
    """Programs of vector operators."""
    kv_copying: Fraction
    """Fraction of the copies of the KV cache, 0 to 1, that PEs read again where they share a KV head and query heads do
    not divide over them."""
    timing_clock: Frequency | None = None
    """Clock at which the times of programs, commands, matrix switches and reduction messages were measured, in Hz, the
    unit's own if omitted: they are so many cycles and shrink as the clock rises."""
    program_time: Duration
    """Fixed time of one tensor-unit program, in seconds."""
    sram_per_slice: Bytes
    """SRAM of a slice, in bytes, for activations, tiles of weights and what stays from step to step."""
    sram_bandwidth_per_slice: BytesPerCycle
    """Rate of a slice's SRAM, in bytes per cycle."""
    register_file_per_slice: Bytes
    """Register file of a slice for the held operand, in bytes, which also limits the tiles of weights."""
    accumulators_per_slice: Count
    """Number of accumulators of a slice, beyond which tokens see the weights pass once more."""
    ring_hop: Cycles
    """Time to pass a flit to the next slice, in cycles, where a product's depth is spread over slices."""
    cluster_sync: Cycles
    """Time for all clusters to meet at the end of a step, in cycles."""
    contraction_efficiency: Efficiency
    """Fraction of the MAC rate, 0 to 1, that a running contraction reaches."""
    reducer_drain: Cycles
    """Time in which a slice empties its reducer after each column of outputs, in cycles."""
    weight_tile: Bytes
    """Most weights that a PE loads before it multiplies them, while the next ones are on their way, in bytes."""
    dma_bandwidth_per_pe: BytesPerCycle
    """Peak rate of the DMA engine of a PE, in bytes per cycle."""
    dma_efficiency: Efficiency
    """Fraction of that peak, 0 to 1, that long transfers reach."""
    dma_startup: Cycles
    """Time from a DMA command to its first bytes, in cycles."""
    dma_command: Duration
    """Time to issue a DMA command, in seconds."""
    dma_queue: Few
    """Number of transfers of a cluster that are under way, waiting or not yet used up, which limits how far ahead
    weights are fetched."""
    matrix_switch: Duration
    """Time before each further weight matrix of one operator, such as that of the next expert, in seconds."""
