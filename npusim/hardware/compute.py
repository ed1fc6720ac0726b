"""Compute units as their makers describe them: tensor contraction processors and GPUs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from npusim.hardware.base import Part
from npusim.ledger import (
    Bandwidth,
    Bytes,
    BytesPerCycle,
    Count,
    Cycles,
    Duration,
    EnergyPerOp,
    Frequency,
    Ratio,
)


class MacRates(Part):
    """Multiply-accumulates per cycle of one element (slice or SM) by operand type; a type left out is not native."""

    bf16: Count
    fp8: Count | None = None
    int8: Count | None = None
    int4: Count | None = None


class MacEnergies(Part):
    """Energy of one multiply-accumulate with its operand delivery, by operand type."""

    bf16: EnergyPerOp
    fp8: EnergyPerOp | None = None
    int8: EnergyPerOp | None = None
    int4: EnergyPerOp | None = None


class Expansion(Part):
    """What the unit multiplies when weights are stored in a type that it cannot multiply natively."""

    stored: Literal["int4", "mxfp4", "int8", "fp8"]
    activations: Literal["bf16", "fp8", "int8"]
    computed: Literal["bf16", "fp8", "int8"]
    source: str


class VectorPasses(Part):
    """Passes of the vector engine over an operator's elements."""

    norm: Ratio
    rope: Ratio
    activation: Ratio
    softmax: Ratio
    sample: Ratio


class ContractionProcessor(Part):
    """A tensor contraction processor: clusters of PEs, each a row of slices with SRAM and engines."""

    kind: Literal["contraction_processor"]
    clock: Frequency
    clusters: Count
    pes_per_cluster: Count
    slices_per_pe: Count
    macs_per_slice: MacRates
    operand_stream_per_slice: BytesPerCycle
    lanes: Count
    packet: Bytes
    vector_lanes: Count
    vector_passes: VectorPasses
    sram_per_slice: Bytes
    sram_bandwidth_per_slice: BytesPerCycle
    contraction_efficiency: Ratio
    dma_bandwidth_per_pe: BytesPerCycle
    dma_efficiency: Ratio
    dma_startup: Cycles
    dma_command: Duration
    expansions: tuple[Expansion, ...] = ()


class Gpu(Part):
    """A GPU: streaming multiprocessors that compute output tiles in waves, fed through one L2 cache."""

    kind: Literal["gpu"]
    clock: Frequency
    sms: Count
    macs_per_sm: MacRates
    vector_lanes_per_sm: Count
    vector_passes: VectorPasses
    tile_rows: Count
    tile_columns: Count
    tile_depth: Count
    pipeline_fill: Cycles
    l2_capacity: Bytes
    l2_bandwidth: Bandwidth
    contraction_efficiency: Ratio
    attention_efficiency: Ratio
    kernel_ramp: Duration
    expansions: tuple[Expansion, ...] = ()


ComputeUnit = Annotated[ContractionProcessor | Gpu, Field(discriminator="kind")]
