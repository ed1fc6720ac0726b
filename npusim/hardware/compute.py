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
    Efficiency,
    EnergyPerOp,
    Few,
    Fraction,
    Frequency,
    Positive,
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


class VectorPrograms(Part):
    """Tensor-unit programs, one after the other, of which an operator consists whatever its size."""

    norm: Ratio
    rope: Ratio
    activation: Ratio
    softmax: Ratio
    sample: Ratio


class ContractionProcessor(Part):
    """A tensor contraction processor: clusters of PEs, each a row of slices with SRAM and engines.

    register_file_per_slice holds the operand that stays while the other streams past it; ring_hop: passing a flit to
    the next slice; cluster_sync: all clusters meet. reducer_drain: cycles in which a slice empties its reducer after
    each column of outputs; weight_tile: most weights that one PE loads before it multiplies them, while the next ones
    are on their way. dma_queue: transfers of a cluster that are under way, waiting or not yet used up, which is how far
    weights are fetched ahead. matrix_switch: time before each further weight matrix of one operator that several rows
    may share (an expert's); kv_copying: part of the copies of the KV cache that PEs read again where they share a KV
    head and query heads do not divide over them.
    """

    kind: Literal["contraction_processor"]
    clock: Frequency
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
    expansions: tuple[Expansion, ...] = ()


class MacEfficiencies(Part):
    """Part of the MAC rate that a library's main loop reaches, by operand type; int8 as fp8 where it is left out."""

    bf16: Efficiency
    fp8: Efficiency
    int8: Efficiency | None = None


class LinearLibrary(Part):
    """Matrix-product kernels of one library.

    tile_rows x tile_columns: largest output tile of a thread block, with half the rows and a half or a quarter of the
    columns where that is faster; tile_depth: k of one pipeline stage; stream_efficiency: part of the memory's stream
    rate that weights reach; stream_per_sm: most that one SM draws from memory; launch: fixed time of a kernel;
    tile_time: of filling the pipeline and writing the results of one tile (left out: in the launch); split_merge:
    adding the partial results where few tiles split k; cast_efficiency: part of the memory's stream rate at which
    activations are cast to the type that it multiplies.
    """

    name: str
    tile_rows: Count
    tile_columns: Count
    tile_depth: Count
    efficiency: MacEfficiencies
    stream_efficiency: Efficiency
    stream_per_sm: Bandwidth
    launch: Duration
    tile_time: Duration | None = None
    split_merge: Duration
    cast_efficiency: Efficiency


class AttentionLibrary(Part):
    """Fused attention kernels of one library (Dao, arXiv 2307.08691).

    A thread block takes `tile_rows` query rows of one head; `blocks_per_sm` of them share an SM. Where blocks fill
    less than `split_fill` of the places, the context is split in pieces of at least `tile_context` tokens, with
    `split_tile_rows`, and each split costs `split_merge`. block: fixed time of one block; imbalance: part of a longest
    causal block by which the last ones lag; launch: fixed time of a kernel; join_efficiency: part of the memory's
    stream rate at which keys or queries are joined of their two parts, for libraries of latent attention.

    Left out where a library has no such thing: prompt_heads, query heads of one key-value head that a block of a prompt
    packs (one); mask_edge, part of a tile of context that a block computes in vain at each edge of a mask;
    exposed_passes, passes of the vector lanes over the scores that do not hide behind the contractions; split_launch,
    the start of the kernel that merges splits; stream_efficiency, part of the memory's stream rate that keys and values
    reach (all of it); block_element, what each element of a head adds to `block`; sequence, what each sequence of a
    ragged batch takes to be dealt out.
    """

    name: str
    tile_rows: Count
    split_tile_rows: Count
    tile_context: Count
    blocks_per_sm: Few
    split_fill: Efficiency
    efficiency: MacEfficiencies
    launch: Duration
    block: Duration
    imbalance: Fraction
    split_merge: Duration
    join_efficiency: Efficiency | None = None
    prompt_heads: Count | None = None
    mask_edge: Fraction | None = None
    exposed_passes: Ratio | None = None
    split_launch: Duration | None = None
    stream_efficiency: Efficiency | None = None
    block_element: Duration | None = None
    sequence: Duration | None = None


class GroupedLibrary(Part):
    """Grouped matrix-product kernels of one library: many weight matrices, each with the rows that go to it.

    tile_rows x tile_columns: largest output tile of a thread block; rows are halved down to `least_rows` where that is
    faster, columns down to `least_columns` where tiles are fewer than SMs; tiles of fewer than `full_rows` rows
    multiply at `small_efficiency` of the rate. stream_efficiency: part of the memory's stream rate that weights reach;
    stream_per_sm: most that one SM draws from memory; sum_efficiency: part of the rate at which a token's rows are
    summed in the end. launch: fixed time of a kernel; sort, sort_row: of putting the rows in the order of their
    matrices, and of each row, half of it for each of a layer's two products. alignment: elements at whose multiples the
    rows of a matrix must begin; others load at `unaligned_efficiency` per byte of an element. foreign_rows: part of the
    rows that go to other ranks' experts for which buffers are written all the same.
    """

    name: str
    tile_rows: Count
    least_rows: Count
    full_rows: Count
    tile_columns: Count
    least_columns: Count
    efficiency: MacEfficiencies
    small_efficiency: Efficiency
    stream_efficiency: Efficiency
    stream_per_sm: Bandwidth
    sum_efficiency: Efficiency
    launch: Duration
    sort: Duration
    sort_row: Duration
    alignment: Count
    unaligned_efficiency: Efficiency
    foreign_rows: Fraction


class RowSteps(Part):
    """Time per column of a kernel that walks a row, however few rows there are."""

    norm: Duration
    softmax: Duration
    sample: Duration


class VectorLibrary(Part):
    """Element-wise and row-wise kernels of one library.

    launch: fixed time of a kernel; row_step: of norms, softmax and sampling, whose first row on each SM takes that and
    no lanes' time; pass_time: of one pass of a thread over its own elements, which other operators take once however
    few there are (left out: in the launch); lane_efficiency: part of the vector lanes' rate that its loops reach.
    """

    name: str
    lane_efficiency: Efficiency
    launch: Duration
    pass_time: Duration | None = None
    row_step: RowSteps


class Gpu(Part):
    """A GPU: streaming multiprocessors that run the kernels of libraries, fed through one L2 cache."""

    kind: Literal["gpu"]
    clock: Frequency
    sms: Few
    macs_per_sm: MacRates
    vector_lanes_per_sm: Positive
    vector_passes: VectorPasses
    l2_capacity: Bytes
    l2_bandwidth: Bandwidth
    linear: tuple[LinearLibrary, ...] = Field(min_length=1)
    attention: tuple[AttentionLibrary, ...] = Field(min_length=1)
    vector: tuple[VectorLibrary, ...] = Field(min_length=1)
    grouped: tuple[GroupedLibrary, ...] = ()
    expansions: tuple[Expansion, ...] = ()


ComputeUnit = Annotated[ContractionProcessor | Gpu, Field(discriminator="kind")]
