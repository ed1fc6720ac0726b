"""Fused attention of a GPU library against blocks walked one by one: causal area, windows, splits, packed decoding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from npusim import dtypes
from npusim.kernels.units.gpu.attention import attention_times
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, OP_DTYPE, account, attended_pairs, attended_tokens

Deploy = Callable[..., Deployment]
HEADS, KV_HEADS, SIZE = 32, 8, 128
LIBRARIES = {"flash-2": 0, "cudnn": 1, "flash-3": 2}
FLASH_3 = LIBRARIES["flash-3"]
TILE, SPLIT_TILE, PIECE = 128, 64, 128
LENGTHS = st.integers(2, 6000)


OPTIONAL = tuple(
    f"gpu_attention_{name}"
    for name in (
        "prompt_heads",
        "mask_edge",
        "exposed_passes",
        "split_launch",
        "stream_efficiency",
        "block_element",
        "sequence",
    )
)


@pytest.fixture(scope="module")
def shipped(deployed: Deploy) -> Any:
    deployment = deployed("h200", "llama-3.1-8b", uncalibrated=True)
    names = [library.name for library in deployment.system.chip.unit.attention]
    assert {name: names.index(name) for name in LIBRARIES} == LIBRARIES
    machine = deployment.machine[0]
    sizes = [machine[f"gpu_attention_{size}"][FLASH_3] for size in ("tile_rows", "split_tile_rows", "tile_context")]
    assert sizes == [TILE, SPLIT_TILE, PIECE]
    return machine


@pytest.fixture(scope="module")
def h200(shipped: Any) -> Any:
    """The machine whose libraries have nothing that they may leave out."""
    return _altered(shipped, **dict.fromkeys(OPTIONAL, math.nan))


@pytest.fixture(scope="module")
def balanced(h200: Any) -> Any:
    """The machine on which the last blocks of a causal prompt do not lag."""
    return _altered(h200, gpu_attention_imbalance=0.0)


def _altered(machine: Any, **values: float) -> Any:
    records = np.array([machine])
    for name, value in values.items():
        records[name] = value
    return records[0]


def _row(sequences: Sequence[tuple[int, int]], window: int = 0, causal: bool = True, **fields: float) -> Any:
    """One operator over sequences of (new tokens, context)."""
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["library"] = ATTENTION, FLASH_3
    row["heads"], row["kv_heads"], row["head_dim"], row["kv_bits"] = HEADS, KV_HEADS, SIZE, 16.0
    row["activation_dtype"], row["window"], row["batch"] = dtypes.BF16, window, len(sequences)
    for new, context in sequences:
        touched = attended_tokens(float(new), float(context), float(window))
        row["m"] += new
        row["query"], row["kv"] = max(row["query"], new), max(row["kv"], touched)
        row["kv_tokens"] += touched
        row["pairs"] += attended_pairs(float(new), float(context), float(window)) if causal else new * context
    for name, value in fields.items():
        row[name] = value
    account(row)
    return row


def _walked(new: int, context: int, tile: int, window: int = 0, causal: bool = True) -> int:
    """Scores that the blocks of one head compute: `tile` rows by the keys from its first to its last row's reach."""
    before, scores = context - new, 0
    for first in range(0, new, tile):
        last = min(first + tile, new) - 1
        end = before + last + 1 if causal else context
        start = max(0, before + first + 1 - window) if window else 0
        scores += tile * (end - start)
    return scores


def _tile(machine: Any, units: int, lines: float) -> int:
    slots = machine["gpu_sms"] * machine["gpu_attention_blocks_per_sm"][FLASH_3]
    return (
        TILE
        if units * math.ceil(lines / SPLIT_TILE) >= machine["gpu_attention_split_fill"][FLASH_3] * slots
        else SPLIT_TILE
    )


@given(st.integers(1, 12), LENGTHS, st.integers(0, 9000))
@example(1, 640, 0)
@example(1, 128, 0)
@example(3, 129, 1)
def test_causal_blocks_stop_at_the_diagonal(balanced: Any, batch: int, new: int, before: int) -> None:
    _, _, macs = attention_times(_row([(new, before + new)] * batch), balanced)
    tile = _tile(balanced, batch * HEADS, new)
    walked = batch * HEADS * _walked(new, before + new, tile)
    assert macs == pytest.approx(2 * SIZE * walked, rel=1e-9)


@given(st.integers(1, 12), LENGTHS, st.integers(0, 9000))
def test_without_a_mask_blocks_walk_the_whole_context(balanced: Any, batch: int, new: int, before: int) -> None:
    row = _row([(new, before + new)] * batch, causal=False)
    tile = _tile(balanced, batch * HEADS, new)
    walked = batch * HEADS * _walked(new, before + new, tile, causal=False)
    assert attention_times(row, balanced)[2] == pytest.approx(2 * SIZE * walked, rel=1e-9)


@given(st.integers(1, 4), LENGTHS, st.integers(0, 9000), st.sampled_from([512, 1024, 4096]))
@example(1, 8192, 0, 4096)
def test_a_window_bounds_the_walk(balanced: Any, batch: int, new: int, before: int, window: int) -> None:
    """At most one key a block above the keys that it walks, and never more than without the window."""
    row = _row([(new, before + new)] * batch, window)
    tile = _tile(balanced, batch * HEADS, new)
    walked = _walked(new, before + new, tile, window)
    scores = attention_times(row, balanced)[2] / (2 * SIZE * batch * HEADS)
    rows = tile * math.ceil(new / tile)
    assert walked <= scores * (1 + 1e-9)
    assert scores <= min(walked + rows + tile * tile, _walked(new, before + new, tile)) * (1 + 1e-9)


UNEQUAL = [
    [(8000, 8000), (100, 100)],
    [(8000, 8000), (100, 100_000)],
    [(1024, 1024)] * 7 + [(500, 1024)],
    [(4000, 4000), (192, 12_000), (4000, 4000)],
]


@pytest.mark.parametrize("sequences", UNEQUAL)
def test_unequal_prompts_compute_what_they_would_alone(balanced: Any, sequences: list[tuple[int, int]]) -> None:
    walked = 2 * SIZE * HEADS * sum(_walked(new, context, TILE) for new, context in sequences)
    assert attention_times(_row(sequences), balanced)[2] == pytest.approx(walked, rel=0.1)


def _rate(machine: Any) -> Any:
    """MACs per second of all SMs."""
    efficiency = machine["gpu_attention_efficiency_bf16"][FLASH_3]
    return machine["gpu_sms"] * machine["gpu_macs_per_sm_bf16"] * machine["gpu_clock"] * efficiency


def test_a_long_prompt_runs_at_the_rate_of_the_library(h200: Any, balanced: Any) -> None:
    row = _row([(8192, 8192)])
    contraction, fixed, macs = attention_times(row, balanced)
    assert contraction == pytest.approx(macs / _rate(h200), rel=1e-12)
    assert macs == pytest.approx(row["flops"] / 2, rel=128 / 8192)
    blocks = HEADS * 64
    filling = h200["gpu_attention_block"][FLASH_3] * blocks / h200["gpu_sms"]
    assert fixed == pytest.approx(h200["gpu_attention_launch"][FLASH_3] + filling, rel=1e-12)
    lagging = attention_times(row, h200)[0] - contraction
    longest = 2 * SIZE * TILE * 8192 / (_rate(h200) / h200["gpu_sms"])
    assert lagging == pytest.approx(h200["gpu_attention_imbalance"][FLASH_3] * longest, rel=1e-9)


def test_whole_contexts_do_not_lag(h200: Any, balanced: Any) -> None:
    row = _row([(4096, 4096)], causal=False)
    assert attention_times(row, h200) == pytest.approx(attention_times(row, balanced))


def test_no_prompt_ends_before_its_longest_block(balanced: Any) -> None:
    """Each SM has one block of a single prompt of 128 tokens over a long context, in four pieces."""
    row = _row([(128, 20_000)])
    contraction, _, macs = attention_times(row, balanced)
    splits = 132 // (2 * HEADS)
    longest = 2 * SIZE * SPLIT_TILE * 20_000 / splits / (_rate(balanced) / 132)
    assert contraction == pytest.approx(longest, rel=1e-12)
    assert longest > macs / _rate(balanced)


def _splits(machine: Any, row: Any) -> int:
    """Pieces of the context, read off the merge."""
    fixed = [attention_times(row, _altered(machine, gpu_attention_split_merge=merge))[1] for merge in (0.0, 1.0)]
    return round(fixed[1] - fixed[0])


@pytest.mark.parametrize(
    ("batch", "context", "splits"),
    [(1, 100_000, 16), (2, 100_000, 8), (1, 1000, 8), (1, 129, 2), (1, 128, 0), (13, 100_000, 0), (14, 100_000, 0)],
)
def test_few_blocks_split_the_context(h200: Any, batch: int, context: int, splits: int) -> None:
    """8 blocks a sequence on 132 slots: pieces fill them, none shorter than a tile; from 106 blocks on none."""
    assert _splits(h200, _row([(1, context)] * batch)) == splits


@pytest.mark.parametrize(("library", "splits"), [("flash-2", 33), ("cudnn", 16), ("flash-3", 16)])
def test_places_are_the_librarys(h200: Any, library: str, splits: int) -> None:
    assert _splits(h200, _row([(1, 100_000)], library=LIBRARIES[library])) == splits


@pytest.mark.parametrize(("fill", "tile"), [(0.78, TILE), (0.79, SPLIT_TILE)])
def test_enough_blocks_take_the_large_tile(h200: Any, fill: float, tile: int) -> None:
    """104 blocks on 132 slots are 79 % of them; the rows of a decoding group fit the smaller tile."""
    machine = _altered(h200, gpu_attention_split_fill=fill)
    row = _row([(1, 100_000)] * 13)
    assert attention_times(row, machine)[2] == 2 * SIZE * 13 * KV_HEADS * tile * 100_000
    assert _splits(machine, row) == 0


def test_decoding_packs_the_heads_of_a_group(balanced: Any) -> None:
    """Rows of one block are query heads that share keys: as many scores for one head of a group as for a whole one."""
    times = [
        attention_times(_row([(1, 5000)] * 4, heads=heads), balanced) for heads in (KV_HEADS, HEADS, 64 * KV_HEADS)
    ]
    assert times[0] == times[1] == times[2]
    assert times[0][2] == 2 * SIZE * 4 * KV_HEADS * SPLIT_TILE * 5000
    more = attention_times(_row([(1, 5000)] * 4, heads=65 * KV_HEADS), balanced)
    assert more[2] == 2 * times[0][2]


def test_ragged_decoding_waits_for_its_longest_context(balanced: Any) -> None:
    even, ragged = ([(1, 5000)] * 20, [(1, 100)] * 19 + [(1, 5000)])
    alike, uneven = (attention_times(_row(sequences), balanced) for sequences in (even, ragged))
    assert uneven[2] == pytest.approx(alike[2] * (19 * 100 + 5000) / 100_000)
    longest = 2 * SIZE * TILE * 5000 / (_rate(balanced) / 132)
    assert uneven[0] == pytest.approx(max(longest, uneven[2] / _rate(balanced)), rel=1e-12)


def _seconds(machine: Any, row: Any) -> float:
    """Without what merging costs: a longer prompt fills the slots without a split."""
    contraction, fixed, _ = attention_times(row, _altered(machine, gpu_attention_split_merge=0.0))
    return float(contraction + fixed)


def _piece(machine: Any) -> float:
    """Seconds in which a block walks the shortest piece of context: what cutting a context in two can save."""
    slowest = min(machine["gpu_attention_efficiency_bf16"][: len(LIBRARIES)])
    return float(2 * SIZE * TILE * PIECE / (machine["gpu_macs_per_sm_bf16"] * machine["gpu_clock"] * slowest))


@settings(max_examples=100)
@given(st.integers(1, 8), st.integers(2, 3000), st.integers(1, 300), st.sampled_from([*LIBRARIES.values()]))
@example(1, 640, 1, FLASH_3)
def test_a_longer_prompt_is_never_faster(h200: Any, batch: int, tokens: int, more: int, library: int) -> None:
    shorter, longer = (_seconds(h200, _row([(new, new)] * batch, library=library)) for new in (tokens, tokens + more))
    assert shorter <= longer + _piece(h200)


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 100_000), st.integers(1, 5000), st.sampled_from([*LIBRARIES.values()]))
def test_decoding_over_more_context_is_never_faster(
    h200: Any, batch: int, context: int, more: int, library: int
) -> None:
    shorter, longer = (
        _seconds(h200, _row([(1, reach)] * batch, library=library)) for reach in (context, context + more)
    )
    assert shorter <= longer + _piece(h200)


@given(st.integers(1, 6), st.integers(2, 3000), st.integers(0, 5000))
def test_a_packed_prompt_fills_its_tiles_with_the_heads_of_a_group(
    balanced: Any, batch: int, new: int, before: int
) -> None:
    """Packing the 4 heads of a group: rows of `4 x new` tokens, each tile of 128 rows covers 32 tokens."""
    row = _row([(new, before + new)] * batch)
    alone = attention_times(row, balanced)[2]
    machine = _altered(balanced, gpu_attention_prompt_heads=64.0)
    packed = attention_times(row, machine)[2]
    group, tile = HEADS // KV_HEADS, _tile(machine, batch * KV_HEADS, HEADS // KV_HEADS * new)
    walked = sum(tile * min(before + new, before + (first + tile) / group) for first in range(0, group * new, tile))
    assert packed == pytest.approx(2 * SIZE * batch * KV_HEADS * walked, rel=1e-9)
    assert packed <= alone * (1 + 1e-9)


def test_mask_edges_cost_a_part_of_a_tile_of_context_a_block(balanced: Any) -> None:
    machine = _altered(balanced, gpu_attention_mask_edge=0.5)
    prompt, blocks = _row([(4096, 4096)]), HEADS * 4096 / TILE
    more = attention_times(prompt, machine)[2] - attention_times(prompt, balanced)[2]
    assert more == pytest.approx(2 * SIZE * blocks * TILE * 0.5 * PIECE)
    decoding = _row([(1, 4096)] * 100, window=512)
    more = attention_times(decoding, machine)[2] / attention_times(decoding, balanced)[2]
    assert more == pytest.approx((512 + 0.5 * PIECE) / 512)
    whole = _row([(1, 4096)] * 100)
    assert attention_times(whole, machine) == attention_times(whole, balanced)


def test_exposed_passes_do_not_depend_on_the_size_of_a_head(balanced: Any) -> None:
    machine = _altered(balanced, gpu_attention_exposed_passes=8.0)
    lanes = machine["gpu_sms"] * machine["gpu_vector_lanes_per_sm"] * machine["gpu_clock"]
    for size in (64, 128, 256):
        row = _row([(4096, 4096)], head_dim=size)
        macs = attention_times(row, balanced)[2]
        more = attention_times(row, machine)[0] - attention_times(row, balanced)[0]
        assert more == pytest.approx(8.0 * macs / (2 * size) / lanes)


def test_only_splits_pay_for_the_kernel_that_merges_them(balanced: Any) -> None:
    machine = _altered(balanced, gpu_attention_split_launch=2e-6)
    for sequences, paid in (([(1, 100_000)], 2e-6), ([(1, 100_000)] * 20, 0.0)):
        row = _row(sequences)
        more = attention_times(row, machine)[1] - attention_times(row, balanced)[1]
        assert more == pytest.approx(paid, abs=1e-12)


def test_wide_heads_and_many_sequences_take_longer_to_start(balanced: Any) -> None:
    machine = _altered(balanced, gpu_attention_block_element=1e-8, gpu_attention_sequence=1e-8)
    for size, batch in ((64, 20), (128, 40)):
        row = _row([(1, 1000)] * batch, head_dim=size)
        more = attention_times(row, machine)[1] - attention_times(row, balanced)[1]
        waves = max(1.0, batch * KV_HEADS / machine["gpu_sms"])
        assert more == pytest.approx(1e-8 * (size * waves + batch))


def test_the_shipped_library_of_served_models_packs_and_exposes(shipped: Any) -> None:
    given = [bool(np.isfinite(shipped[name][FLASH_3])) for name in OPTIONAL]
    assert given == [True] * len(OPTIONAL)
    assert not any(np.isfinite(shipped[name][LIBRARIES["flash-2"]]) for name in OPTIONAL)
