"""GPUs: streaming multiprocessors that run the kernels of libraries."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from npusim.compilation import kernel
from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates, Traits, Unit, VectorPasses
from npusim.ledger import Bandwidth, Bytes, Count, Duration, Efficiency, Few, Fraction, Positive, Ratio


class MacEfficiencies(Part):
    """Fraction of the MAC rate that the main loop of a library's kernels reaches, by operand type."""

    bf16: Efficiency
    """Fraction of the MAC rate, 0 to 1, that a main loop reaches with BF16 or FP16 operands."""
    fp8: Efficiency
    """Fraction of the MAC rate, 0 to 1, that a main loop reaches with FP8 operands."""
    int8: Efficiency | None = None
    """Fraction of the MAC rate, 0 to 1, that a main loop reaches with INT8 operands; that of FP8 if omitted."""


class TilesByRows(Part):
    """What a library does that picks its tile by the number of rows alone, and never splits k."""

    transposed: Count
    """Largest number of rows that a product is computed transposed for, so that rows fill no tile."""
    narrow: Count
    """Largest number of rows for which a tile has half of the columns."""
    low: Count
    """Largest number of rows for which a tile has half of its rows; above, blocks of rows come in pairs, of which one
    may be empty."""
    empty_free: Fraction
    """Fraction of a tile's rows, 0 to 1, that may lie outside the matrix at no cost."""
    empty_time: Ratio
    """Ratio of the further time of a tile, all of whose rows beyond that lay outside the matrix, to its own time."""


class LinearLibrary(Part):
    """Matrix-product kernels of one library."""

    name: str
    """Name by which runtimes choose the library."""
    tile_rows: Count
    """Number of rows of the largest output tile of a thread block; half of them are used where that is faster."""
    tile_columns: Count
    """Number of columns of the largest output tile; a half or a quarter of them is used where that is faster."""
    tile_depth: Count
    """Number of elements along k in one stage of the pipeline, the least that a part holds where k is split."""
    efficiency: MacEfficiencies
    """Efficiency of the main loop by operand type."""
    stream_efficiency: Efficiency
    """Fraction of the memory's stream rate, 0 to 1, at which weights are read."""
    stream_per_sm: Bandwidth
    """Highest rate at which one SM reads from memory, in bytes/s."""
    launch: Duration
    """Fixed time of a kernel, in seconds."""
    tile_time: Duration | None = None
    """Time to fill the pipeline and to write the results of one tile, in seconds; part of the launch if omitted."""
    split_merge: Duration
    """Time to add partial results where few tiles split k, in seconds."""
    tiles_by_rows: TilesByRows | None = None
    """How a library picks its tile by the number of rows alone; the fastest of its tiles if omitted."""
    product_energy: Ratio | None = None
    """Ratio of the energy of a multiplication to the chip's own for the type, since operands whose values spread over
    more of their bits switch more; 1 if omitted."""
    cast_efficiency: Efficiency
    """Fraction of the memory's stream rate, 0 to 1, at which activations are cast to the type that is multiplied."""


class AttentionEfficiency(Part):
    """Fraction of the MAC rate that the main loop of a library's attention reaches."""

    bf16: Efficiency
    """Fraction of the BF16 MAC rate, 0 to 1, that a main loop reaches, of a library over 8-bit keys and values too."""


class AttentionLibrary(Part):
    """Fused attention kernels of one library (Dao, arXiv 2307.08691).

    A thread block computes a tile of query rows of one head. Where blocks do not fill the SMs, the context is split.
    """

    name: str
    """Name by which runtimes choose the library."""
    tile_rows: Count
    """Number of query rows of a thread block."""
    split_tile_rows: Count
    """Number of query rows of a thread block where the context is split."""
    tile_context: Count
    """Number of context tokens of a tile, and of the smallest piece of a split context."""
    blocks_per_sm: Few
    """Number of thread blocks that share an SM."""
    split_fill: Efficiency
    """Fraction of the block slots of all SMs, 0 to 1, below which the context is split."""
    efficiency: AttentionEfficiency
    """Efficiency of the main loop."""
    launch: Duration
    """Fixed time of a kernel, in seconds."""
    block: Duration
    """Fixed time of a thread block, in seconds."""
    imbalance: Fraction
    """Fraction of the longest causal block, 0 to 1, by which the last blocks lag."""
    split_merge: Duration
    """Time that each split adds for merging, in seconds."""
    join_efficiency: Efficiency | None = None
    """Fraction of the memory's stream rate, 0 to 1, at which keys or queries are joined of their two parts; given by
    libraries of latent attention alone."""
    prompt_heads: Count | None = None
    """Number of query heads of one KV head that a block of a prompt packs, one if omitted."""
    mask_edge: Fraction | None = None
    """Fraction of a tile of context, 0 to 1, that a block computes needlessly at each edge of a mask, none
    if omitted."""
    exposed_passes: Ratio | None = None
    """Number of passes of the vector lanes over the scores that do not hide behind the contractions, none where left
    out."""
    split_launch: Duration | None = None
    """Fixed time of the kernel that merges splits, in seconds, none if omitted."""
    stream_efficiency: Efficiency | None = None
    """Fraction of the memory's stream rate, 0 to 1, at which keys and values are read, all of it if omitted."""
    block_element: Duration | None = None
    """Time that each element of a head adds to a block, in seconds, none if omitted."""
    sequence: Duration | None = None
    """Time to assign each sequence of a ragged batch to blocks, in seconds, none if omitted."""
    stream_per_sm: Bandwidth | None = None
    """Highest rate at which one SM reads keys and values, in bytes/s, which the last wave of blocks may not share; no
    limit if omitted."""
    cached_rate: Bandwidth | None = None
    """Rate at which all SMs read keys and values that sequences share and the L2 cache holds, in bytes/s; that of the
    L2 cache if omitted."""
    idle_row_energy: Fraction | None = None
    """Fraction of the energy of a multiply-accumulate, 0 to 1, that one takes in a row of a decoding block which holds
    no query, all of it if omitted."""


class GroupedLibrary(Part):
    """Grouped matrix-product kernels of one library: many weight matrices, each with the rows that go to it."""

    name: str
    """Name by which runtimes choose the library."""
    tile_rows: Count
    """Number of rows of the largest output tile of a thread block."""
    least_rows: Count
    """Number of rows of the smallest tile, down to which rows are halved where that is faster."""
    full_rows: Count
    """Number of rows below which a tile multiplies at `small_efficiency`."""
    tile_columns: Count
    """Number of columns of the largest output tile."""
    least_columns: Count
    """Number of columns of the smallest tile, down to which columns are halved where tiles are fewer than SMs."""
    efficiency: MacEfficiencies
    """Efficiency of the main loop by operand type."""
    small_efficiency: Efficiency
    """Fraction of the library's MAC rate, 0 to 1, that tiles of few rows keep."""
    stream_efficiency: Efficiency
    """Fraction of the memory's stream rate, 0 to 1, at which weights are read."""
    stream_per_sm: Bandwidth
    """Highest rate at which one SM reads from memory, in bytes/s."""
    sum_efficiency: Efficiency
    """Fraction of the memory's stream rate, 0 to 1, at which the rows of a token are summed in the end."""
    launch: Duration
    """Fixed time of a kernel, in seconds."""
    sort: Duration
    """Fixed time to sort rows by their matrices, in seconds."""
    sort_row: Duration
    """Time that each row adds to the sort, in seconds, half of it for each of a layer's two products."""
    unsorted_rows: Fraction | None = None
    """Number of rows for each matrix, 0 to 1, up to which rows are not sorted, where no other rank has matrices; always
    sorted if omitted."""
    alignment: Count
    """Number of elements to a multiple of which the rows of a matrix must be aligned for full speed."""
    unaligned_efficiency: Efficiency
    """Fraction of full speed, 0 to 1, for each byte of an element, at which unaligned rows are read and multiplied."""
    foreign_rows: Fraction
    """Fraction of the rows for other ranks' experts, 0 to 1, for which buffers are written all the same."""


class RowSteps(Part):
    """Time per column of a kernel that walks a row, however few rows there are."""

    norm: Duration
    """Time per column of a normalisation, in seconds."""
    softmax: Duration
    """Time per column of a softmax, in seconds."""
    sample: Duration
    """Time per column of sampling, in seconds."""


class VectorLibrary(Part):
    """Element-wise and row-wise kernels of one library."""

    name: str
    """Name by which runtimes choose the library."""
    lane_efficiency: Efficiency
    """Fraction of the vector lanes' rate, 0 to 1, that the loops reach."""
    launch: Duration
    """Fixed time of a kernel, in seconds."""
    pass_time: Duration | None = None
    """Time of one pass of a thread over its own elements, in seconds; part of the launch if omitted."""
    row_step: RowSteps
    """Time per column of kernels that walk rows, spent on the first row of each SM in place of the lanes' time."""


class Gpu(Unit):
    """A GPU: streaming multiprocessors that run the kernels of libraries, fed through one L2 cache."""

    TRAITS: ClassVar = Traits(
        prefix="gpu",
        elements=("sms",),
        macs="macs_per_sm",
        on_chip={"l2_bytes": ("l2_capacity",)},
        processors=("sms",),
        libraries=True,
    )

    kind: Literal["gpu"]
    """Kind of compute unit."""
    sms: Few
    """Number of streaming multiprocessors."""
    macs_per_sm: MacRates
    """Multiply-accumulates of an SM by operand type."""
    vector_lanes_per_sm: Positive
    """Number of vector lanes of an SM."""
    vector_passes: VectorPasses
    """Passes of the vector lanes by operator."""
    l2_capacity: Bytes
    """Capacity of the L2 cache, in bytes."""
    l2_bandwidth: Bandwidth
    """Rate of the L2 cache, in bytes/s."""
    linear: tuple[LinearLibrary, ...] = Field(min_length=1)
    """Libraries of matrix products."""
    attention: tuple[AttentionLibrary, ...] = Field(min_length=1)
    """Libraries of attention."""
    vector: tuple[VectorLibrary, ...] = Field(min_length=1)
    """Libraries of element-wise and row-wise kernels."""
    grouped: tuple[GroupedLibrary, ...] = ()
    """Libraries of grouped matrix products, which experts need."""

    def libraries(self) -> dict[str, dict[str, int]]:
        plain = {
            what: {library.name: index for index, library in enumerate(getattr(self, what))}
            for what in ("linear", "attention", "vector", "grouped")
        }
        latent = {
            library.name: index for index, library in enumerate(self.attention) if library.join_efficiency is not None
        }
        eight_bits = {"linear_fp8": plain["linear"], "attention_fp8": plain["attention"]}
        return plain | eight_bits | {"latent": latent, "latent_prompt": latent}

    def lacks(self, experts: bool, latent: bool) -> tuple[str, str] | None:
        if experts and not self.grouped:
            return "grouped", "has experts; describe a library of grouped products"
        if latent and not self.libraries()["latent"]:
            return "attention", "has latent attention; describe a library with join_efficiency"
        return None


@kernel
def rows_of_other_ranks(row, machine, runtime):  # type: ignore[no-untyped-def]
    """Its grouped library writes buffers for a part of the rows that go to other ranks' experts."""
    return machine.gpu_grouped_foreign_rows[runtime.grouped_library] * (row.spread - 1.0)
