"""LPUs: closed forms of MAC trees that match the memory's stream, and what they make of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.answers.peaks import peak_ops_per_s
from npusim.dtypes import BF16
from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import build_machine
from npusim.kernels.units.lpu import trees_time
from npusim.workload.step import decode, prefill

MakeEngine = Callable[..., AnalyticEngine]

TREES, INPUTS, CLOCK, EFFICIENCY = 16, 64, 220e6, 0.98
BANDWIDTH = 460e9


@pytest.fixture(scope="module")
def orion() -> Any:
    return build_machine(load_system("hyperaccel-orion"))[0]


def test_the_trees_match_the_memory() -> None:
    operations_of_a_weight, bytes_of_a_weight = 2.0, 2.0
    peak = peak_ops_per_s(load_system("hyperaccel-orion"))["bf16"]
    assert peak / operations_of_a_weight * bytes_of_a_weight == pytest.approx(BANDWIDTH, rel=0.03)


def test_weights_pass_once_for_each_vector(orion: Any) -> None:
    once = trees_time(1.0, 4096.0, 4096.0, 1.0, BF16, orion)
    assert once == pytest.approx(4096 / TREES * 4096 / INPUTS / (CLOCK * EFFICIENCY))
    assert trees_time(1.0, 4096.0, 4096.0, 5.0, BF16, orion) == pytest.approx(5 * once)
    assert trees_time(3.0, 4096.0, 4096.0, 1.0, BF16, orion) == pytest.approx(3 * once)


def test_more_sets_of_trees_take_more_vectors_at_once(orion: Any) -> None:
    machine = orion.copy()
    machine["lpu_tree_sets"] = 4.0
    one, four, five = (trees_time(1.0, 4096.0, 4096.0, count, BF16, machine) for count in (1.0, 4.0, 5.0))
    assert one == four == five / 2


def test_trees_and_inputs_beyond_the_last_idle(orion: Any) -> None:
    assert trees_time(1.0, 17.0, 65.0, 1.0, BF16, orion) == trees_time(1.0, 32.0, 128.0, 1.0, BF16, orion)


@given(st.integers(1, 200), st.integers(1, 10_000), st.integers(1, 10_000))
def test_no_product_is_faster_than_the_peak(m: int, n: int, k: int) -> None:
    orion = build_machine(load_system("hyperaccel-orion"))[0]
    assert m * n * k / trees_time(1.0, float(n), float(k), float(m), BF16, orion) < TREES * INPUTS * CLOCK


def test_one_sequence_runs_at_the_memorys_rate(engine_of: MakeEngine) -> None:
    """About 90 % of the memory's rate is used at batch 1 (arXiv 2408.07326)."""
    cost = engine_of("hyperaccel-orion", "qwen3-4b").cost(decode([512]))
    assert 0.8 * BANDWIDTH < cost.memory_bytes / cost.time_s < 0.9 * BANDWIDTH
    assert cost.largest_share == "memory"


def test_a_batch_of_users_takes_the_weights_as_often(engine_of: MakeEngine) -> None:
    """There are no multipliers to spare: a step of many users takes them one after the other."""
    engine = engine_of("hyperaccel-orion", "qwen3-4b")
    times = [engine.cost(decode([512] * batch)).time_s for batch in (1, 2, 4, 8, 16)]
    assert times == sorted(times)
    assert times[4] > 12 * times[0]
    prompt = engine.cost(prefill(1, 64))
    assert prompt.largest_share == "contraction"
    assert prompt.flops / prompt.time_s < 2 * TREES * INPUTS * CLOCK


def test_links_send_while_products_are_computed(engine_of: MakeEngine) -> None:
    cost = engine_of("hyperaccel-orion", "qwen3-4b", cards=8).cost(decode([512]))
    assert 0.0 < cost.shares_s["link"] < 0.1 * cost.time_s
    assert cost.power_w < 8 * 150.0
