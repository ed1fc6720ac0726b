"""Tensor contraction processors: clusters of PEs, each a row of slices with SRAM and engines."""

from __future__ import annotations

from typing import ClassVar, Literal

from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates, Traits, Unit, VectorPasses
from npusim.ledger import Bytes, BytesPerCycle, Count, Cycles, Duration, Efficiency, Few, Fraction, Ratio


class VectorPrograms(Part):
    """Tensor-unit programs, one after the other, of which an operator consists whatever its size."""

    norm: Ratio
    rope: Ratio
    activation: Ratio
    softmax: Ratio
    sample: Ratio


class ContractionProcessor(Unit):
    """A tensor contraction processor: clusters of PEs, each a row of slices with SRAM and engines.

    register_file_per_slice holds the operand that stays while the other streams past it; ring_hop: passing a flit to
    the next slice; cluster_sync: all clusters meet. reducer_drain: cycles in which a slice empties its reducer after
    each column of outputs; weight_tile: most weights that one PE loads before it multiplies them, while the next ones
    are on their way. dma_queue: transfers of a cluster that are under way, waiting or not yet used up, which is how far
    weights are fetched ahead. matrix_switch: time before each further weight matrix of one operator that several rows
    may share (an expert's); kv_copying: part of the copies of the KV cache that PEs read again where they share a KV
    head and query heads do not divide over them.
    """

    TRAITS: ClassVar = Traits(
        prefix="tcp",
        elements=("clusters", "pes_per_cluster", "slices_per_pe"),
        macs="macs_per_slice",
        on_chip={"sram_bytes": ("clusters", "pes_per_cluster", "slices_per_pe", "sram_per_slice")},
        engines=("clusters", "pes_per_cluster"),
        best=("dma_efficiency",),
        queues=True,
        events=True,
    )

    kind: Literal["contraction_processor"]
    clusters: Few
    pes_per_cluster: Few
    slices_per_pe: Few
    macs_per_slice: MacRates
    operand_stream_per_slice: BytesPerCycle
    lanes: Few
    packet: Bytes
    vector_lanes: Few
    vector_passes: VectorPasses
    vector_programs: VectorPrograms
    kv_copying: Fraction
    program_time: Duration
    sram_per_slice: Bytes
    sram_bandwidth_per_slice: BytesPerCycle
    register_file_per_slice: Bytes
    accumulators_per_slice: Count
    ring_hop: Cycles
    cluster_sync: Cycles
    contraction_efficiency: Efficiency
    reducer_drain: Cycles
    weight_tile: Bytes
    dma_bandwidth_per_pe: BytesPerCycle
    dma_efficiency: Efficiency
    dma_startup: Cycles
    dma_command: Duration
    dma_queue: Few
    matrix_switch: Duration
