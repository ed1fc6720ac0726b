"""Grouped products of experts on a GPU: tiles counted out, bounds, alignment, rows of other ranks; published times."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import process, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.importer import import_table
from npusim.kernels.units.gpu.grouped import grouped_times
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import EXPERT_UP, LINEAR, OP_DTYPE, account
from npusim.workload.routing import Skew, choice_chances

Deploy = Callable[..., Deployment]
DATA = Path(__file__).resolve().parent.parent / "validation" / "data" / "gpu_public"
SMS, ROWS, COLUMNS, LEAST, RATE = 132, 128, 128, 32, 2048
TABLES = ("h200_moe", "h200_mla_context_module", "h200_mla_generation_module")


@pytest.fixture(scope="module")
def h200(deployed: Deploy) -> Any:
    machine = deployed("h200", "llama-3.1-8b", uncalibrated=True).machine[0]
    sizes = [machine[f"gpu_grouped_{size}"][0] for size in ("tile_rows", "tile_columns", "least_columns")]
    assert (machine["gpu_sms"], *sizes, machine["gpu_macs_per_sm_bf16"]) == (SMS, ROWS, COLUMNS, LEAST, RATE)
    return machine


def _row(tokens: int, experts: int, chosen: int, n: int, k: int, spread: float = 1.0, skew: Skew | None = None) -> Any:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["op"], row["n"], row["k"], row["fan"] = LINEAR, EXPERT_UP, n, k, chosen
    row["m"], row["matrices"], row["spread"], row["dealt"] = tokens * chosen, experts, spread, 1.0
    row["popularity"] = choice_chances(experts, chosen, skew or Skew())
    row["touched"] = min(experts, tokens * chosen)
    row["weight_dtype"] = row["activation_dtype"] = dtypes.BF16
    row["weight_bits"] = row["activation_bits"] = 16.0
    account(row)
    return row


def test_large_groups_fill_whole_tiles(h200: Any) -> None:
    """1,024 tokens of 8 experts of 64: 128 rows each, one full tile of rows by 32 of columns."""
    row = _row(1024, 64, 8, 4096, 4096)
    contraction, _, fixed, macs = grouped_times(row, h200)
    efficiency = h200["gpu_grouped_efficiency_bf16"][0]
    waves = math.ceil(64 * 32 / SMS)
    assert contraction == pytest.approx(waves * ROWS * COLUMNS * 4096 / (RATE * efficiency * h200["gpu_clock"]))
    assert macs == row["m"] * row["n"] * row["k"]
    rows_sorted = row["m"] * h200["gpu_grouped_sort_row"][0]
    assert fixed == pytest.approx(h200["gpu_grouped_launch"][0] + 0.5 * (h200["gpu_grouped_sort"][0] + rows_sorted))


def test_few_tokens_take_the_smallest_tile_and_stream(h200: Any) -> None:
    row = _row(4, 256, 8, 4096, 7168)
    contraction, memory, _, macs = grouped_times(row, h200)
    assert macs == 32 * 16 * row["n"] * row["k"]
    assert memory > contraction
    assert memory >= row["weight_bytes"] / 4.8e12


@given(st.integers(1, 8192), st.sampled_from([8, 64, 256]), st.sampled_from([Skew(), Skew(1.2, 50.0)]))
def test_never_faster_than_the_arithmetic_and_bytes_that_it_needs(
    h200: Any, tokens: int, experts: int, skew: Skew
) -> None:
    row = _row(tokens, experts, 2, 2048, 4096, skew=skew)
    contraction, memory, fixed, macs = grouped_times(row, h200)
    assert macs >= row["m"] * row["n"] * row["k"] * (1 - 1e-9)
    assert contraction >= row["m"] * row["n"] * row["k"] / (SMS * RATE * h200["gpu_clock"])
    assert memory >= (row["weight_bytes"] + row["activation_bytes"]) / 4.8e12
    assert fixed > 0.0


def test_matrices_of_odd_width_load_slowly(h200: Any) -> None:
    even, odd = (grouped_times(_row(512, 64, 8, 2048, k), h200) for k in (96, 88))
    assert odd[1] > 4 * even[1]
    packed = _row(512, 64, 8, 2048, 88)
    packed["weight_dtype"] = dtypes.MXFP4
    assert grouped_times(packed, h200)[1] < even[1]


def test_rows_of_other_ranks_are_written(h200: Any) -> None:
    alone, among = (grouped_times(_row(512, 8, 1, 4096, 2048, spread), h200)[2] for spread in (1.0, 8.0))
    written, put_in_order = 7 * 512 * 4096 * 2 / 4.35e12, 0.5 * 7 * 512 * h200["gpu_grouped_sort_row"][0]
    assert among - alone == pytest.approx(written + put_in_order, rel=0.1)


@pytest.mark.parametrize("name", TABLES)
def test_published_times_within_the_aim(name: str) -> None:
    told = tell("validate", DATA / f"{name}.csv", "--json").json
    assert told["rows"] >= 54
    assert told["skipped"] == []
    assert told["mape"] <= 0.15
    assert {"ms", "power_w"} <= set(told["by"]["metric"])


@pytest.mark.parametrize("name", TABLES)
def test_every_prediction_is_finite_and_positive(name: str) -> None:
    numbers: Numbers | None = None
    for case in import_table(DATA / f"{name}.csv").cases:
        numbers = numbers or _numbers(case.predictor.arch)
        figures = case.predictor.predict(numbers, 0)
        assert all(math.isfinite(figure) and figure > 0.0 for figure in figures.values())


def _numbers(arch: str) -> Numbers:
    from npusim.hardware.catalog import load_system

    return Numbers.of(load_system(arch, uncalibrated=True))


def test_rows_that_cannot_be_are_skipped_with_a_reason(tmp_path: Path) -> None:
    head, first, *_ = (DATA / "h200_moe.csv").read_text().splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    broken = [
        cells | {"distribution": "zipf"},
        cells | {"moe_dtype": "fp6"},
        cells | {"topk": "9999"},
        cells | {"moe_ep_size": "7", "num_experts": "16"},
    ]
    path = tmp_path / "h200_moe.csv"
    path.write_text("\n".join([head, first, *(",".join(row.values()) for row in broken)]) + "\n")
    skips = import_table(path).skips
    assert [skip.row for skip in skips] == [1, 2, 3, 4]
    reasons = " | ".join(skip.reason for skip in skips)
    for part in ("no distribution 'zipf'", "no precision scheme 'fp6'", "9999", "cannot be split 7 x"):
        assert part in reasons


def test_a_step_of_deepseek_on_eight_cards(tmp_path: Path) -> None:
    words = ("step", "h200", "deepseek-v3", "--cards", "8", "--precision", "fp8", "--phase", "decode")
    done = process(*words, "--batch", "16", "--context", "1024", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert 5_000 < told["time_us"] < 40_000
    assert {"expert_up", "absorb", "router", "combine"} <= {entry["op"] for entry in told["ops"]}
    done = process(*words[:-4], "--phase", "decode", "--batch", "1", "--context", "64", folder=tmp_path)
    assert done.returncode == 2
    assert "does not fit" in done.stderr
