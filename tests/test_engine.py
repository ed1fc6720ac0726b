"""The analytic engine: what a step adds up to, exact runs of decode steps, and what must never get worse."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from npusim.engine.analytic import COARSE, AnalyticEngine
from npusim.engine.stepcost import RESOURCES, StepCost, combine
from npusim.kernels.power import energy_scale
from npusim.mapping.deployment import Deployment
from npusim.workload.step import Step, decode, mixed, prefill

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]
MakeEngine = Callable[..., AnalyticEngine]

GOLDEN = Path(__file__).parent / "golden" / "steps.json"
REWRITE = "NPUSIM_REWRITE_GOLDEN"
FOREVER = 1e9

RUNTIMES = [
    ("rngd", "furiosa-llm-2026.3"),
    ("rngd", "furiosa-llm-2026.2"),
    ("h200", "cuda-graph-engine"),
    ("h200", "vllm"),
]
STEPS = [decode([1]), decode([100, 1500, 9000]), prefill(1, 700), prefill(2, 2500), mixed([50, 4000], [(300, 900)])]


@pytest.mark.parametrize(("arch", "runtime"), RUNTIMES)
@pytest.mark.parametrize("step", STEPS)
def test_shares_sum_to_the_time(engine_of: MakeEngine, arch: str, runtime: str, step: Step) -> None:
    cost = engine_of(arch, "llama-3.1-8b", runtime=runtime).cost(step)
    assert set(cost.shares_s) == set(RESOURCES)
    assert sum(cost.shares_s.values()) == pytest.approx(cost.time_s, rel=1e-12)
    assert all(share >= 0.0 for share in cost.shares_s.values())
    assert cost.shares_s[cost.largest_share] == max(cost.shares_s.values())


@pytest.mark.parametrize(("arch", "cap"), [("rngd", 1e9), ("h200", 1e9), ("h200", 520.0)])
@pytest.mark.parametrize("step", [decode([100, 1500, 9000]), prefill(1, 1000)])
def test_energy_is_static_power_and_the_parts(
    deployed: Deploy, altered: Alter, arch: str, cap: float, step: Step
) -> None:
    engine = AnalyticEngine(altered(deployed(arch, "llama-3.1-8b"), power_cap=cap))
    cost, (_, parts) = engine.cost(step), engine.operators(step)
    static = float(engine.machine["power_idle"] + engine.machine["power_loaded_static"])
    scale = energy_scale(cost.clock, engine.machine)
    moved = float((parts["repeat"] * parts["transfer_j"]).sum())
    computed = float((parts["repeat"] * parts["compute_j"]).sum())
    assert cost.energy_j == pytest.approx(static * cost.time_s + moved + computed * scale, rel=1e-12)
    assert cost.power_w == pytest.approx(cost.energy_j / cost.time_s)


@pytest.mark.parametrize(("arch", "runtime"), RUNTIMES)
@pytest.mark.parametrize("step", [decode([100, 1500, 9000]), prefill(1, 1000)])
def test_no_resource_is_busy_longer_than_the_step(engine_of: MakeEngine, arch: str, runtime: str, step: Step) -> None:
    engine = engine_of(arch, "llama-3.1-8b", runtime=runtime)
    cost, (_, parts) = engine.cost(step), engine.operators(step)
    arithmetic = parts["repeat"] * (parts["contraction_s"] + parts["vector_s"])
    for busy in (arithmetic, parts["repeat"] * parts["memory_s"], parts["repeat"] * parts["link_s"]):
        assert busy.sum() <= cost.time_s * (1 + 1e-12)


def test_bytes_and_flops_of_a_step_are_those_of_its_operators(engine_of: MakeEngine) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    cost, (table, _) = engine.cost(decode([1500] * 3)), engine.operators(decode([1500] * 3))
    rows = table.rows
    moved = rows["weight_bytes"] + rows["kv_read_bytes"] + rows["kv_write_bytes"]
    assert cost.memory_bytes == pytest.approx((rows["repeat"] * moved).sum())
    assert cost.flops == pytest.approx((rows["repeat"] * rows["flops"]).sum())


def test_decode_is_slower_than_the_bandwidth_bound(engine_of: MakeEngine) -> None:
    for arch in ("rngd", "h200"):
        engine = engine_of(arch, "llama-3.1-8b")
        machine = engine.machine
        peak = machine["memory_stacks"] * machine["memory_channels_per_stack"] * machine["memory_channel_bandwidth"]
        bound = engine.cost(decode([1000])).memory_bytes / peak
        assert 1.1 * bound < engine.cost(decode([1000])).time_s < 6 * bound


def test_a_second_user_leaves_the_fused_graph(engine_of: MakeEngine) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    one, two = engine.cost(decode([1000])).time_s, engine.cost(decode([1000] * 2)).time_s
    assert 1.05 < two / one < 1.6


def test_a_prompt_beyond_the_largest_chunk_runs_in_pieces(engine_of: MakeEngine) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    whole = engine.cost(prefill(1, 2500))
    parts = [engine.cost(prefill(1, query, context)) for query, context in ((1024, 1024), (1024, 2048), (452, 2500))]
    assert whole.time_s == sum(part.time_s for part in parts)
    assert whole.energy_j == pytest.approx(sum(part.energy_j for part in parts), rel=1e-12)
    two = engine.cost(prefill(2, 2500))
    assert two.time_s == pytest.approx(2 * whole.time_s, rel=1e-12)


def test_a_batch_beyond_the_largest_bucket_runs_in_pieces(engine_of: MakeEngine) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    parts = engine.cost(decode([700] * 256)).time_s + engine.cost(decode([700] * 44)).time_s
    assert engine.cost(decode([700] * 300)).time_s == parts


def test_a_mixed_step_is_cheaper_than_its_parts(engine_of: MakeEngine) -> None:
    engine = engine_of("h200", "llama-3.1-8b", runtime="vllm")
    together = engine.cost(mixed([1000] * 32, [(256, 256)]))
    apart = combine(engine.cost(decode([1000] * 32)), engine.cost(prefill(1, 256)))
    assert together.time_s < apart.time_s
    assert together.memory_bytes < apart.memory_bytes


def test_combining_adds_and_weighs_the_clock() -> None:
    shares = dict.fromkeys(RESOURCES, 0.0)
    first = StepCost(1.0, 5.0, shares | {"memory": 1.0}, 10.0, 100.0, 1.0)
    both = combine(first, StepCost(3.0, 7.0, shares | {"link": 3.0}, 1.0, 2.0, 0.6))
    assert (both.time_s, both.energy_j, both.memory_bytes, both.flops) == (4.0, 12.0, 11.0, 102.0)
    assert both.clock == pytest.approx(0.7)
    assert (both.shares_s["memory"], both.shares_s["link"], both.largest_share) == (1.0, 3.0, "link")
    assert both.power_w == 3.0


def test_ranks_share_the_work_and_all_draw_power(engine_of: MakeEngine) -> None:
    one, four = (engine_of("h200", "llama-3.1-8b", cards=cards) for cards in (1, 4))
    step = decode([1000] * 16)
    assert four.cost(step).time_s < one.cost(step).time_s
    assert four.cost(step).power_w > one.cost(step).power_w
    assert four.cost(step).shares_s["link"] > one.cost(step).shares_s["link"] == 0.0


@pytest.mark.parametrize(("queue", "hidden"), [(1.0, False), (2.0, True)])
def test_host_time_hides_where_steps_queue(deployed: Deploy, altered: Alter, queue: float, hidden: bool) -> None:
    deployment = altered(deployed("h200", "llama-3.1-8b"), host_queue_limit=queue, host_step_time=1e-3)
    engine = AnalyticEngine(deployment)
    device = engine.cost(decode([1000]))
    assert device.time_s > 1e-3
    with_host = engine.with_host(device, 1)
    assert with_host.time_s == device.time_s + (0.0 if hidden else 1e-3)
    static = float(engine.machine["power_idle"] + engine.machine["power_loaded_static"])
    assert with_host.energy_j == pytest.approx(device.energy_j + static * (with_host.time_s - device.time_s), rel=1e-12)


def test_sampling_on_the_host_costs_every_sequence(deployed: Deploy, altered: Alter) -> None:
    engine = AnalyticEngine(altered(deployed("rngd", "llama-3.1-8b"), host_queue_limit=1.0))
    machine, runtime = engine.machine, engine.runtime
    device = engine.cost(decode([1000] * 4))
    link = machine["host_link_bandwidth"] * machine["host_link_efficiency"]
    added = runtime["host_step_time"] + machine["host_link_latency"] + 4 * 2 * 128256 / link
    added += 4 * runtime["host_sampling_time"]
    assert engine.with_host(device, 4).time_s - device.time_s == pytest.approx(float(added), rel=1e-9)
    known = engine.prefill_chunk(1000, 1000)
    assert known is engine.prefill_chunk(1000, 1000)
    assert known == engine.with_host(engine.cost(prefill(1, 1000)), 1)


def _step_by_step(engine: AnalyticEngine, held: np.ndarray, slots: int, steps: int, seed: int, counter: int) -> Any:
    times, energies = [], []
    for done in range(steps):
        cost = engine.with_host(engine.cost(decode(held + 1 + done, slots)), len(held))
        cost = engine.waiting(cost, engine.stall_s(seed, counter + done))
        times.append(cost.time_s)
        energies.append(cost.energy_j)
    return times, energies


@pytest.mark.parametrize(("arch", "runtime"), RUNTIMES)
@pytest.mark.parametrize("held", [[1], [1000, 1020, 2040, 30], [250] * 9], ids=["one", "ragged", "alike"])
def test_a_run_is_exactly_its_steps(engine_of: MakeEngine, arch: str, runtime: str, held: list[int]) -> None:
    engine = engine_of(arch, "llama-3.1-8b", runtime=runtime, uncalibrated=True)
    contexts = np.array(held, np.int64)
    run = engine.decode_run(contexts, 16, 40, FOREVER, 0, 0)
    times, energies = _step_by_step(engine, contexts, 16, 40, 0, 0)
    assert list(run.times_s) == times
    assert list(run.energies_j) == energies
    assert list(contexts) == held


@pytest.mark.parametrize(("arch", "runtime"), [("rngd", "furiosa-llm-2026.3"), ("h200", "vllm")])
def test_a_run_with_stalls_is_its_steps(deployed: Deploy, altered: Alter, arch: str, runtime: str) -> None:
    deployment = deployed(arch, "llama-3.1-8b", runtime=runtime)
    engine = AnalyticEngine(altered(deployment, host_stall_probability=0.3, host_stall_time=0.01))
    contexts = np.array([1000, 30], np.int64)
    run = engine.decode_run(contexts, 2, 50, FOREVER, 7, 100)
    times, energies = _step_by_step(engine, contexts, 2, 50, 7, 100)
    assert list(run.times_s) == pytest.approx(times, rel=1e-12)
    assert list(run.energies_j) == pytest.approx(energies, rel=1e-12)
    assert len(set(times)) > 5


@pytest.mark.parametrize("cards", [1, 2])
def test_a_run_counts_the_energy_of_all_chips(engine_of: MakeEngine, cards: int) -> None:
    engine = engine_of("h200", "llama-3.1-8b", cards=cards)
    run = engine.decode_run(np.array([500, 600]), 2, 3, FOREVER, 0, 0)
    energies = _step_by_step(engine, np.array([500, 600]), 2, 3, 0, 0)[1]
    assert list(run.energies_j) == pytest.approx(energies, rel=1e-12)


@given(st.integers(1, 50), st.floats(0.1, 0.9))
@settings(max_examples=10)
def test_the_horizon_ends_a_run_after_the_step_that_crosses_it(engine_of: MakeEngine, steps: int, part: float) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    whole = engine.decode_run(np.array([1000, 2000]), 2, 60, FOREVER, 0, 0).times_s
    horizon = float(whole[: steps - 1].sum() + part * whole[steps - 1])
    cut = engine.decode_run(np.array([1000, 2000]), 2, 60, horizon, 0, 0).times_s
    assert list(cut) == list(whole[:steps])


def test_a_run_without_room_has_no_steps(engine_of: MakeEngine) -> None:
    engine = engine_of("rngd", "llama-3.1-8b")
    assert len(engine.decode_run(np.array([5]), 1, 0, FOREVER, 0, 0).times_s) == 0
    assert len(engine.decode_run(np.array([5]), 1, 9, 0.0, 0, 0).times_s) == 0
    assert len(engine.decode_run(np.array([5]), 1, 7, FOREVER, 0, 0).times_s) == 7


def test_stalls_repeat_under_a_seed_and_have_their_mean(deployed: Deploy, altered: Alter) -> None:
    deployment = deployed("rngd", "llama-3.1-8b")
    engine = AnalyticEngine(altered(deployment, host_stall_probability=0.2, host_stall_time=0.01))
    stalls = np.array([engine.stall_s(3, counter) for counter in range(20000)])
    assert list(stalls[:500]) == [engine.stall_s(3, counter) for counter in range(500)]
    assert list(stalls[:500]) != [engine.stall_s(4, counter) for counter in range(500)]
    hit = stalls[stalls > 0.0]
    assert len(hit) / len(stalls) == pytest.approx(0.2, rel=0.05)
    assert hit.mean() == pytest.approx(0.01, rel=0.05)
    assert hit.std() == pytest.approx(0.01, rel=0.05)
    following = np.corrcoef(stalls[:-1], stalls[1:])[0, 1]
    assert abs(following) < 0.03


def test_no_stall_without_a_probability(engine_of: MakeEngine) -> None:
    assert {engine_of("h200", "llama-3.1-8b").stall_s(seed, 5) for seed in range(100)} == {0.0}


CONDITIONS = st.sampled_from([("rngd", "furiosa-llm-2026.3"), ("h200", "vllm"), ("h200", "cuda-graph-engine")])
SHAPES = st.one_of(
    st.lists(st.integers(1, 30000), min_size=1, max_size=40).map(decode),
    st.integers(1, 5000).map(lambda tokens: prefill(1, tokens)),
)
ROUNDING = 1 + 1e-7
SPLITTING = 1 + 3e-3
"""What a longer context may save of a step of a GPU whose attention cuts it in one more piece, for one more block."""


def _time(deployment: Deployment, step: Step) -> float:
    return AnalyticEngine(deployment).cost(step).time_s


@given(CONDITIONS, SHAPES, st.floats(1.0, 4.0))
@example(("rngd", "furiosa-llm-2026.3"), prefill(1, 129), 2.0)
def test_more_bandwidth_is_never_slower(
    deployed: Deploy, altered: Alter, where: tuple[str, str], step: Step, factor: float
) -> None:
    deployment = deployed(where[0], "llama-3.1-8b", runtime=where[1])
    more = float(deployment.machine["memory_channel_bandwidth"][0]) * factor
    assert _time(altered(deployment, memory_channel_bandwidth=more), step) <= _time(deployment, step) * ROUNDING


@given(CONDITIONS, SHAPES, st.floats(1.0, 4.0), st.sampled_from([1e9, 500.0]))
def test_a_higher_clock_is_never_slower(
    deployed: Deploy, altered: Alter, where: tuple[str, str], step: Step, factor: float, cap: float
) -> None:
    deployment = altered(deployed(where[0], "llama-3.1-8b", runtime=where[1]), power_cap=cap)
    name = "tcp_clock" if where[0] == "rngd" else "gpu_clock"
    faster = altered(deployment, **{name: float(deployment.machine[name][0]) * factor})
    assert _time(faster, step) <= _time(deployment, step) * ROUNDING


@given(st.sampled_from(RUNTIMES), st.integers(1, 30), st.integers(1, 100000), st.integers(0, 20000))
def test_a_longer_context_is_never_faster(
    engine_of: MakeEngine, where: tuple[str, str], batch: int, context: int, more: int
) -> None:
    engine = engine_of(where[0], "llama-3.1-8b", runtime=where[1])
    shorter, longer = (engine.cost(decode([tokens] * batch)).time_s for tokens in (context, context + more))
    assert shorter <= longer * (SPLITTING if where[0] == "h200" else ROUNDING)


@given(st.lists(st.integers(1, 100000), min_size=1, max_size=30), st.data())
def test_a_longer_context_among_ragged_ones_is_never_faster(
    engine_of: MakeEngine, contexts: list[int], data: st.DataObject
) -> None:
    """Not so where attention runs in groups: a context that grows into the group of another saves an execution."""
    engine = engine_of("h200", "llama-3.1-8b", runtime="vllm")
    longer = [context + data.draw(st.integers(0, 20000)) for context in contexts]
    assert engine.cost(decode(contexts)).time_s <= engine.cost(decode(longer)).time_s * SPLITTING


def test_a_context_that_is_cut_in_more_pieces_may_be_faster(engine_of: MakeEngine) -> None:
    engine = engine_of("h200", "llama-3.1-8b", runtime="vllm")
    shorter, longer = (engine.cost(decode([42, tokens])).time_s for tokens in (250, 260))
    assert longer < shorter <= longer * SPLITTING


@given(CONDITIONS, st.integers(1, 200), st.integers(1, 56), st.integers(1, 30000))
@example(("h200", "cuda-graph-engine"), 1, 1, 3329)
@example(("h200", "vllm"), 64, 1, 100)
def test_a_bigger_batch_is_never_faster(
    deployed: Deploy, altered: Alter, where: tuple[str, str], batch: int, more: int, context: int
) -> None:
    """But for what splits cost: a bigger batch fills the SMs with fewer of them."""
    deployment = deployed(where[0], "llama-3.1-8b", runtime=where[1])
    splits = ("gpu_linear_split_merge", "gpu_attention_split_merge")
    known = deployment.machine.dtype.names or ()
    engine = AnalyticEngine(altered(deployment, **{name: 0.0 for name in splits if name in known}))
    smaller, bigger = (engine.cost(decode([context] * size)).time_s for size in (batch, batch + more))
    assert smaller <= bigger * ROUNDING


@given(CONDITIONS, SHAPES, st.sampled_from(["llama-3.1-8b", "exaone-4.0-32b", "qwen3-8b"]))
def test_eight_bits_never_move_more_than_sixteen(
    engine_of: MakeEngine, where: tuple[str, str], step: Step, model: str
) -> None:
    wide, narrow = (engine_of(where[0], model, runtime=where[1], precision=name) for name in ("bf16", "fp8"))
    assert narrow.cost(step).memory_bytes <= wide.cost(step).memory_bytes


GOLDEN_CONDITIONS = [
    ("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16", "decode", 1, 1024),
    ("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16", "decode", 32, 1280),
    ("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "fp8", "decode", 8, 3000),
    ("rngd", "furiosa-llm-2026.2", "llama-3.1-8b", "mxfp4", "decode", 3, 700),
    ("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16", "prefill", 1, 1024),
    ("rngd", "furiosa-llm-2026.3", "qwen3-8b", "w4a16", "prefill", 1, 3000),
    ("rngd-plus", "furiosa-llm-2026.3", "llama-3.1-8b", "fp8", "decode", 64, 2000),
    ("h100", "vllm", "llama-3.1-8b", "bf16", "decode", 16, 4096),
    ("h200", "vllm", "exaone-4.0-32b", "fp8", "decode", 64, 8192),
    ("h200", "vllm", "llama-3.1-8b", "bf16", "prefill", 4, 2048),
    ("h200", "cuda-graph-engine", "qwen2.5-7b", "bf16", "decode", 24, 999),
    ("h200", "cuda-graph-engine", "qwen3-32b", "bf16", "prefill", 1, 512),
]


SCORED = ("time_us", "energy_j")


def _conditions(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in SCORED}


def _golden_results(engine_of: MakeEngine) -> list[dict[str, Any]]:
    results = []
    for arch, runtime, model, precision, phase, batch, context in GOLDEN_CONDITIONS:
        engine = engine_of(arch, model, runtime=runtime, precision=precision, uncalibrated=True)
        cost = engine.cost(decode([context] * batch) if phase == "decode" else prefill(batch, context))
        conditions = {"arch": arch, "runtime": runtime, "model": model, "precision": precision}
        conditions |= {"phase": phase, "batch": batch, "context": context}
        results.append(conditions | {"time_us": cost.time_s * 1e6, "energy_j": cost.energy_j})
    return results


def test_golden_steps(engine_of: MakeEngine) -> None:
    """Times of known conditions, uncalibrated: a change of a description or a formula shows here, a new fit does not.

    Set the variable to rewrite.
    """
    results = _golden_results(engine_of)
    if os.environ.get(REWRITE) == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert [_conditions(old) for old in kept] == [_conditions(new) for new in results]
    for old, new in zip(kept, results, strict=True):
        assert [new[name] for name in SCORED] == pytest.approx([old[name] for name in SCORED], rel=1e-9), new


@pytest.mark.parametrize("held", [[900], [1000, 5020, 2040], [300] * 9])
def test_a_coarse_run_lasts_as_long_as_its_steps(deployed: Deploy, held: list[int]) -> None:
    deployment, contexts = deployed("h200", "llama-3.1-8b"), np.array(held, np.int64)
    fine, coarse = (AnalyticEngine(deployment, growth=growth) for growth in (0.0, COARSE))
    exact, near = (engine.decode_run(contexts, 16, 700, FOREVER, 0, 0) for engine in (fine, coarse))
    assert near.times_s.sum() == pytest.approx(exact.times_s.sum(), rel=1e-3)
    assert near.energies_j.sum() == pytest.approx(exact.energies_j.sum(), rel=1e-3)
    assert len(set(near.times_s)) < 0.5 * len(set(exact.times_s))


def test_experts_of_a_layer_have_a_fixed_time_of_their_own(deployed: Deploy, altered: Alter) -> None:
    deployment = deployed("h200", "qwen3-30b-a3b")
    extra = altered(deployment, paths_expert_execution=4e-5)
    step = decode([500] * 4)
    more_s = AnalyticEngine(extra).cost(step).time_s - AnalyticEngine(deployment).cost(step).time_s
    assert more_s == pytest.approx(48 * 4e-5, rel=1e-9)
