"""What each kind of operator asks of one cluster: its tiles, with what each loads, computes and stores."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from npusim.engine.event.channels import evenness
from npusim.engine.event.command import CONTRACTION, VECTOR
from npusim.engine.event.setting import Setting
from npusim.engine.event.tiling import Plan, plan_linear
from npusim.kernels.attention import kv_copies, slice_attention_times
from npusim.kernels.memory import access_efficiency
from npusim.kernels.vector import program_time, vector_time
from npusim.mapping.optable import ATTENTION, GATHER, LINEAR

_BITS = 8.0
_ELEMENT_BYTES = 2.0
_IN_FLIGHT = 3
"""Tiles of an element-wise operator that share SRAM: one is loaded, one computed, one stored."""


class Compute(NamedTuple):
    """A program of the main context: what its work is booked to, and its seconds."""

    kind: str
    work_s: float
    fixed_s: float


class Tile(NamedTuple):
    """wanted, asked: bytes loaded, and drawn from memory for that in whole access units; activations: whether they are
    an earlier operator's results; fill_s: of the register file, from the tile; stored: bytes of results.
    """

    wanted: float
    asked: float
    computes: tuple[Compute, ...]
    activations: bool = False
    fill_s: float = 0.0
    stored: float = 0.0


class Work(NamedTuple):
    """An operator on one cluster.

    taken: bytes of activations loaded before the first tile; kept: bytes of KV stored; fill_s: of the register file,
    once, before the first tile; plan: how a LINEAR row is tiled.
    """

    tiles: tuple[Tile, ...]
    taken: float = 0.0
    kept: float = 0.0
    fill_s: float = 0.0
    plan: Plan | None = None


def work_of(row: Any, setting: Setting, room: float, ahead_s: float) -> Work:
    """The work of a specialised row on one cluster.

    room: bytes of SRAM for tiles; ahead_s: seconds before the row starts in which its weights can be fetched.
    """
    if row["kind"] == LINEAR:
        return _linear(row, setting, room, ahead_s)
    if row["kind"] == ATTENTION:
        return _attention(row, setting)
    return _gather(row, setting) if row["kind"] == GATHER else _vector(row, setting)


def _linear(row: Any, setting: Setting, room: float, ahead_s: float) -> Work:
    plan = plan_linear(row, setting, room / setting.pes_per_cluster, ahead_s)
    tiling, clusters = plan.choice, setting.clusters
    spills = setting.spills(row)
    wanted = float(row["weight_bytes"]) / clusters / tiling.tiles
    asked = wanted / access_efficiency(row["k"] * row["weight_bits"] / _BITS, setting.machine)
    compute = Compute(CONTRACTION, tiling.compute_s / setting.clock, setting.program_s)
    results = _ELEMENT_BYTES * row["m"] * row["n"] / clusters if spills else 0.0
    tile = Tile(
        wanted=wanted,
        asked=asked / evenness(setting.machine, 1, wanted * clusters, 0.0),
        computes=(compute,),
        fill_s=0.0 if tiling.tokens_stay else tiling.fill_s,
        stored=results / tiling.tiles,
    )
    return Work(
        tiles=(tile,) * tiling.tiles,
        taken=row["m"] * row["k"] * row["activation_bits"] / _BITS / clusters if spills else 0.0,
        fill_s=tiling.fill_s if tiling.tokens_stay else 0.0,
        plan=plan,
    )


def _attention(row: Any, setting: Setting) -> Work:
    """K and V stream by in tiles as large as those of weights; each has its scores and its part of the softmax."""
    machine, clusters = setting.machine, setting.clusters
    contraction, vector = slice_attention_times(row, machine, setting.pes)
    wanted = float(row["kv_read_bytes"]) * kv_copies(row, machine, setting.pes) / clusters
    tiles = max(1, ceil(wanted / (setting.pes_per_cluster * float(machine["tcp_weight_tile"]))))
    softmax_s = float(machine["tcp_vector_programs_softmax"]) * setting.program_s
    head = row["head_dim"] * row["kv_bits"] / _BITS
    run = head * setting.runtime["kv_block"]
    heads = row["kv_heads"] / clusters
    even = evenness(machine, ceil(wanted / tiles / max(head * heads, 1.0)), head * heads, head * row["kv_heads"])
    activations = float(row["activation_bytes"]) / 2.0 / clusters if setting.spills(row) else 0.0
    tile = Tile(
        wanted=wanted / tiles,
        asked=wanted / tiles / access_efficiency(run, machine) / even,
        computes=(
            Compute(CONTRACTION, contraction / tiles / setting.clock, 0.0),
            Compute(VECTOR, vector / tiles / setting.clock, softmax_s / tiles),
        ),
        stored=activations / tiles,
    )
    return Work(tiles=(tile,) * tiles, taken=activations, kept=float(row["kv_write_bytes"]) / clusters)


def _gather(row: Any, setting: Setting) -> Work:
    run = row["n"] * row["weight_bits"] / _BITS
    wanted = float(row["weight_bytes"]) / setting.clusters
    asked = wanted / access_efficiency(run, setting.machine)
    stored = float(row["activation_bytes"]) / setting.clusters if setting.spills(row) else 0.0
    return Work(tiles=(Tile(wanted, asked, (), activations=True, stored=stored),))


def _vector(row: Any, setting: Setting) -> Work:
    """Element-wise work; where its activations pass through memory, in tiles of which three fit into SRAM."""
    work = float(vector_time(row, setting.machine, setting.pes)) / setting.clock
    fixed = float(program_time(row, setting.machine))
    if not setting.spills(row):
        return Work(tiles=(Tile(0.0, 0.0, (Compute(VECTOR, work, fixed),)),))
    moved = float(row["activation_bytes"]) / setting.clusters
    tiles = ceil(_IN_FLIGHT * moved / setting.sram)
    stored = _ELEMENT_BYTES * row["m"] * row["n"] / setting.clusters
    loaded = moved - stored
    computes = (Compute(VECTOR, work / tiles, fixed),)
    return Work(tiles=(Tile(loaded / tiles, loaded / tiles, computes, True, stored=stored / tiles),) * tiles)
