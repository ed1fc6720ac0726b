"""Parts of the event engine by themselves: shared bandwidth, buffer, channels, planner, commands in a queue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from event_support import Scene
from hypothesis import given
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.channels import channel_of, evenness
from npusim.engine.event.core import state as core
from npusim.engine.event.setting import StepSetting
from npusim.engine.event.tiling import plan_linear
from npusim.errors import UserError
from npusim.kernels.memory import stream_time
from npusim.kernels.units.contraction_processor.contraction import slice_contraction_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import LINEAR, SPLIT_ROWS
from npusim.workload.step import decode, prefill

Deploy = Callable[..., Deployment]


def _ends(transfers: list[tuple[float, float, float]], rate: float) -> list[float]:
    """When flows of (begin, amount, engines) over one resource of `rate` end."""
    scene = Scene([rate])
    for begin, amount, streams in transfers:
        scene.after(begin, amount=amount, streams=streams, uses={0: 1.0})
    return scene.ends()


def test_flows_share_a_resource_in_equal_parts() -> None:
    """The first runs alone for 1 s, then both share 10 B/s until the first is done, then the second has it alone."""
    assert _ends([(0.0, 20.0, 1.0), (1.0, 20.0, 1.0)], 10.0) == pytest.approx([3.0, 4.0])
    assert _ends([(0.0, 15.0, 3.0), (0.0, 10.0, 1.0)], 10.0) == pytest.approx([2.0, 2.5])


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.floats(0.1, 100), st.sampled_from([1.0, 2.0, 4.0])), min_size=1, max_size=12
    )
)
def test_a_shared_resource_loses_nothing(transfers: list[tuple[float, float, float]]) -> None:
    ends = _ends(transfers, 5.0)
    for (begin, amount, _), end in zip(transfers, ends, strict=True):
        assert end >= (begin + amount / 5.0) * (1 - 1e-9)
    last = max(ends)
    assert last <= (max(begin for begin, _, _ in transfers) + sum(amount for _, amount, _ in transfers) / 5.0) * (
        1 + 1e-9
    )


_USES = st.dictionaries(st.integers(0, 3), st.sampled_from([0.25, 0.5, 1.0]), min_size=1)


@given(st.lists(_USES, min_size=1, max_size=6), st.lists(st.floats(1.0, 20.0), min_size=4, max_size=4))
def test_flows_over_several_resources_are_max_min_fair(uses: list[dict[int, float]], capacity: list[float]) -> None:
    """No resource is over its capacity, and each flow uses a full one on which none is faster."""
    scene = Scene(capacity)
    for each in uses:
        scene.after(0.0, amount=100.0, uses=each)
    state = scene.run()
    used = state.history[0, 1:]
    assert (used <= np.array(capacity) * (1 + 1e-9)).all()
    first = min(scene.ends())
    assert first == pytest.approx(100.0 / max(_fair_rates(uses, capacity)), rel=1e-6)


def _fair_rates(uses: list[dict[int, float]], capacity: list[float]) -> list[float]:
    """Progressive filling, written down anew."""
    rates, rising = [0.0] * len(uses), set(range(len(uses)))
    left = list(capacity)
    while rising:
        load = [sum(uses[flow].get(resource, 0.0) for flow in rising) for resource in range(len(capacity))]
        step = min(left[resource] / load[resource] for resource in range(len(capacity)) if load[resource] > 0.0)
        for flow in rising:
            rates[flow] += step
        left = [have - step * asked for have, asked in zip(left, load, strict=True)]
        full = {r for r in range(len(capacity)) if load[r] > 0.0 and left[r] <= 1e-9 * capacity[r]}
        rising -= {flow for flow in rising if full & uses[flow].keys()}
    return rates


def test_a_flow_is_held_up_by_its_fullest_channel() -> None:
    """Four channels of 10 B/s: even, 100 B take 2.5 s; with half of the bytes on one, 5 s."""
    even, uneven = ({0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}, {0: 0.5, 1: 0.25, 2: 0.25})
    for uses, seconds in ((even, 2.5), (uneven, 5.0)):
        scene = Scene([10.0] * 4)
        scene.after(0.0, amount=100.0, uses=uses)
        assert scene.ends() == pytest.approx([seconds])


def test_a_port_serves_the_main_context_before_the_sub_context_before_transfers() -> None:
    """100 B/s: main takes 70 of them for 1 s; a fill of 60 B in 1 s gets 30 until then, a transfer what is left."""
    scene = Scene([50.0], ports=[100.0])
    scene.add(core.MAIN_PROGRAM, queue=0, port=0, work_s=1.0, touched=70.0)
    scene.add(core.FILL, queue=1, port=0, work_s=1.0, touched=60.0, uses={1: 1.0})
    scene.after(0.0, amount=50.0, uses={0: 1.0, 2: 1.0})
    assert scene.ends() == pytest.approx([1.0, 1.5, 1.5 + (50.0 - 0.5 * 40.0) / 50.0])
    lost = scene.run().lost[2]
    assert lost[core.PORT] == pytest.approx(1.0 + 0.5 * (1.0 - 40.0 / 50.0))


def test_a_port_wide_enough_for_all_delays_nothing() -> None:
    scene = Scene([50.0], ports=[200.0])
    scene.add(core.MAIN_PROGRAM, queue=0, port=0, work_s=1.0, touched=70.0)
    scene.add(core.FILL, queue=1, port=0, work_s=1.0, touched=60.0, uses={1: 1.0})
    scene.after(0.0, amount=50.0, uses={0: 1.0, 2: 1.0})
    assert scene.ends() == pytest.approx([1.0, 1.0, 1.0])


def test_a_pool_serves_claims_in_order_and_says_who_made_room() -> None:
    """10 bytes: the second transfer waits until the program that uses up the first is done."""
    scene = Scene([1.0], pools=[10.0], depth=2)
    first = scene.add(core.TRANSFER, queue=0, pool=0, amount=6.0, claim=6.0, uses={0: 1.0})
    used = scene.add(core.PROGRAM, queue=1, pool=0, work_s=3.0, release=6.0, inputs=(first,))
    second = scene.add(core.TRANSFER, queue=0, pool=0, amount=8.0, claim=8.0, uses={0: 1.0})
    state = scene.run()
    assert state.end.tolist() == pytest.approx([6.0, 9.0, 17.0])
    assert (state.cause[second], state.waited[second]) == (used, core.ROOM)


def test_timers_are_taken_in_order_of_time_and_of_setting() -> None:
    draw = np.random.default_rng(3)
    times = draw.integers(0, 40, 300).astype(float)
    scene = Scene([1.0])
    for time in times:
        scene.add(core.PROGRAM, queue=len(scene.commands), work_s=float(time))
    assert scene.ends() == times.tolist()


@given(st.sampled_from([1, 2, 4]), st.sampled_from([4, 8, 16]), st.integers(0, 2**20))
def test_every_block_of_units_falls_on_every_channel_once(stacks: int, channels: int, block: int) -> None:
    every = stacks * channels
    units = np.arange(block * every, (block + 1) * every)
    assert sorted(channel_of(units, stacks, channels).tolist()) == list(range(every))


def test_addresses_that_miss_the_stack_bit_use_half_of_the_channels() -> None:
    used = np.unique(channel_of(np.arange(0, 2**16, 2), 2, 16))
    assert len(used) == 16


def test_a_short_transfer_leaves_channels_idle(deployed: Deploy) -> None:
    machine = deployed("rngd", "llama-3.1-8b").machine[0]
    unit = float(machine["memory_access_unit"])
    assert evenness(machine, 64.0 * unit) == 1.0
    assert evenness(machine, 16.0 * unit) == 0.5
    assert evenness(machine, 33.0 * unit) == pytest.approx(33 / 64)
    assert evenness(machine, 3201.0 * unit) > 0.98


def _linear_rows(deployment: Deployment, tokens: int) -> tuple[np.ndarray, StepSetting]:
    engine = AnalyticEngine(deployment)
    step = decode([64] * tokens) if tokens <= 64 else prefill(1, tokens)
    rows = engine.operators(step)[0].rows
    return rows[rows["kind"] == LINEAR], StepSetting(engine.machine, engine.runtime, 0, int(rows[0]["pes"]))


@pytest.mark.parametrize("tokens", [1, 16, 64, 512])
def test_the_plan_is_the_fastest_and_explains_itself(deployed: Deploy, tokens: int) -> None:
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), tokens)
    for row in rows:
        plan = plan_linear(row, setting, setting.sram / setting.pes_per_cluster, 0.0)
        assert plan.runner_up is not None
        assert plan.choice.predicted_s <= plan.runner_up.predicted_s * (1 + 2.0**-8)
        assert str(plan.compared) in plan.reason
        assert plan.choice.tiles * plan.choice.tile_columns >= plan.choice.columns
        stream = stream_time(row["weight_bytes"], row["k"] * row["weight_bits"] / 8, setting.machine, setting.pes)
        assert plan.choice.stream_s * plan.choice.tiles == pytest.approx(stream)
        assert plan.choice.predicted_s >= max(stream, plan.choice.compute_s * plan.choice.tiles)


@pytest.mark.parametrize("tokens", [1, 8, 512])
def test_tiles_compute_what_the_whole_row_does(deployed: Deploy, tokens: int) -> None:
    """Where k and m are not split further: the closed form of the analytic engine, columns padded to whole tiles."""
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), tokens)
    for row in rows:
        choice = plan_linear(row, setting, setting.sram, 0.0).choice
        if choice.depth_parts * choice.token_parts == 1:
            whole = slice_contraction_time(
                row["m"], row["n"], row["k"], row["activation_dtype"], row["split"], setting.machine, setting.pes
            )
            padded = choice.tiles * choice.tile_columns / choice.columns
            assert choice.compute_s * choice.tiles == pytest.approx(whole * padded)


def test_padding_is_seen(deployed: Deploy) -> None:
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), 8)
    row = rows[0].copy()
    row["n"], row["split"] = 512.0, 0
    full = plan_linear(row, setting, setting.sram, 0.0).choice
    row["n"] = 513.0
    more = plan_linear(row, setting, setting.sram, 0.0).choice
    row["n"], row["m"] = 512.0, 1.0
    one = plan_linear(row, setting, setting.sram, 0.0).choice
    assert full.useful == 1.0
    assert more.useful < 1.0
    assert one.useful == pytest.approx(1 / 8)


def test_few_columns_split_their_depth_over_slices(deployed: Deploy) -> None:
    """64 columns on 512 slices leave most idle, unless slices share a column and sum it round the ring."""
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), 512)
    row = rows[0].copy()
    row["n"], row["k"], row["split"] = 64.0, 65536.0, 0
    plan = plan_linear(row, setting, setting.sram, 0.0)
    assert plan.choice.depth_parts * plan.choice.token_parts > 1


def test_large_partial_results_are_reduced_in_parts(deployed: Deploy) -> None:
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), 1024)
    down = rows[rows["split"] == SPLIT_ROWS][-1]
    assert plan_linear(down, setting, setting.sram, 0.0).choice.reductions > 1
    few, _ = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), 1)
    assert plan_linear(few[few["split"] == SPLIT_ROWS][-1], setting, setting.sram, 0.0).choice.reductions == 1


def test_a_row_without_room_for_one_column_is_refused(deployed: Deploy) -> None:
    rows, setting = _linear_rows(deployed("rngd", "llama-3.1-8b", uncalibrated=True), 1)
    with pytest.raises(UserError, match="not even one column"):
        plan_linear(rows[0], setting, 1000.0, 0.0)
