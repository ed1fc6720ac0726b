"""SRAM of a contraction processor: what it holds, what it passes, what stays in it, in both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Alter, Deploy
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.kernels.units.contraction_processor.contraction import (
    product_time,
    slice_contraction_time,
    spread_contraction_time,
)
from npusim.kernels.units.contraction_processor.sram import accumulations, port_time, sram_bytes
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import LINEAR, SPLIT_COLUMNS
from npusim.workload.step import Step, decode, prefill

KIB = 1024.0
DECODE, PROMPT = decode([1024] * 16), prefill(1, 1024)
NUMBERS = (
    "tcp_sram_per_slice",
    "tcp_sram_bandwidth_per_slice",
    "tcp_register_file_per_slice",
    "tcp_accumulators_per_slice",
)


@pytest.fixture(scope="module")
def llama(deployed: Deploy) -> Deployment:
    return deployed("rngd", "llama-3.1-8b", uncalibrated=True)


def _seconds(deployment: Deployment, step: Step) -> float:
    return AnalyticEngine(deployment, max_sequences=64).cost(step).time_s


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("step", [DECODE, PROMPT], ids=["decode", "prompt"])
def test_more_is_never_slower_and_next_to_none_is_slow(
    llama: Deployment, altered: Alter, name: str, step: Step
) -> None:
    usual = float(llama.machine[0][name])
    times = [_seconds(altered(llama, **{name: usual * 2.0**power}), step) for power in range(-18, 4)]
    assert (np.diff(times) <= 1e-12 * times[-1]).all(), times
    assert times[-1] == times[-2] == _seconds(llama, step), "what RNGD has is enough"
    if name in ("tcp_sram_per_slice", "tcp_sram_bandwidth_per_slice"):
        assert times[0] > 100.0 * times[-1]


def test_activations_without_room_pass_through_memory(llama: Deployment, altered: Alter) -> None:
    """Half of the SRAM is theirs: what is more is written and read, and counts as traffic."""
    small = altered(llama, tcp_sram_per_slice=64 * KIB)
    rows = AnalyticEngine(small).operators(PROMPT)[0].rows
    room = 0.5 * 512 * 64 * KIB
    assert rows["spilled"].max() > 0.0
    assert np.allclose(rows["spilled"], np.maximum(0.0, rows["activation_bytes"] - room))
    more = AnalyticEngine(small).cost(PROMPT).memory_bytes - AnalyticEngine(llama).cost(PROMPT).memory_bytes
    assert more == pytest.approx((rows["repeat"] * rows["spilled"]).sum(), rel=1e-9)
    assert (AnalyticEngine(llama).operators(PROMPT)[0].rows["spilled"] == 0.0).all()


def test_two_tiles_have_room_beside_the_activations(llama: Deployment, altered: Alter) -> None:
    machine = altered(llama, tcp_sram_per_slice=64 * KIB)
    rows = AnalyticEngine(machine).operators(DECODE)[0].rows
    resident = (rows["activation_bytes"] - rows["spilled"]).max()
    whole = sram_bytes(machine.machine[0], 8.0)
    assert rows["tile"] == pytest.approx((whole - resident) / 8.0 / 2.0)
    assert AnalyticEngine(llama).operators(DECODE)[0].rows["tile"] == pytest.approx(64 * 64 * KIB), "the registers"


@given(st.floats(1e-4, 10.0), st.floats(1e-4, 10.0), st.floats(1e5, 1e10), st.floats(0.0, 1.0))
def test_smaller_tiles_than_the_compilers_are_never_faster(
    llama: Deployment, multiply: float, load: float, size: float, idle: float
) -> None:
    machine = llama.machine[0]
    times = [product_time(multiply, load, size, idle, machine, 8.0, 1e3 * 2.0**power, 0.0)[0] for power in range(20)]
    assert (np.diff(times) <= 1e-9 * times[-1]).all()


def test_weights_that_stay_are_not_read_again(llama: Deployment, altered: Alter) -> None:
    """256 MiB keep what activations and tiles leave; a model that fits is not streamed at all."""
    kept = altered(llama, kept_in_sram=1.0)
    before, after = (AnalyticEngine(each).cost(DECODE) for each in (llama, kept))
    rows = AnalyticEngine(kept).operators(DECODE)[0].rows
    resident = rows["activation_bytes"].max()
    left = sram_bytes(llama.machine[0], 8.0) - resident - 2 * 8 * float(llama.machine[0]["tcp_weight_tile"])
    assert before.memory_bytes - after.memory_bytes == pytest.approx(left, rel=1e-6)
    assert after.time_s < before.time_s
    huge = altered(kept, tcp_sram_per_slice=1e9)
    assert AnalyticEngine(huge).cost(DECODE).memory_bytes < 0.01 * before.memory_bytes
    assert AnalyticEngine(huge).cost(DECODE).time_s < 0.7 * before.time_s


def test_engines_agree_where_sram_is_short(llama: Deployment, altered: Alter) -> None:
    for values in ({"tcp_sram_per_slice": 64 * KIB}, {"kept_in_sram": 1.0, "tcp_sram_per_slice": 4096 * KIB}):
        engine = AnalyticEngine(altered(llama, **values))
        for step in (decode([512] * 4), prefill(1, 512)):
            simulated, closed = EventEngine(engine, "rngd").cost(step), engine.cost(step)
            assert simulated.time_s == pytest.approx(closed.time_s, rel=0.05)


def test_all_that_passes_the_sram_takes_its_time(llama: Deployment, altered: Alter) -> None:
    """A contraction lasts at least as long as its operands and results need at the ports."""
    slow = altered(llama, tcp_sram_bandwidth_per_slice=1.0)
    table, costs = AnalyticEngine(slow).operators(DECODE)
    products = table.rows["kind"] == LINEAR
    least = [port_time(2.0 * row["weight_bytes"], slow.machine[0], 8.0) for row in table.rows[products]]
    assert (costs["contraction_s"][products] >= least).all()


def test_tokens_beyond_the_accumulators_see_the_weights_again(llama: Deployment, altered: Alter) -> None:
    machine = altered(llama, tcp_accumulators_per_slice=64.0).machine[0]
    assert [accumulations(tokens, machine) for tokens in (0.5, 64.0, 65.0, 640.0)] == [1.0, 1.0, 2.0, 10.0]


@given(st.integers(1, 2048), st.integers(1, 5000), st.integers(64, 16384))
def test_k_is_spread_over_idle_slices_where_that_is_faster(llama: Deployment, m: int, n: int, k: int) -> None:
    machine: Any = llama.machine[0]
    sizes = float(m), float(n), float(k), dtypes.BF16, SPLIT_COLUMNS, machine, 8.0
    whole, spread = slice_contraction_time(*sizes), spread_contraction_time(*sizes)
    assert spread <= whole
    if n % 512 == 0:
        assert spread >= 0.97 * whole


def test_a_longer_hop_round_the_ring_takes_longer(llama: Deployment, altered: Alter) -> None:
    near, far = (altered(llama, tcp_ring_hop=hop).machine[0] for hop in (9.0, 99.0))
    sizes = 1.0, 64.0, 16384.0, dtypes.BF16, SPLIT_COLUMNS
    assert spread_contraction_time(*sizes, near, 8.0) < spread_contraction_time(*sizes, far, 8.0)


def test_clusters_meet_at_the_end_of_a_step(llama: Deployment, altered: Alter) -> None:
    early, late = (altered(llama, tcp_cluster_sync=cycles) for cycles in (600.0, 1600.0))
    assert _seconds(late, DECODE) - _seconds(early, DECODE) == pytest.approx(1e-6, rel=1e-6)
    alone = {"tcp_clusters": 1.0}
    assert _seconds(altered(late, **alone), DECODE) == _seconds(altered(early, **alone), DECODE)
