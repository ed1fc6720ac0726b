"""Tiling: how a contraction y[m, n] = x[m, k] . w[n, k] is mapped to slices and time, and which mapping is the fastest.

Columns of w go to slices; where there are too few of them, k or m is split over slices too (k: partial sums move around
the switch ring; m: w moves to the slices that share it). In time a slice works through tiles of its columns: a tile is
one transfer of weights and one program. The planner predicts the time of every such tiling in closed form and chooses
the shortest; padded lanes, slices and packets are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from npusim.engine.event.setting import StepSetting
from npusim.errors import UserError
from npusim.kernels.memory import stream_bandwidth, stream_time, weight_run_bytes
from npusim.kernels.rates import operand_bytes
from npusim.kernels.units.contraction_processor.contraction import (
    TILE_CUTS,
    operand_delivery,
    slice_contraction_time,
    tiled_time,
)
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.mapping.grouped import joined_rows, row_blocks
from npusim.mapping.optable import SPLIT_COLUMNS, SPLIT_ROWS

_SPLITS = (1, 2, 4, 8)
_TIE = 2.0**-8
"""Tilings whose predicted times differ by no more than this fraction are equal; the simplest of them is chosen."""
_ACCUMULATOR_BYTES = 4.0
_BITS = 8.0
_ACTIVATION_BYTES = 2.0


@dataclass(frozen=True)
class Tiling:
    """One way to compute a row on the PEs that share it.

    depth_parts, token_parts: slices over which k and m are split; blocks: of tokens, one after the other, for each of
    which the weights pass anew; columns: of one slice; tile_columns: of one tile;
    tokens_stay: the register file holds tokens, else the weights of a tile; filled_once: for all tiles, where it holds
    all tokens, else for each; reductions: parts in which the PEs join their partial results, each while later tiles are
    computed. Of one tile: stream_s, fill_s (of the register file), compute_s (multiply-accumulates and what travels
    round the ring), and the bytes of SRAM of one slice that the last two touch: filled, touched. Of one reduction:
    reduce_s. useful: fraction of the multiply-accumulate slots that are no padding; predicted_s: of the whole operator,
    less what is fetched before it starts.
    """

    depth_parts: int
    token_parts: int
    blocks: int
    columns: int
    tile_columns: int
    tokens_stay: bool
    filled_once: bool
    reductions: int
    stream_s: float
    fill_s: float
    filled: float
    compute_s: float
    touched: float
    reduce_s: float
    useful: float
    predicted_s: float

    @property
    def tiles(self) -> int:
        """Tiles of a block."""
        return ceil(self.columns / self.tile_columns)

    @property
    def text(self) -> str:
        """The tiling in words, for people."""
        spread = [f"{self.columns} columns a slice in {self.tiles} tiles"]
        if self.depth_parts > 1:
            spread.append(f"k over {self.depth_parts} slices")
        if self.token_parts > 1:
            spread.append(f"m over {self.token_parts} slices")
        if self.blocks > 1:
            spread.append(f"weights again for each of {self.blocks} blocks of tokens")
        spread.append("tokens stay" if self.tokens_stay else "weights stay")
        if self.reductions > 1:
            spread.append(f"reduced in {self.reductions} parts")
        return ", ".join(spread)


@dataclass(frozen=True)
class TilingChoice:
    """The fastest tiling of a row, the next best, and how many were compared."""

    choice: Tiling
    runner_up: Tiling | None
    compared: int

    @property
    def reason(self) -> str:
        """Why the choice was made."""
        if self.runner_up is None:
            return "the only tiling that fits"
        slower = self.runner_up.predicted_s / self.choice.predicted_s - 1.0
        if slower < _TIE:
            return f"plainest of {self.compared} within {_TIE:.1%} of the least predicted time"
        return f"least predicted time of {self.compared}; the next takes {slower:.1%} longer"


def plan_linear(row: Any, setting: StepSetting, room: float, ahead_s: float) -> TilingChoice:
    """Plan of a LINEAR row. room: bytes of SRAM of one PE for tiles; ahead_s: seconds before the row starts in which
    its weights can be fetched. UserError where no tiling fits.
    """
    found = []
    for depth_parts in _SPLITS:
        for token_parts in _SPLITS:
            for blocks in _SPLITS if setting.spilled(row) > 0.0 else (1,):
                shape = _slice_shape(row, setting, depth_parts, token_parts, blocks)
                if shape is not None:
                    found += _tilings(row, setting, room, ahead_s, shape)
    if not found:
        raise UserError(
            "--engine",
            "event",
            "not even one column of weights fits into SRAM beside the activations; give the unit more sram_per_slice",
        )
    least = min(tiling.predicted_s for tiling in found)
    choice = next(tiling for tiling in found if tiling.predicted_s <= least * (1.0 + _TIE))
    others = [tiling for tiling in found if tiling is not choice]
    return TilingChoice(choice, min(others, key=lambda tiling: tiling.predicted_s, default=None), len(found))


@dataclass(frozen=True)
class _SliceShape:
    """What one slice computes for each of `blocks` blocks of tokens: `tokens` x `columns` results of `depth` products,
    which `*_parts` slices share."""

    tokens: int
    columns: int
    depth: int
    depth_parts: int
    token_parts: int
    blocks: int


def _slice_shape(row: Any, setting: StepSetting, depth_parts: int, token_parts: int, blocks: int) -> _SliceShape | None:
    """The row with k and m split so; None where there is too little to split."""
    split_rows = row["split"] == SPLIT_ROWS
    slices = float(setting.machine["tcp_slices_per_pe"]) * (1 if split_rows else setting.pes)
    depth = ceil(row["k"] / (setting.pes if split_rows else 1))
    tokens, columns = _tokens_and_columns(row, setting.machine)
    if token_parts * blocks > tokens or depth_parts > depth or depth_parts * token_parts > slices:
        return None
    return _SliceShape(
        tokens=ceil(tokens / token_parts / blocks),
        columns=ceil(columns * depth_parts * token_parts / slices),
        depth=ceil(depth / depth_parts),
        depth_parts=depth_parts,
        token_parts=token_parts,
        blocks=blocks,
    )


def _tokens_and_columns(row: Any, machine: Any) -> tuple[float, float]:
    """Tokens that meet each column of weights, and columns; of a grouped product, those of all matrices in turn."""
    if row["matrices"] == 0.0:
        return float(row["m"]), float(row["n"])
    lanes = float(machine["tcp_lanes"])
    return float(row_blocks(row, lanes)) * lanes / float(row["touched"]), float(row["touched"] * row["n"])


def _tilings(row: Any, setting: StepSetting, room: float, ahead_s: float, shape: _SliceShape) -> list[Tiling]:
    """The shape by size of its tiles and by which operand stays in the register file."""
    machine = setting.machine
    columns_bytes = shape.depth * row["weight_bits"] / _BITS * machine["tcp_slices_per_pe"]
    if columns_bytes > room:
        return []
    largest = int(min(machine["tcp_weight_tile"], row["tile"], room / 2) // columns_bytes)
    counts = [ceil(shape.columns * part / max(1, largest)) for part in TILE_CUTS]
    sizes = dict.fromkeys(ceil(shape.columns / min(count, shape.columns)) for count in counts)
    return [_tiling(row, setting, ahead_s, shape, size, stay) for size in sizes for stay in (True, False)]


def _tiling(
    row: Any, setting: StepSetting, ahead_s: float, shape: _SliceShape, tile_columns: int, tokens_stay: bool
) -> Tiling:
    """The shape cut into tiles, with the time of each and of all."""
    machine = setting.machine
    tiles = ceil(shape.columns / tile_columns)
    stream = (
        stream_time(
            row["weight_bytes"] * (1.0 - row["stays"]),
            weight_run_bytes(row["k"], row["weight_bits"]),
            machine,
            setting.pes,
        )
        / tiles
    )
    compute = _compute_s(row, machine, shape, tile_columns)
    filled = (shape.tokens if tokens_stay else tile_columns) * shape.depth * operand_bytes(row["activation_dtype"])
    fill = filled / operand_delivery(machine) / machine["tcp_clock"]
    once = bool(tokens_stay and filled <= machine["tcp_register_file_per_slice"])
    seconds = float(tiled_time(tiles * shape.blocks, stream, fill, once, compute + setting.program_s, ahead_s, machine))
    if setting.spilled(row) > 0.0:
        seconds = _with_activations(row, setting, shape.blocks, tiles, stream, seconds)
    exposed, reductions, reduce = _reduction(row, setting, seconds, tiles * shape.blocks)
    return Tiling(
        depth_parts=shape.depth_parts,
        token_parts=shape.token_parts,
        blocks=shape.blocks,
        columns=shape.columns,
        tile_columns=tile_columns,
        tokens_stay=tokens_stay,
        filled_once=once,
        reductions=reductions,
        stream_s=stream,
        fill_s=fill,
        filled=filled,
        compute_s=compute,
        touched=_touched(row, machine, shape, tile_columns),
        reduce_s=reduce,
        useful=_useful(row, setting, shape),
        predicted_s=seconds + exposed,
    )


def _with_activations(row: Any, setting: StepSetting, blocks: int, tiles: int, stream: float, seconds: float) -> float:
    """`seconds` of tiles with the tokens that are loaded and the results that are stored, block by block: before the
    first block is multiplied and after the last nothing is, and between them all passes the DMA engines.
    """
    rate = float(stream_bandwidth(setting.machine, setting.pes))
    taken, stored = (part / rate for part in activations(row, setting))
    passed = blocks * tiles * stream + taken + stored
    return (taken + stored) / blocks + max(seconds, passed - (taken + stored) / blocks)


def activations(row: Any, setting: StepSetting) -> tuple[float, float]:
    """Bytes of tokens that a linear row loads from memory and of results that it stores there."""
    spilled = setting.spilled(row)
    return (
        float(spilled * row["m"] * row["k"] * row["activation_bits"] / _BITS),
        float(spilled * _ACTIVATION_BYTES * row["m"] * row["n"]),
    )


def _reduction(row: Any, setting: StepSetting, seconds: float, tiles: int) -> tuple[float, int, float]:
    """What the reduction over the PEs adds to `seconds` of tiles, its number of parts and the time of each.

    Of numbers of parts with equal times the smallest is chosen.
    """
    if row["split"] != SPLIT_ROWS or setting.pes < 2:
        return 0.0, 1, 0.0
    results = _ACTIVATION_BYTES * float(joined_rows(row)) * row["n"]
    found = []
    for parts in _SPLITS:
        if parts <= tiles:
            each = float(on_chip_reduction_time(results / parts, setting.machine, setting.pes))
            found.append((max(each, seconds / parts + parts * each - seconds), parts, each))
    least = seconds + min(exposed for exposed, _, _ in found)
    return next(option for option in found if seconds + option[0] <= least * (1.0 + _TIE))


def _touched(row: Any, machine: Any, shape: _SliceShape, tile_columns: int) -> float:
    """Bytes of SRAM that one slice reads and writes for a tile: weights pass once for all tokens that accumulate
    together, results are committed.
    """
    passes = ceil(shape.tokens / machine["tcp_accumulators_per_slice"])
    streamed = passes * tile_columns * shape.depth * operand_bytes(row["activation_dtype"])
    return float(streamed + shape.tokens * tile_columns * _ACTIVATION_BYTES)


def _compute_s(row: Any, machine: Any, shape: _SliceShape, tile_columns: int) -> float:
    """Seconds of one tile: as many tokens at a time as there are accumulators, then what travels round the ring."""
    most, dtype = int(machine["tcp_accumulators_per_slice"]), row["activation_dtype"]
    n = tile_columns * machine["tcp_slices_per_pe"]
    whole, rest = divmod(shape.tokens, most)
    seconds = whole * slice_contraction_time(most, n, shape.depth, dtype, SPLIT_COLUMNS, machine, 1)
    if rest:
        seconds += slice_contraction_time(rest, n, shape.depth, dtype, SPLIT_COLUMNS, machine, 1)
    results = shape.tokens * tile_columns * _ACCUMULATOR_BYTES
    weights = tile_columns * shape.depth * operand_bytes(dtype)
    flit = machine["tcp_operand_stream_per_slice"]
    hops = (shape.depth_parts - 1) * (machine["tcp_ring_hop"] + results / flit)
    if shape.token_parts > 1:
        hops += shape.token_parts * machine["tcp_ring_hop"] + weights / flit
    return seconds + hops / machine["tcp_clock"]


def _useful(row: Any, setting: StepSetting, shape: _SliceShape) -> float:
    """Part of the multiply-accumulate slots, lanes x slices x packets, that hold no padding."""
    machine = setting.machine
    lanes = shape.blocks * ceil(shape.tokens / machine["tcp_lanes"]) * machine["tcp_lanes"]
    elements = machine["tcp_packet"] / operand_bytes(row["activation_dtype"])
    packets = ceil(shape.depth / elements) * elements
    slots = lanes * shape.columns * packets * machine["tcp_slices_per_pe"] * setting.pes
    return float(row["m"] * row["n"] * row["k"] / slots)
