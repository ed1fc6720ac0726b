"""Matrix products of a GPU library against a schedule of tiles written out: waves, splits of k, what SMs can draw."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.evidence.validation.validate import validate_table
from npusim.hardware.catalog import load_system
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.rates import efficiency_of
from npusim.kernels.units.gpu.linear import linear_times
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import LINEAR, OP_DTYPE, account

Deploy = Callable[..., Deployment]
DATA = Path(__file__).resolve().parent.parent / "validation" / "data"
SMS, ROWS, COLUMNS, DEPTH, RATE = 132, 128, 256, 64, 2048
WIDTHS = st.sampled_from([1024, 4096, 6144, 14336, 28672])


@pytest.fixture(scope="module")
def h200(deployed: Deploy) -> Any:
    machine = deployed("h200", "llama-3.1-8b", uncalibrated=True).machine[0]
    sizes = [machine[f"gpu_linear_tile_{size}"][0] for size in ("rows", "columns", "depth")]
    assert (machine["gpu_sms"], *sizes, machine["gpu_macs_per_sm_bf16"]) == (SMS, ROWS, COLUMNS, DEPTH, RATE)
    return machine


@pytest.fixture(scope="module")
def arithmetic(h200: Any) -> Any:
    """The machine with endless bandwidth and no fixed time: arithmetic alone chooses the tiles."""
    return _altered(
        h200, memory_channel_bandwidth=1e30, gpu_linear_stream_per_sm=1e30, gpu_linear_launch=0.0,
        gpu_linear_split_merge=0.0, gpu_linear_tile_time=0.0, gpu_l2_bandwidth=1e30,
    )  # fmt: skip


def _altered(machine: Any, **values: float) -> Any:
    records = np.array([machine])
    for name, value in values.items():
        records[name] = value
    return records[0]


def _row(m: float, n: float, k: float, dtype: str = "bf16", library: int = 0) -> Any:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["m"], row["n"], row["k"], row["library"] = LINEAR, m, n, k, library
    row["weight_dtype"] = row["activation_dtype"] = dtypes.code(dtype)
    row["weight_bits"] = row["activation_bits"] = 16.0 if dtype == "bf16" else 8.0
    account(row)
    return row


def _makespan(m: int, n: int, k: int, rows: float, columns: float, splits: float) -> float:
    """MACs of the busiest SM when every tile goes to the SM that is free first."""
    free = [0.0] * SMS
    for _ in range(math.ceil(m / rows) * math.ceil(n / columns) * round(splits)):
        heapq.heappush(free, heapq.heappop(free) + rows * columns * k / splits)
    return max(free)


def _fastest(m: int, n: int, k: int) -> float:
    """MACs of the busiest SM under the best tile shape, k whole or split until the SMs are full."""
    spans = []
    for rows, columns in itertools.product((ROWS, ROWS / 2), (COLUMNS, COLUMNS / 2, COLUMNS / 4)):
        tiles = math.ceil(m / rows) * math.ceil(n / columns)
        for splits in {1, max(1, min(SMS // tiles, k // DEPTH))}:
            spans.append(_makespan(m, n, k, rows, columns, splits))
    return min(spans)


def _seconds(machine: Any, macs: float) -> Any:
    return macs / (RATE * machine["gpu_linear_efficiency_bf16"][0] * machine["gpu_clock"])


@pytest.mark.parametrize("tiles", [(11, 12), (12, 11)])
def test_a_full_wave_runs_at_the_rate_of_the_library(arithmetic: Any, tiles: tuple[int, int]) -> None:
    m, n, k = tiles[0] * ROWS, tiles[1] * COLUMNS, 8192
    contraction, _, _ = linear_times(_row(m, n, k), arithmetic)
    assert contraction == pytest.approx(_seconds(arithmetic, m * n * k / SMS), rel=1e-12)


def test_a_last_wave_that_is_not_full_costs_a_whole_one(arithmetic: Any) -> None:
    m, n, k = 12 * ROWS, 11 * COLUMNS, 8192
    full = linear_times(_row(m, n, k), arithmetic)[0]
    more = linear_times(_row(m, n + 1, k), arithmetic)[0]
    assert more == pytest.approx(_seconds(arithmetic, _fastest(m, n + 1, k)), rel=1e-12)
    assert more == pytest.approx(1.125 * full, rel=1e-12)


@given(st.integers(1, 3000), st.integers(1, 6000), st.integers(1, 9000))
def test_contraction_is_the_schedule_of_its_tiles(arithmetic: Any, m: int, n: int, k: int) -> None:
    contraction, _, fixed = linear_times(_row(m, n, k), arithmetic)
    assert contraction == pytest.approx(_seconds(arithmetic, _fastest(m, n, k)), rel=1e-9)
    assert fixed == 0.0
    assert contraction >= _seconds(arithmetic, m * n * k / SMS) * (1 - 1e-12)


def test_few_tiles_split_k_where_that_pays(arithmetic: Any) -> None:
    row = _row(ROWS, COLUMNS, 8192)
    whole = _seconds(arithmetic, ROWS * COLUMNS / 8 * 8192)
    split, _, fixed = linear_times(row, arithmetic)
    assert split == pytest.approx(whole * 8 / SMS, rel=1e-12)
    saved = whole - split
    for merge, splits in ((0.9 * saved, True), (1.1 * saved, False)):
        machine = _altered(arithmetic, gpu_linear_split_merge=merge, gpu_linear_launch=3e-6)
        contraction, _, fixed = linear_times(row, machine)
        assert contraction == pytest.approx(split if splits else whole, rel=1e-12)
        assert fixed == pytest.approx(3e-6 + (merge if splits else 0.0), rel=1e-12)


@pytest.mark.parametrize(
    ("k", "parts"), [(63, 8), (64, 8), (127, 8), (128, 16), (640, 80), (64 * 33, SMS), (64 * 99, SMS)]
)
def test_a_split_holds_a_stage_of_the_pipeline(arithmetic: Any, k: int, parts: int) -> None:
    """parts: smaller tiles times splits of k; the smallest tile is an eighth of the largest."""
    contraction, _, _ = linear_times(_row(ROWS, COLUMNS, k), arithmetic)
    assert contraction == pytest.approx(_seconds(arithmetic, ROWS * COLUMNS * k / parts), rel=1e-12)


@pytest.mark.parametrize("tiles", [1, 10, 66])
def test_few_sms_draw_only_so_much(h200: Any, tiles: int) -> None:
    """Too small a k to be split; a quarter of the columns puts four times as many SMs to work."""
    row = _row(1, tiles * COLUMNS, 64)
    _, memory, fixed = linear_times(row, h200)
    whole = stream_bandwidth(h200, 1.0) * h200["gpu_linear_stream_efficiency"][0]
    streamed = row["weight_bytes"] / whole + row["activation_bytes"] / h200["gpu_l2_bandwidth"]
    moved = row["weight_bytes"] + row["activation_bytes"]
    drawn = moved / (min(4 * tiles, SMS) * h200["gpu_linear_stream_per_sm"][0])
    assert memory == pytest.approx(max(streamed, drawn), rel=1e-12)
    assert (drawn > streamed) == (tiles < 66)
    assert fixed == pytest.approx(h200["gpu_linear_launch"][0] + h200["gpu_linear_tile_time"][0])


def test_each_wave_fills_its_pipeline_once(arithmetic: Any) -> None:
    machine = _altered(arithmetic, gpu_linear_tile_time=1e-9)
    assert linear_times(_row(12 * ROWS, 33 * COLUMNS, 8192), machine)[2] == pytest.approx(3e-9)
    assert linear_times(_row(ROWS, COLUMNS, 64), _altered(arithmetic, gpu_linear_tile_time=math.nan))[2] == 0.0


def test_activations_pass_through_the_cache_while_they_fit(h200: Any) -> None:
    fits, spills = _row(4096, 4096, 64), _row(8192, 4096, 64)
    assert fits["activation_bytes"] < h200["gpu_l2_capacity"] < spills["activation_bytes"]
    for row, rate in ((fits, h200["gpu_l2_bandwidth"]), (spills, stream_bandwidth(h200, 1.0))):
        weights = stream_bandwidth(h200, 1.0) * h200["gpu_linear_stream_efficiency"][0]
        streamed = row["weight_bytes"] / weights + row["activation_bytes"] / rate
        assert linear_times(row, h200)[1] == pytest.approx(streamed, rel=1e-12)


def test_a_split_lets_more_sms_draw(h200: Any) -> None:
    row = _row(1, 4 * COLUMNS, 4096)
    machine = _altered(h200, gpu_linear_split_merge=0.0)
    _, alone, _ = linear_times(row, _altered(h200, gpu_linear_split_merge=1.0))
    _, split, _ = linear_times(row, machine)
    moved, per_sm = row["weight_bytes"] + row["activation_bytes"], h200["gpu_linear_stream_per_sm"][0]
    assert alone == pytest.approx(moved / (16 * per_sm), rel=1e-12)
    assert split < alone / 4


@given(st.integers(1, 4000), st.integers(1, 500), WIDTHS, WIDTHS)
def test_more_rows_save_no_more_than_a_merge(h200: Any, m: int, more: int, n: int, k: int) -> None:
    """A product with more tiles fills the SMs without splitting k: all that it can save is the merge."""

    def seconds(rows: int) -> float:
        contraction, memory, fixed = linear_times(_row(rows, n, k), h200)
        return float(max(contraction, memory) + fixed)

    assert seconds(m) <= seconds(m + more) + h200["gpu_linear_split_merge"][0]


@given(st.integers(1, 4000), WIDTHS, WIDTHS)
def test_eight_bits_are_never_slower(h200: Any, m: int, n: int, k: int) -> None:
    machine = _altered(h200, gpu_linear_efficiency_fp8=h200["gpu_linear_efficiency_bf16"][0])
    wide, narrow = (linear_times(_row(m, n, k, dtype), machine) for dtype in ("bf16", "fp8"))
    assert max(narrow[:2]) + narrow[2] <= max(wide[:2]) + wide[2]


def test_efficiencies_by_operand_type(h200: Any) -> None:
    assert efficiency_of(dtypes.BF16, 0.7, 0.6, 0.5) == 0.7
    assert efficiency_of(dtypes.FP8, 0.7, 0.6, 0.5) == 0.6
    assert efficiency_of(dtypes.INT8, 0.7, 0.6, 0.5) == 0.5
    assert efficiency_of(dtypes.INT8, 0.7, 0.6, math.nan) == 0.6
    assert math.isnan(h200["gpu_linear_efficiency_int8"][0])
    times = [linear_times(_row(4096, 4096, 4096, dtype), h200)[0] for dtype in ("fp8", "int8")]
    assert times[0] == times[1]


def test_each_library_has_its_own_tiles(arithmetic: Any) -> None:
    other = _altered(arithmetic)
    other["gpu_linear_efficiency_bf16"][1] = other["gpu_linear_efficiency_bf16"][0]
    assert other["gpu_linear_tile_columns"][1] == 128
    m, n, k = 11 * ROWS, 24 * 128, 8192
    first, second = (linear_times(_row(m, n, k, library=library), other)[0] for library in (0, 1))
    assert first == second == pytest.approx(_seconds(arithmetic, 2 * ROWS * 128 * k), rel=1e-12)
    assert linear_times(_row(ROWS, 128, 64, library=1), other)[0] == pytest.approx(
        _seconds(arithmetic, ROWS * 128 / 8 * 64), rel=1e-12
    )


CUTLASS = {"transposed": 16.0, "narrow": 64.0, "low": 128.0, "empty_free": 0.25, "empty_time": 1.2}


@pytest.fixture(scope="module")
def by_rows(h200: Any) -> Any:
    """The library that picks its tile by the number of rows: 128 x 128 elements, halved for few rows."""
    names = [library.name for library in load_system("h200", uncalibrated=True).chip.unit.linear]
    index = names.index("vllm-cutlass")
    told = {name: h200[f"gpu_linear_tiles_by_rows_{name}"][index] for name in CUTLASS}
    assert told == CUTLASS
    assert math.isnan(h200["gpu_linear_tiles_by_rows_low"][0]), "cublas takes the fastest of its tiles"
    return index


def _by_rows_s(m: int, n: int, k: int, machine: Any, index: int) -> float:
    """Seconds of arithmetic, written out: blocks of rows, the empty part of the last one, waves of tiles."""
    tile_rows, tile_columns = (64 if m <= 128 else 128), (64 if m <= 64 else 128)
    filled = math.ceil(m / tile_rows)
    blocks = filled if m <= 128 else filled + filled % 2
    waves = math.ceil(blocks * math.ceil(n / tile_columns) / SMS)
    fp8 = machine["gpu_macs_per_sm_fp8"] * machine["gpu_linear_efficiency_fp8"][index] * machine["gpu_clock"]
    seconds = waves * tile_rows * tile_columns * k / fp8
    empty = max(0.0, filled - m / tile_rows - 0.25) if m > 16 else 0.0
    return float(seconds * (1.0 + 1.2 * empty / blocks))


@pytest.mark.parametrize("m", [1, 16, 17, 24, 48, 64, 65, 96, 128, 129, 136, 256, 257, 512, 1024, 1040, 8192])
@pytest.mark.parametrize(("n", "k"), [(6144, 4096), (4096, 14336)])
def test_a_tile_by_the_number_of_rows(arithmetic: Any, by_rows: int, m: int, n: int, k: int) -> None:
    contraction, _, _ = linear_times(_row(m, n, k, "fp8", by_rows), arithmetic)
    assert contraction == pytest.approx(_by_rows_s(m, n, k, arithmetic, by_rows), rel=1e-12)


def test_rows_outside_the_matrix_take_time(h200: Any, by_rows: int) -> None:
    """24 rows need longer than 64 and 1,040 more than an eighth beyond 1,024; up to 16 rows all take as long."""
    time_s = {m: max(linear_times(_row(m, 28672, 4096, "fp8", by_rows), h200)[:2]) for m in (1, 16, 24, 64, 1024, 1040)}
    assert time_s[16] == pytest.approx(time_s[1], rel=0.05)
    assert time_s[24] > 1.1 * time_s[64] > 1.1 * time_s[16]
    assert time_s[1040] > 1.2 * time_s[1024]
    free = _altered(h200, gpu_linear_tiles_by_rows_empty_time=0.0)
    assert max(linear_times(_row(24, 28672, 4096, "fp8", by_rows), free)[:2]) <= time_s[64]


def test_products_of_captured_sizes_are_near_the_measured(by_rows: int) -> None:
    """38 numbers of rows up to 8,192: those between powers of two are no exception."""
    result = validate_table(DATA / "h200" / "vllm_linear.csv")
    errors = {"bf16": [], "fp8": []}
    for item in result.predictions:
        errors[item.case.dimensions["dtype"]].append(abs(item.error))
    assert (len(errors["bf16"]), len(errors["fp8"])) == (347, 332)
    assert np.mean(errors["bf16"]) < 0.10 and np.mean(errors["fp8"]) < 0.10
