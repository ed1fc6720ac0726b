"""What must hold of any serving run: more of a resource never hurts, and a seed repeats a run bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_support import (
    H200_GRAPHS,
    H200_VLLM,
    MODEL,
    RNGD_26_3,
    SYSTEMS,
    figures,
    travel_s,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson
from npusim.workload.prompts import identical_prompts, shared_prefix_prompts

Deploy = Callable[..., Deployment]
systems = st.sampled_from(SYSTEMS)


def _serve(deployment: Deployment, isl: int, osl: int, arrival: Arrival, requests: int, seed: int = 0) -> RunMetrics:
    return measure(simulate(deployment, random_load(isl, osl, arrival, requests), seed))


@given(systems, st.floats(0.3, 3.0), st.floats(1.0, 3.0), st.integers(1, 3000), st.integers(2, 200))
def test_more_bandwidth_is_never_slower(
    deployed: Deploy, system: tuple[str, str], start: float, factor: float, isl: int, osl: int
) -> None:
    deployment = deployed(system[0], MODEL, runtime=system[1])
    bandwidth = start * float(deployment.machine[0]["memory_channel_bandwidth"])
    narrow, wide = (
        _serve(with_numbers(deployment, memory_channel_bandwidth=value), isl, osl, Closed(1), 1)
        for value in (bandwidth, bandwidth * factor)
    )
    assert wide["output_tokens_per_s"] >= narrow["output_tokens_per_s"] * (1 - 1e-12)
    assert wide["tpot_ms_mean"] <= narrow["tpot_ms_mean"] * (1 + 1e-12)
    assert wide["ttft_ms_mean"] <= narrow["ttft_ms_mean"] * (1 + 1e-12)


@given(systems, st.integers(1, 400), st.integers(1, 60), st.lists(st.integers(1, 40), min_size=2, max_size=4))
def test_more_users_never_have_fewer_tokens_in_flight(
    deployed: Deploy, system: tuple[str, str], isl: int, osl: int, users: list[int]
) -> None:
    deployment = deployed(system[0], MODEL, runtime=system[1])
    peaks = [_serve(deployment, isl, osl, Closed(count), 40)["users_in_service"] for count in sorted(users)]
    assert peaks == sorted(peaks)
    assert all(peak <= count for peak, count in zip(peaks, sorted(users), strict=True))


@pytest.mark.parametrize(("arch", "runtime"), [RNGD_26_3, H200_VLLM, H200_GRAPHS])
@pytest.mark.parametrize("watermark", [0.9, 1.0])
def test_bigger_kv_never_raises_pre_emptions(deployed: Deploy, arch: str, runtime: str, watermark: float) -> None:
    deployment = with_numbers(deployed(arch, MODEL, runtime=runtime), kv_block=1, kv_admission_watermark=watermark)
    counts = [
        _serve(with_kv_room(deployment, tokens), 128, 128, Closed(16), 32)["preemptions"]
        for tokens in (600, 1200, 2400, 4800)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0
    assert counts[-1] == 0


@pytest.mark.parametrize(("arch", "runtime"), [RNGD_26_3, H200_VLLM, H200_GRAPHS])
def test_a_pre_empted_request_waits_until_the_others_can_go_on(deployed: Deploy, arch: str, runtime: str) -> None:
    """Were it let in as soon as its own prompt fits, the next step of the others would push it out again."""
    deployment = with_numbers(deployed(arch, MODEL, runtime=runtime), kv_block=1, kv_admission_watermark=1.0)
    requests = 32
    metrics = _serve(with_kv_room(deployment, 1500), 128, 128, Closed(16), requests)
    assert 0 < metrics["preemptions"] <= requests


def _seeded(deployment: Deployment) -> Deployment:
    return with_numbers(deployment, host_stall_probability=0.1, host_stall_time=0.004)


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
@pytest.mark.parametrize("arrival", [Closed(5), Burst(5), Poisson(6.0)], ids=str)
def test_a_seed_repeats_a_run_bit_for_bit(deployed: Deploy, arch: str, runtime: str, arrival: Arrival) -> None:
    deployment = _seeded(deployed(arch, MODEL, runtime=runtime))
    first = _serve(deployment, 200, 20, arrival, 20, seed=4)
    assert figures(first) == figures(_serve(deployment, 200, 20, arrival, 20, seed=4))
    other = _serve(deployment, 200, 20, arrival, 20, seed=5)
    assert first["itl_ms_mean"] != other["itl_ms_mean"]
    assert first["duration_s"] != other["duration_s"]


def test_without_chance_the_seed_does_not_matter(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    runs = {figures(_serve(deployment, 200, 20, Closed(5), 20, seed=seed)) for seed in range(3)}
    assert len(runs) == 1


def test_an_engine_used_before_gives_the_same_run(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    engine = AnalyticEngine(deployment)
    load = random_load(700, 30, Closed(4), 12)
    simulate(deployment, random_load(900, 20, Closed(9), 20), 1, engine)
    assert figures(measure(simulate(deployment, load, 0, engine))) == figures(measure(simulate(deployment, load, 0)))


@given(
    systems,
    st.integers(2, 3000),
    st.floats(0.0, 1.0),
    st.sampled_from([Closed(1), Closed(4), Burst(3)]),
)
def test_a_prefix_cache_never_delays_the_first_token(
    deployed: Deploy, system: tuple[str, str], isl: int, part: float, arrival: Arrival
) -> None:
    """Compiled chunks allow a little: a hit that saves no chunk only moves the padded one into a longer bucket."""
    deployment = deployed(system[0], MODEL, runtime=system[1])
    load = Load(isl, 12, arrival, shared_prefix_prompts(8, isl, round(part * isl)))
    cached, plain = (measure(simulate(with_caching(deployment, caching), load, 0)) for caching in (True, False))
    slack = 0.03 if deployment.runtime.prefill_chunk.kind == "buckets" else 1e-9
    assert cached["ttft_ms_mean"] <= plain["ttft_ms_mean"] * (1 + slack)
    assert plain["prefix_hit_fraction"] == 0.0


@pytest.mark.parametrize(("arch", "runtime"), [RNGD_26_3, H200_VLLM])
def test_an_identical_prompt_is_computed_once(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    isl, block = 2000, round(deployment.runtime_record[0]["kv_block"])
    run = simulate(deployment, Load(isl, 8, Closed(1), identical_prompts(3, isl)), 0)
    first, second, third = run.record.requests
    hit = (isl - 1) // block * block
    assert run.kv.hit_tokens == 2 * hit
    assert run.kv.asked_tokens == 3 * isl
    assert run.record.prefill_tokens == 3 * isl - 2 * hit
    ttft = [request.first_token_s - request.sent_s for request in (first, second, third)]
    alone = AnalyticEngine(deployment).prefill_chunk(isl - hit, isl).time_s
    alone += travel_s(deployment, isl)
    assert ttft[1] == pytest.approx(alone, rel=1e-9)
    assert ttft[2] == pytest.approx(alone, rel=1e-9)
    assert ttft[1] < 0.5 * ttft[0]


@pytest.mark.parametrize(("arch", "runtime"), [RNGD_26_3, H200_VLLM])
@pytest.mark.parametrize("shared", [0, 5, 16, 100, 1000, 1999])
def test_a_shared_prefix_hits_its_whole_blocks(deployed: Deploy, arch: str, runtime: str, shared: int) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    isl, count, block = 2000, 5, round(deployment.runtime_record[0]["kv_block"])
    run = simulate(deployment, Load(isl, 4, Closed(1), shared_prefix_prompts(count, isl, shared)), 0)
    assert run.kv.hit_tokens == (count - 1) * (shared // block * block)
    assert measure(run)["prefix_hit_fraction"] == run.kv.hit_tokens / (count * isl)
    assert run.kv.used == 0


@pytest.mark.parametrize("users", [1, 6])
def test_prompts_that_share_nothing_never_hit(deployed: Deploy, users: int) -> None:
    for arch, runtime in SYSTEMS:
        run = simulate(deployed(arch, MODEL, runtime=runtime), random_load(300, 8, Closed(users), 20), 0)
        assert run.kv.hit_tokens == 0
        assert run.kv.asked_tokens == run.record.prefill_tokens == 20 * 300


def test_prompts_that_the_cache_had_to_drop_are_computed_again(deployed: Deploy) -> None:
    """Three prompts take turns in a cache that holds two: the least recent one is always the next one."""
    deployment = deployed("rngd", MODEL)
    isl, osl = 400, 10
    once = list(shared_prefix_prompts(3, isl, 0))
    roomy, tight = (
        simulate(with_kv_room(deployment, tokens), Load(isl, osl, Closed(1), once * 4), 0) for tokens in (5000, 900)
    )
    assert roomy.kv.hit_tokens == 9 * (isl - 1)
    assert tight.kv.hit_tokens == 0
    for run in (roomy, tight):
        assert len(run.record.requests) == 12
        assert all(request.generated == osl for request in run.record.requests)
        assert run.kv.used == 0
    full = {request.first_token_s - request.sent_s for request in tight.record.requests}
    assert max(full) == pytest.approx(min(full), rel=1e-9)


def test_a_smaller_token_budget_makes_more_steps(deployed: Deploy) -> None:
    deployment = deployed(*H200_VLLM[:1], MODEL)
    load = random_load(2000, 8, Closed(4), 8)
    small, large = (simulate(with_token_budget(deployment, tokens), load, 0) for tokens in (500, 8000))
    assert small.record.mixed_steps > large.record.mixed_steps
    assert small.record.prefill_tokens == large.record.prefill_tokens


def test_a_drawn_token_budget_reaches_the_scheduler(deployed: Deploy) -> None:
    deployment = deployed(*H200_VLLM[:1], MODEL)
    load = random_load(2000, 8, Closed(4), 8)
    described = simulate(with_token_budget(deployment, 500), load, 0)
    drawn = simulate(with_numbers(deployment, policy_token_budget=500.0), load, 0)
    assert drawn.record.mixed_steps == described.record.mixed_steps
    assert figures(measure(drawn)) == figures(measure(described))
