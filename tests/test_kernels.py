"""Kernels against closed forms and against what was measured: contraction, attention, memory, reductions, power."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import cost_designs
from npusim.kernels.memory import access_efficiency, kv_stream_time, peak_bandwidth, stream_bandwidth, stream_time
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.power import mac_energy
from npusim.kernels.rates import operand_bytes
from npusim.kernels.unit import kv_copies
from npusim.kernels.units.contraction_processor.attention import shared_heads_time, slice_attention_times
from npusim.kernels.units.contraction_processor.contraction import product_time, slice_contraction_time
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.kernels.units.contraction_processor.vector import program_time, vector_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.lower import lower
from npusim.mapping.optable import (
    ATTENTION,
    CAST,
    NORM,
    OP_DTYPE,
    ROPE,
    SAMPLE,
    SILU,
    SPLIT_COLUMNS,
    SPLIT_ROWS,
    VECTOR,
)
from npusim.mapping.specialise import specialise
from npusim.workload.step import Step, decode, prefill

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]
MakeEngine = Callable[..., AnalyticEngine]
KB = 1024.0


@pytest.fixture(scope="module")
def rngd(deployed: Deploy) -> Any:
    return deployed("rngd", "llama-3.1-8b", uncalibrated=True).machine[0]


@pytest.fixture(scope="module")
def h200(deployed: Deploy) -> Any:
    return deployed("h200", "llama-3.1-8b").machine[0]


def _altered(machine: Any, **values: float) -> Any:
    records = np.array([machine])
    for name, value in values.items():
        records[name] = value
    return records[0]


def _attention_row(deployment: Deployment, step: Step) -> Any:
    rows = lower(deployment.model, deployment.precision, deployment.plan, step).rows
    row = rows[rows["kind"] == ATTENTION][0]
    row["pes"] = 8.0
    return row


@pytest.mark.parametrize(("dtype", "macs"), [("bf16", 256), ("fp8", 512), ("int8", 512), ("int4", 1024)])
@pytest.mark.parametrize("split", [SPLIT_COLUMNS, SPLIT_ROWS])
def test_contraction_of_sizes_that_divide_runs_at_the_mac_rate(rngd: Any, dtype: str, macs: int, split: int) -> None:
    free = {"tcp_contraction_efficiency": 1.0, "tcp_reducer_drain": 0.0}
    machine = _altered(rngd, tcp_operand_stream_per_slice=math.inf, **free)
    m, n, k = 64.0, 4096.0, 8192.0
    seconds = slice_contraction_time(m, n, k, dtypes.code(dtype), split, machine, 8.0)
    assert seconds == pytest.approx(m * n * k / (512 * macs * 1e9), rel=1e-12)


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
def test_a_matrix_times_a_vector_is_bound_by_the_operand_stream(rngd: Any, dtype: str) -> None:
    n, k = 4096.0, 8192.0
    machine = _altered(rngd, tcp_reducer_drain=0.0)
    seconds = slice_contraction_time(1.0, n, k, dtypes.code(dtype), SPLIT_COLUMNS, machine, 8.0)
    delivered = n * k * operand_bytes(dtypes.code(dtype)) / (512 * 32 * 1e9)
    assert seconds == pytest.approx(delivered, rel=1e-12)


def test_sixteen_tokens_ride_on_one_pass_of_the_weights(rngd: Any) -> None:
    machine = _altered(rngd, tcp_contraction_efficiency=1.0, tcp_reducer_drain=0.0)
    times = {
        m: slice_contraction_time(m, 4096.0, 4096.0, dtypes.BF16, SPLIT_COLUMNS, machine, 8.0) for m in (1, 9, 16, 32)
    }
    assert times[1] == times[9] == times[16]
    assert times[32] == 2 * times[16]


def test_padded_slices_idle(rngd: Any) -> None:
    full = slice_contraction_time(32.0, 512.0, 4096.0, dtypes.BF16, SPLIT_COLUMNS, rngd, 8.0)
    assert slice_contraction_time(32.0, 1.0, 4096.0, dtypes.BF16, SPLIT_COLUMNS, rngd, 8.0) == full
    assert slice_contraction_time(32.0, 513.0, 4096.0, dtypes.BF16, SPLIT_COLUMNS, rngd, 8.0) == 2 * full


@pytest.mark.parametrize("k", [512.0, 4096.0])
def test_the_reducer_drains_once_for_each_column_of_eight_tokens(rngd: Any, k: float) -> None:
    drained, free = (
        slice_contraction_time(100.0, 4096.0, k, dtypes.BF16, SPLIT_COLUMNS, _altered(rngd, tcp_reducer_drain=d), 8.0)
        for d in (10.0, 0.0)
    )
    assert drained - free == pytest.approx(8 * 13 * 10.0 / 1e9, rel=1e-9)


@pytest.mark.parametrize(("megabytes", "tiles"), [(1.0, 2.0), (32.0, 2.0), (320.0, 20.0)])
def test_only_one_tile_of_the_weights_is_not_overlapped(rngd: Any, megabytes: float, tiles: float) -> None:
    machine = _altered(rngd, tcp_weight_tile=4e6, tcp_program_time=0.0, tcp_dma_command=0.0)
    assert product_time(3.0, 5.0, megabytes * 1e6, 0.0, machine, 8.0, math.inf, 0.0)[:2] == pytest.approx(
        (5.0 + 3.0 / tiles, tiles)
    )
    assert product_time(5.0, 2.0, megabytes * 1e6, 0.0, machine, 8.0, math.inf, 0.0)[:2] == pytest.approx(
        (5.0 + 2.0 / tiles, tiles)
    )


def test_tiles_are_large_where_programs_take_long(rngd: Any) -> None:
    """Ten tiles of 4 MB: their programs are added to the multiplying, once for each; halves would have twenty."""
    machine = _altered(rngd, tcp_weight_tile=4e6, tcp_program_time=0.1, tcp_dma_command=0.0)
    assert product_time(5.0, 1.0, 320e6, 0.0, machine, 8.0, math.inf, 0.0)[:2] == pytest.approx(
        (5.0 + 10 * 0.1 + 0.1, 10.0)
    )


def test_a_queue_of_one_loads_and_multiplies_in_turn(rngd: Any) -> None:
    machine = _altered(rngd, tcp_weight_tile=4e6, tcp_program_time=0.0, tcp_dma_command=0.0, tcp_dma_queue=1.0)
    assert product_time(3.0, 5.0, 320e6, 0.0, machine, 8.0, math.inf, 0.0)[0] == pytest.approx(3.0 + 5.0)


@pytest.mark.parametrize(("depth", "fetched"), [(1.0, 1.0), (2.0, 2.0), (16.0, 10.0)])
def test_as_many_tiles_are_fetched_ahead_as_the_queue_holds(rngd: Any, depth: float, fetched: float) -> None:
    free = {"tcp_program_time": 0.0, "tcp_dma_command": 0.0}
    machine = _altered(rngd, tcp_weight_tile=4e6, tcp_dma_queue=depth, **free)
    assert product_time(0.0, 5.0, 320e6, 100.0, machine, 8.0, math.inf, 0.0)[0] == pytest.approx(5.0 - fetched * 0.5)
    assert product_time(0.0, 5.0, 320e6, 0.3, machine, 8.0, math.inf, 0.0)[0] == pytest.approx(5.0 - 0.3)


@given(st.integers(1, 4000), st.integers(1, 500), st.sampled_from([512.0, 4096.0, 14336.0]))
def test_more_rows_are_never_faster(rngd: Any, m: int, more: int, n: float) -> None:
    fewer, rows = (
        slice_contraction_time(float(row), n, 4096.0, dtypes.BF16, SPLIT_ROWS, rngd, 8.0) for row in (m, m + more)
    )
    assert fewer <= rows


@pytest.mark.parametrize(("pes", "low", "high"), [(1, 213, 213), (2, 419, 419), (4, 779, 779), (8, 1297, 1396)])
def test_streaming_pes_bend_into_the_memorys_limit(rngd: Any, pes: float, low: float, high: float) -> None:
    gigabytes = stream_bandwidth(rngd, float(pes)) / 1e9
    assert low * 0.94 <= gigabytes <= high * 1.06


def test_no_stream_passes_the_peak(rngd: Any, h200: Any) -> None:
    assert peak_bandwidth(rngd) == 32 * 48e9
    whole = peak_bandwidth(rngd) * rngd["memory_stream_efficiency"]
    assert stream_bandwidth(rngd, 1e6) == pytest.approx(whole, rel=1e-6)
    least = stream_bandwidth(_altered(rngd, memory_contention_sharpness=1e3), 4.0)
    assert least == pytest.approx(stream_bandwidth(_altered(rngd, memory_contention_sharpness=30.0), 4.0), rel=0.03)
    assert whole < peak_bandwidth(rngd)
    assert stream_bandwidth(_altered(h200, settled=0.0), 1.0) == peak_bandwidth(h200) * h200["memory_stream_efficiency"]


@pytest.mark.parametrize("settled", [0.0, 0.25, 1.0])
def test_a_hot_memory_refreshes_more_often(h200: Any, settled: float) -> None:
    machine = _altered(h200, memory_hot_efficiency=0.9, settled=settled)
    whole = peak_bandwidth(h200) * h200["memory_stream_efficiency"]
    assert stream_bandwidth(machine, 1.0) == pytest.approx(whole * (1.0 - 0.1 * settled), rel=1e-12)


def test_short_runs_waste_their_access_units(rngd: Any) -> None:
    assert access_efficiency(256.0, rngd) == access_efficiency(1024.0, rngd) == 1.0
    assert access_efficiency(128.0, rngd) == 0.5
    assert access_efficiency(257.0, rngd) == 257 / 512
    assert stream_time(1e6, 128.0, rngd, 8.0) == 2 * stream_time(1e6, 256.0, rngd, 8.0)
    assert stream_time(0.0, 256.0, rngd, 8.0) == 0.0


@pytest.mark.parametrize(("pes", "low", "high"), [(2, 2.0, 3.7), (4, 10.5, 13.5), (8, 50.0, 65.0)])
def test_on_chip_reductions_take_what_was_measured(rngd: Any, pes: float, low: float, high: float) -> None:
    microseconds = on_chip_reduction_time(8 * KB, rngd, float(pes)) * 1e6
    assert low * 0.75 <= microseconds <= high * 1.25


def test_one_pe_reduces_nothing(rngd: Any) -> None:
    assert on_chip_reduction_time(8 * KB, rngd, 1.0) == 0.0


def test_vector_operators_take_their_passes(rngd: Any) -> None:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["op"], row["m"], row["n"] = VECTOR, NORM, 10.0, 4096.0
    passes = rngd["tcp_vector_passes_norm"]
    assert vector_time(row, rngd, 8.0) == pytest.approx(10 * 4096 * passes / (8 * 64 * 4 * 1e9), rel=1e-12)


def test_vector_operators_consist_of_programs_whatever_their_size(rngd: Any) -> None:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["n"] = VECTOR, 4096.0
    for op, name in ((NORM, "norm"), (ROPE, "rope"), (SILU, "activation"), (SAMPLE, "sample")):
        row["op"] = op
        for rows in (1.0, 500.0):
            row["m"] = rows
            programs = rngd[f"tcp_vector_programs_{name}"]
            assert program_time(row, rngd) == pytest.approx(programs * rngd["tcp_program_time"], rel=1e-12)
    row["op"] = CAST
    assert program_time(row, rngd) == rngd["tcp_program_time"]


def test_programs_lengthen_a_step_of_the_card(deployed: Deploy, altered: Alter) -> None:
    """Those of the vector operators, and that of each product's last tile: others hide under the stream of weights."""
    deployment = deployed("rngd", "llama-3.1-8b")
    runtime = {"path_graph": 0}
    slow, none = (
        AnalyticEngine(altered(deployment, tcp_program_time=seconds, **runtime)).cost(decode([1000])).time_s
        for seconds in (1e-6, 0.0)
    )
    machine = deployment.machine[0]
    layer = 2 * machine["tcp_vector_programs_norm"] + machine["tcp_vector_programs_rope"]
    layer += machine["tcp_vector_programs_activation"] + machine["tcp_vector_programs_softmax"]
    products = 4
    programs = 32 * (layer + products) + machine["tcp_vector_programs_norm"] + 1
    assert slow - none == pytest.approx(programs * 1e-6, rel=1e-9)


def test_the_kv_stream_of_a_block_of_one_token_is_whole(deployed: Deploy) -> None:
    deployment = deployed("rngd", "llama-3.1-8b")
    machine, runtime = deployment.machine[0], deployment.runtime_record[0]
    row = _attention_row(deployment, decode([1024]))
    moved = row["kv_read_bytes"] + row["kv_write_bytes"]
    assert kv_stream_time(row, machine, runtime) == pytest.approx(moved / stream_bandwidth(machine, 8.0), rel=1e-12)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "copies"), [(32, 8, 1.0), (16, 2, 1.0), (28, 4, 2.0), (14, 2, 4.0), (5, 5, 1.0)]
)
def test_pes_without_whole_query_heads_read_the_cache_for_themselves(
    deployed: Deploy, heads: int, kv_heads: int, copies: float
) -> None:
    deployment = deployed("rngd", "llama-3.1-8b")
    machine = _altered(deployment.machine[0], tcp_kv_copying=1.0)
    row = _attention_row(deployment, decode([1024]))
    row["heads"], row["kv_heads"] = heads, kv_heads
    assert kv_copies(row, machine, 8.0) == copies
    assert kv_copies(row, _altered(machine, tcp_kv_copying=0.5), 8.0) == 0.5 * (1.0 + copies)
    assert kv_copies(row, machine, 1.0) == 1.0
    once = _altered(deployment.runtime_record[0], kv_block=1.0)
    alone = row.copy()
    alone["heads"] = 8
    reads = kv_stream_time(row, machine, once) - kv_stream_time(alone, machine, once)
    assert reads == pytest.approx((copies - 1.0) * row["kv_read_bytes"] / stream_bandwidth(machine, 8.0), abs=1e-15)


@pytest.mark.parametrize(("new", "pairs"), [(1024, 1024.0 * 1024.0), (1000, 1024.0 * 1024.0)])
def test_served_attention_computes_the_padded_rectangle(deployed: Deploy, new: int, pairs: float) -> None:
    deployment = deployed("rngd", "llama-3.1-8b")
    machine = _altered(deployment.machine[0], tcp_operand_stream_per_slice=math.inf, tcp_contraction_efficiency=1.0)
    table = lower(deployment.model, deployment.precision, deployment.plan, prefill(1, new))
    rows = specialise(table, deployment.machine[0], deployment.runtime_record[0]).rows
    row = rows[rows["kind"] == ATTENTION][0]
    contraction, vector = slice_attention_times(row, machine, 8.0)
    scores = 32 * pairs
    assert contraction == pytest.approx(2 * scores * 128 / (512 * 256 * 1e9), rel=1e-12)
    assert vector == pytest.approx(scores * machine["tcp_vector_passes_softmax"] / (512 * 4 * 1e9), rel=1e-12)


@pytest.mark.parametrize(("heads", "pes", "reductions"), [(32, 8, 0), (20, 8, 2), (12, 8, 2), (20, 4, 0), (7, 1, 0)])
def test_heads_that_lie_on_two_pes_are_joined(deployed: Deploy, heads: int, pes: float, reductions: int) -> None:
    machine = deployed("rngd", "llama-3.1-8b").machine[0]
    row = _attention_row(deployed("rngd", "llama-3.1-8b"), decode([1024] * 3))
    row["heads"] = heads
    one = on_chip_reduction_time(2.0 * 3 * heads * 128, machine, pes)
    assert shared_heads_time(row, machine, pes) == pytest.approx(reductions * one, rel=1e-12)


@pytest.mark.parametrize("cap", [450.0, 550.0, 600.0])
def test_at_the_cap_mean_power_equals_the_cap(deployed: Deploy, altered: Alter, cap: float) -> None:
    deployment = altered(deployed("h200", "llama-3.1-8b"), power_minimum_clock=0.01)
    free, held = (AnalyticEngine(altered(deployment, power_cap=watts)) for watts in (1e9, cap))
    step = prefill(4, 2048)
    assert free.cost(step).clock == 1.0
    cost = held.cost(step)
    assert cost.clock < 1.0
    assert cost.power_w == pytest.approx(cap, rel=1e-3)
    assert cost.time_s > free.cost(step).time_s
    assert cost.energy_j < free.cost(step).energy_j


def test_the_clock_never_falls_below_its_minimum(deployed: Deploy, altered: Alter) -> None:
    cost = AnalyticEngine(altered(deployed("h200", "llama-3.1-8b"), power_cap=300.0)).cost(prefill(4, 2048))
    assert cost.duty < 1.0 and cost.power_w == pytest.approx(300.0, rel=1e-9)
    assert cost.clock == pytest.approx(float(deployed("h200", "llama-3.1-8b").machine[0]["power_minimum_clock"]))


def test_a_chip_that_has_not_settled_throttles_part_of_the_time(deployed: Deploy, altered: Alter) -> None:
    deployment, step = altered(deployed("h200", "llama-3.1-8b"), power_cap=500.0), prefill(4, 2048)
    hot, part, rested = (
        AnalyticEngine(altered(deployment, settled=settled, memory_hot_efficiency=1.0)).cost(step)
        for settled in (1.0, 0.5, 0.0)
    )
    assert hot.clock < part.clock < rested.clock == 1.0
    assert 1.0 / part.clock == pytest.approx(0.5 + 0.5 / hot.clock, rel=1e-12)
    assert hot.time_s > part.time_s > rested.time_s


def test_an_assumed_cap_never_throttles(deployed: Deploy, altered: Alter) -> None:
    deployment = altered(deployed("rngd", "llama-3.1-8b"), power_cap=1.0)
    assert AnalyticEngine(deployment).cost(prefill(1, 1024)).clock == 1.0


def test_energy_of_a_mac_follows_its_operands(rngd: Any) -> None:
    for name in ("bf16", "fp8", "int8", "int4"):
        assert mac_energy(dtypes.code(name), rngd) == rngd[f"power_mac_{name}"]


def test_many_machines_are_costed_as_one_by_one(deployed: Deploy) -> None:
    deployment, step = deployed("rngd", "llama-3.1-8b"), decode([1000, 3000])
    machines = np.repeat(deployment.machine, 3)
    machines["memory_channel_bandwidth"] *= np.array([1.0, 2.0, 0.5])
    costs = cost_designs(AnalyticEngine(deployment), step, machines, np.repeat(deployment.runtime_record, 3))
    for index in range(3):
        alone = deployment.with_records(machines[index : index + 1], deployment.runtime_record)
        engine = AnalyticEngine(alone)
        assert costs.time_s[index] == engine.with_host(engine.cost(step), 2).time_s
        assert costs.clock[index] == engine.cost(step).clock
    assert costs.time_s[1] < costs.time_s[0] < costs.time_s[2]


def test_operator_costs_hold_no_gap(engine_of: MakeEngine) -> None:
    for arch, precision in (("rngd", "mxfp4"), ("h200", "int8"), ("h100", "fp8"), ("rngd-plus", "w8a16")):
        engine = engine_of(arch, "llama-3.1-8b", precision=precision)
        for step in (decode([100, 9000]), prefill(1, 300)):
            costs = engine.operators(step)[1]
            for name in OPERATOR_COST_DTYPE.names or ():
                assert np.isfinite(costs[name]).all(), (arch, precision, name)
                assert (costs[name] >= 0).all(), (arch, precision, name)
