"""Systolic arrays: closed forms of tiles, and what they make of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.answers.peaks import peak_ops_per_s
from npusim.dtypes import BF16, INT8
from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import build_machine
from npusim.kernels.shapes import vectors_of_each_key
from npusim.kernels.units.systolic_array import tiles_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, LINEAR, OP_DTYPE
from npusim.workload.step import decode, prefill

Deploy = Callable[..., Deployment]
MakeEngine = Callable[..., AnalyticEngine]

ARRAYS, SIDE, CLOCK, EFFICIENCY = 4, 128, 1.5e9, 0.9


@pytest.fixture(scope="module")
def tpu() -> Any:
    return build_machine(load_system("tpu-v5e"))[0]


def test_the_peak_is_that_of_its_table() -> None:
    peaks = peak_ops_per_s(load_system("tpu-v5e"))
    assert peaks["bf16"] == pytest.approx(197e12, rel=0.005)
    assert peaks["int8"] == pytest.approx(393e12, rel=0.005)


def test_many_vectors_pass_at_one_a_cycle(tpu: Any) -> None:
    seconds = tiles_time(8.0, 1000.0, BF16, tpu)
    assert seconds == pytest.approx((2 * 1000 + 2 * SIDE) / (CLOCK * EFFICIENCY))
    assert tiles_time(8.0, 1000.0, INT8, tpu) == pytest.approx((1000 + 2 * SIDE) / (CLOCK * EFFICIENCY))


def test_few_vectors_wait_for_the_next_tiles_weights(tpu: Any) -> None:
    assert tiles_time(8.0, 1.0, BF16, tpu) == tiles_time(8.0, float(SIDE), BF16, tpu)


def test_a_tile_more_than_the_arrays_hold_takes_another_turn(tpu: Any) -> None:
    even, over = (tiles_time(tiles, 512.0, BF16, tpu) for tiles in (8.0, 9.0))
    assert over - even == pytest.approx(512 / (CLOCK * EFFICIENCY))
    assert tiles_time(12.0, 512.0, BF16, tpu) == over


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_no_product_is_faster_than_the_peak(m: int, n: int, k: int) -> None:
    tpu = build_machine(load_system("tpu-v5e"))[0]
    tiles = math.ceil(n / SIDE) * math.ceil(k / SIDE)
    assert m * n * k / tiles_time(float(tiles), float(m), BF16, tpu) < ARRAYS * SIDE * SIDE * CLOCK


def test_keys_are_multiplied_by_the_queries_that_see_them() -> None:
    row = np.zeros(1, OP_DTYPE)[0]
    row["heads"], row["kv_heads"], row["query"], row["kv_tokens"], row["pairs"] = 32, 8, 1, 3000, 3000
    assert vectors_of_each_key(row, 128.0) == 4.0
    row["query"], row["kv_tokens"], row["pairs"] = 1000, 1000, 500_500
    assert vectors_of_each_key(row, 128.0) == pytest.approx(4 * (500.5 + 64))


def test_one_sequence_streams_the_weights(engine_of: MakeEngine) -> None:
    cost = engine_of("tpu-v5e", "qwen3-4b").cost(decode([512]))
    least_s = cost.memory_bytes / (819.2e9 * 0.92 * 0.98)
    assert least_s < cost.time_s < 1.5 * least_s
    assert cost.largest_share == "memory"


def test_time_rises_with_the_batch_and_prompts_near_the_peak(engine_of: MakeEngine) -> None:
    engine = engine_of("tpu-v5e", "qwen3-4b")
    times = [engine.cost(decode([512] * batch)).time_s for batch in (1, 16, 17, 64, 128)]
    assert times == sorted(times)
    prompt = engine.cost(prefill(1, 2048))
    assert prompt.largest_share == "contraction"
    assert 0.5 < prompt.flops / prompt.time_s / 197e12 < 0.9


def test_odd_sizes_pay_for_whole_tiles(engine_of: MakeEngine) -> None:
    """Query heads of 64 elements leave half of an array's rows idle: scores take as many tiles as heads of 128."""
    engine = engine_of("tpu-v5e", "qwen2.5-0.5b")
    table, costs = engine.operators(prefill(1, 1024))
    (row,) = (index for index, each in enumerate(table.rows) if each["kind"] == ATTENTION)
    useful_s = table.rows[row]["flops"] / 197e12
    assert costs[row]["contraction_s"] > 1.9 * useful_s
    products = table.rows["kind"] == LINEAR
    assert (costs["contraction_s"][products] > table.rows["flops"][products] / 197e12).all()


def test_energy_of_a_step_is_that_of_its_parts(engine_of: MakeEngine) -> None:
    engine = engine_of("tpu-v5e", "qwen3-4b")
    cost = engine.cost(decode([512]))
    static = cost.time_s * float(engine.machine["power_idle"] + engine.machine["power_loaded_static"])
    moved = cost.memory_bytes * float(engine.machine["power_memory_byte"])
    assert static + moved < cost.energy_j < 1.2 * (static + moved)
