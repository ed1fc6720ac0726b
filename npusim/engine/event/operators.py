"""The work of each kind of operator on one cluster: its tiles, with what each loads, computes and stores."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from npusim.engine.event.channels import evenness
from npusim.engine.event.command import CONTRACTION, VECTOR
from npusim.engine.event.memory import RATE
from npusim.engine.event.setting import StepSetting
from npusim.engine.event.tiling import TilingChoice, activations, plan_linear
from npusim.kernels.memory import access_efficiency, kv_run_bytes, weight_run_bytes
from npusim.kernels.pim_offload import layout_loss
from npusim.kernels.units.contraction_processor.attention import kv_copies, slice_attention_times
from npusim.kernels.units.contraction_processor.vector import program_time, vector_time
from npusim.mapping.optable import ATTENTION, GATHER, LINEAR, LM_HEAD, ROPE, SAMPLE

_BITS = 8.0
_ELEMENT_BYTES = 2.0
_TOKEN_BYTES = 4.0
_IN_FLIGHT = 3
"""Tiles of an element-wise operator that share SRAM: one is loaded, one computed, one stored."""


class Compute(NamedTuple):
    """A program of the main or sub context: the resource to which it counts, its seconds, the bytes of SRAM it
    touches."""

    kind: str
    work_s: float
    fixed_s: float
    touched: float


class Tile(NamedTuple):
    """wanted, asked: bytes loaded, and read from memory for that in whole access units; late: whether an earlier
    operator's results decide which bytes; in_turn: whether its transfer is commanded only when the one before has
    returned; startup_s: of the transfer; fill: of the register file, from the tile; stored: bytes of results; taken:
    bytes of activations loaded before it, and filled: the register file with them, for it and the tiles after it up to
    the next that takes some; run: of the scattered parts in which its bytes lie, 0 where they lie together.
    """

    wanted: float
    asked: float
    computes: tuple[Compute, ...]
    startup_s: float = 0.0
    late: bool = False
    in_turn: bool = False
    fill: Compute | None = None
    stored: float = 0.0
    taken: float = 0.0
    filled: Compute | None = None
    run: int = 0


class Work(NamedTuple):
    """An operator on one cluster.

    kept: bytes of KV stored; kept_asked: those that memory moves for them; plan: how a LINEAR row is tiled.
    """

    tiles: tuple[Tile, ...]
    kept: float = 0.0
    kept_asked: float = 0.0
    plan: TilingChoice | None = None


def work_of(row: Any, setting: StepSetting, room: float, ahead_s: float) -> Work:
    """The work of a specialised row on one cluster.

    room: bytes of SRAM for tiles; ahead_s: seconds before the row starts in which its weights can be fetched.
    """
    if row["kind"] == LINEAR:
        return _linear(row, setting, room, ahead_s)
    if row["kind"] == ATTENTION:
        return _attention(row, setting, room)
    return _gather(row, setting, room) if row["kind"] == GATHER else _vector(row, setting)


def _linear(row: Any, setting: StepSetting, room: float, ahead_s: float) -> Work:
    plan = plan_linear(row, setting, room / setting.pes_per_cluster, ahead_s)
    tiling, clusters = plan.choice, setting.clusters
    wanted = float(row["weight_bytes"] * (1.0 - row["stays"])) / clusters / tiling.tiles
    asked = wanted / access_efficiency(weight_run_bytes(row["k"], row["weight_bits"]), setting.machine)
    compute = Compute(CONTRACTION, tiling.compute_s / setting.clock, setting.program_s, tiling.touched * setting.slices)
    fill = Compute(CONTRACTION, tiling.fill_s, 0.0, tiling.filled * setting.slices)
    taken, results = (part / clusters / tiling.blocks for part in activations(row, setting))
    tile = Tile(
        wanted=wanted,
        asked=asked * float(layout_loss(row, setting.machine, setting.runtime)) / _evenness(setting, wanted * clusters),
        computes=(compute,),
        startup_s=setting.command_s,
        late=row["matrices"] > 0.0,
        fill=None if tiling.filled_once else fill,
    )
    block = _stored((tile,) * tiling.tiles, results, setting)
    return Work(tiles=_begun(block, taken, fill if tiling.filled_once else None) * tiling.blocks, plan=plan)


def rest_of_units(row: Any, cost: Any, setting: StepSetting, room: float) -> Work:
    """What one cluster does of a row that units in memory run: softmax and casts, the new K and V, and of the LM head
    the columns that the runtime leaves to the chip.
    """
    clusters, loss = setting.clusters, float(layout_loss(row, setting.machine, setting.runtime))
    left = 1.0 - float(setting.runtime["offload_head"]) if row["op"] == LM_HEAD else 0.0
    wanted = left * float(row["weight_bytes"]) / clusters
    asked = wanted / access_efficiency(weight_run_bytes(row["k"], row["weight_bits"]), setting.machine) if left else 0.0
    tiles = max(1, ceil(wanted / min(setting.pes_per_cluster * float(setting.machine["tcp_weight_tile"]), room / 2.0)))
    computes = (
        Compute(CONTRACTION, float(cost["contraction_s"]) / tiles / setting.clock, 0.0, wanted / tiles),
        Compute(VECTOR, float(cost["vector_s"]) / tiles / setting.clock, 0.0, 0.0),
    )
    kept = float(row["kv_write_bytes"]) / clusters
    tile = Tile(wanted / tiles, asked / tiles, computes, setting.command_s)
    return Work(tiles=(tile,) * tiles, kept=kept, kept_asked=kept * loss)


def _evenness(setting: StepSetting, byte_count: float) -> float:
    """Part of the channels that a transfer keeps busy on average, where the memory is one rate; else they tell."""
    return evenness(setting.machine, byte_count) if setting.memory.depth == RATE else 1.0


def _stored(tiles: tuple[Tile, ...], results: float, setting: StepSetting) -> tuple[Tile, ...]:
    """The tiles, their results stored together, in as few parts as leave SRAM for the other tiles in flight."""
    parts = min(len(tiles), ceil(_IN_FLIGHT * results / setting.sram))
    ends = {len(tiles) * (part + 1) // parts - 1 for part in range(parts)}
    return tuple(
        tile._replace(stored=results / parts) if position in ends else tile for position, tile in enumerate(tiles)
    )


def _begun(tiles: tuple[Tile, ...], taken: float, filled: Compute | None = None) -> tuple[Tile, ...]:
    """The tiles, their activations loaded before the first."""
    return (tiles[0]._replace(taken=taken, filled=filled), *tiles[1:])


def _attention(row: Any, setting: StepSetting, room: float) -> Work:
    """K and V are streamed in tiles as large as those of weights, if two of them fit; each has its scores and its part
    of the softmax.
    """
    machine, clusters = setting.machine, setting.clusters
    contraction, vector = slice_attention_times(row, machine, setting.pes)
    loss = float(layout_loss(row, machine, setting.runtime))
    run = float(kv_run_bytes(row, setting.runtime["kv_layout"], machine, setting.runtime))
    read = row["kv_read_bytes"] * kv_copies(row, machine, float(setting.pes)) * (1.0 - row["stays"])
    wanted = float(read + row["weight_bytes"]) / clusters
    largest = min(setting.pes_per_cluster * min(float(machine["tcp_weight_tile"]), float(row["tile"])), room / 2.0)
    tiles = max(1, ceil(wanted / largest))
    softmax_s = float(machine["tcp_vector_programs_softmax"]) * setting.program_s
    even = _evenness(setting, wanted / tiles * clusters)
    scores = 2.0 * _ELEMENT_BYTES * float(row["pairs"] * row["heads"]) / clusters
    passed = float(row["spilled"]) / 2.0 / clusters
    tile = Tile(
        wanted=wanted / tiles,
        asked=wanted / tiles / access_efficiency(run, machine) / even * loss,
        computes=(
            Compute(CONTRACTION, contraction / tiles / setting.clock, 0.0, wanted / tiles),
            Compute(VECTOR, vector / tiles / setting.clock, softmax_s / tiles, scores / tiles),
        ),
        startup_s=setting.command_s,
        late=setting.attends_apart,
        run=int(run),
    )
    return Work(
        tiles=_begun(_stored((tile,) * tiles, passed, setting), passed),
        kept=float(row["kv_write_bytes"]) / clusters,
        kept_asked=float(row["kv_write_bytes"]) / clusters * loss,
    )


def _gather(row: Any, setting: StepSetting, room: float) -> Work:
    """Rows of a table, after the identities that say which.

    Fewer rows than a PE has slices are fetched by a transfer each, commanded one after the other; more by transfers
    that a program addresses. RNGD takes 0.66 us for each of 2 to 32 rows without a program, and 0.08 us for each of 128
    to 2,048 beside one of 1.5 us (swsok/heteropilot@83abd9f outputs/rngd_profile/breakdown_dense_tp1.csv). Where from
    33 to 128 it changes is assumed: where every slice has a row, 64.
    """
    run = weight_run_bytes(row["n"], row["weight_bits"])
    wanted = float(row["weight_bytes"]) / setting.clusters
    asked = wanted / access_efficiency(run, setting.machine)
    stored = float(row["spilled"]) / setting.clusters
    identities = _TOKEN_BYTES * row["m"] / setting.clusters if stored else 0.0
    by_row = row["m"] < setting.machine["tcp_slices_per_pe"]
    tiles = max(int(row["m"]) if by_row else 1, ceil(2.0 * wanted / room))
    startup = setting.cycles_s("dma_startup") if by_row else setting.command_s
    tile = Tile(wanted / tiles, asked / tiles, (), startup, late=True, in_turn=True, run=int(run))
    return Work(tiles=_begun(_stored((tile,) * tiles, stored, setting), identities))


def _vector(row: Any, setting: StepSetting) -> Work:
    """Element-wise work; where its activations pass through memory, in tiles of which three fit into SRAM.

    Sampling leaves nothing to store.
    """
    work = float(vector_time(row, setting.machine, setting.pes)) / setting.clock
    fixed = float(program_time(row, setting.machine))
    moved, spilled = float(row["activation_bytes"]) / setting.clusters, setting.spilled(row)
    if spilled == 0.0:
        return Work(tiles=(Tile(0.0, 0.0, (Compute(VECTOR, work, fixed, moved),)),))
    tensors = _tensors(row)
    tiles = tensors * ceil(_IN_FLIGHT * moved / tensors / setting.sram)
    stored = 0.0 if row["op"] == SAMPLE else spilled * _ELEMENT_BYTES * row["m"] * row["n"] / setting.clusters
    loaded = spilled * moved - stored
    computes = (Compute(VECTOR, work / tiles, fixed / tensors, moved / tiles),)
    startup = setting.cycles_s("dma_startup")
    tile = Tile(loaded / tiles, loaded / tiles, computes, startup, late=True, stored=stored / tiles)
    return Work(tiles=(tile,) * tiles)


def _tensors(row: Any) -> int:
    """Parts that an element-wise operator works on one after the other: queries and keys, or sequence by sequence."""
    if row["op"] == SAMPLE:
        return int(row["m"])
    return 2 if row["op"] == ROPE else 1
