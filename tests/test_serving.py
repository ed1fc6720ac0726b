"""Serving against closed forms and against a slow reference; what is conserved; who is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from reference_scheduler import Job, ReferenceServer, Rules
from serving_support import (
    AT_ONCE,
    H200_GRAPHS,
    H200_VLLM,
    MODEL,
    RNGD_26_2,
    RNGD_26_3,
    SYSTEMS,
    alternating,
    exclusive,
    expanded_intervals,
    interleaving,
    travel_s,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import DoesNotFit
from npusim.hardware.runtime import BucketShapes, HybridPolicy
from npusim.mapping.deployment import Deployment
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.policies import BUDGETED
from npusim.serving.simulate import ServedRun, simulate
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson, poisson_times
from npusim.workload.prompts import Segment

Deploy = Callable[..., Deployment]
SETTLED = {"power_limiter_time": math.nan, "host_stall_probability": 0.0}
"""A chip whose clock is at once what the power limit allows, and a host that never stalls."""
ALONE = [(*system, isl, osl) for system in SYSTEMS for isl, osl in ((1, 1), (100, 2), (1000, 40), (2500, 700))]


@pytest.mark.parametrize(("arch", "runtime", "isl", "osl"), ALONE)
def test_a_request_alone_takes_its_steps(deployed: Deploy, arch: str, runtime: str, isl: int, osl: int) -> None:
    deployment = with_numbers(deployed(arch, MODEL, runtime=runtime), **SETTLED)
    engine = AnalyticEngine(deployment)
    run = simulate(deployment, random_load(isl, osl, Closed(1), 1), 0)
    metrics = measure(run)
    chunks = [engine.prefill_chunk(query, context) for query, context in _chunks(deployment, isl)]
    decode_s, decode_j = _decode_alone(engine, isl, osl - 1)
    ttft_s = travel_s(deployment, isl) + sum(chunk.time_s for chunk in chunks)
    assert metrics["ttft_ms_mean"] == pytest.approx(ttft_s * 1e3, rel=1e-9)
    assert metrics["e2e_ms_mean"] == pytest.approx((ttft_s + decode_s) * 1e3, rel=1e-9)
    assert run.record.span_j.sum() == pytest.approx(sum(chunk.energy_j for chunk in chunks) + decode_j, rel=1e-9)
    if osl > 1:
        assert metrics["tpot_ms_mean"] == pytest.approx(decode_s * 1e3 / (osl - 1), rel=1e-9)
        assert metrics["e2e_ms_mean"] == pytest.approx(
            metrics["ttft_ms_mean"] + metrics["tpot_ms_mean"] * (osl - 1), rel=1e-9
        )
        assert metrics["itl_ms_mean"] == pytest.approx(metrics["tpot_ms_mean"], rel=1e-9)
    else:
        assert np.isnan(metrics["tpot_ms_mean"])


def _chunks(deployment: Deployment, isl: int) -> list[tuple[int, int]]:
    """(new tokens, context) of the chunks in which a prompt alone is computed."""
    runtime = deployment.runtime
    largest = isl
    if isinstance(runtime.policy, HybridPolicy):
        largest = int(runtime.policy.token_budget.value)
    elif isinstance(runtime.prefill_chunk, BucketShapes):
        largest = runtime.prefill_chunk.sizes[-1]
    ends = [*range(largest, isl, largest), isl]
    return [(end - start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _decode_alone(engine: AnalyticEngine, held: int, steps: int) -> tuple[float, float]:
    """Seconds and joules of `steps` decode steps of one sequence, one by one."""
    seconds = joules = 0.0
    for step in range(steps):
        run = engine.decode_run(np.array([held + step]), 1, 1, float("inf"), 0, 0)
        seconds += float(run.times_s[0])
        joules += float(run.energies_j[0])
    return seconds, joules


VARIANTS = {
    "exclusive": (RNGD_26_3, exclusive),
    "interleaved": (RNGD_26_3, lambda deployment: interleaving(deployment, 512)),
    "exclusive, slots": (H200_GRAPHS, lambda deployment: deployment),
    "alternate": (RNGD_26_2, alternating),
    "alternate, slots": (H200_GRAPHS, alternating),
    "hybrid": (H200_VLLM, lambda deployment: with_token_budget(deployment, 300)),
}
LOADS = {
    "closed": (Closed(7), 200, 30, 25),
    "burst": (Burst(5), 1100, 12, 15),
    "poisson": (Poisson(4.0), 300, 40, 30),
    "one token": (Closed(4), 90, 1, 12),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("load", LOADS)
def test_a_run_equals_the_slow_reference(deployed: Deploy, variant: str, load: str) -> None:
    (arch, runtime), altered = VARIANTS[variant]
    deployment = altered(deployed(arch, MODEL, runtime=runtime))
    deployment = with_numbers(
        deployment, **SETTLED | AT_ONCE | {"host_stall_probability": 0.2, "host_stall_time": 0.01}
    )
    _compare(deployment, *LOADS[load])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_pre_empts_equals_the_slow_reference(deployed: Deploy, variant: str) -> None:
    (arch, runtime), altered = VARIANTS[variant]
    deployment = with_caching(with_kv_room(altered(deployed(arch, MODEL, runtime=runtime)), 640), False)
    deployment = with_numbers(
        deployment, kv_block=2, kv_admission_watermark=0.9, limits_max_sequences=6, **SETTLED, **AT_ONCE
    )
    assert _compare(deployment, Closed(8), 64, 96, 20) > 0


def _compare(deployment: Deployment, arrival: Arrival, isl: int, osl: int, count: int) -> int:
    """Asserts equal times of every request and equal energy; returns the pre-emptions."""
    seed = 5
    run = simulate(deployment, random_load(isl, osl, arrival, count), seed)
    reference = _reference(deployment, arrival, isl, osl, count, seed)
    served = sorted(run.record.requests, key=lambda request: request.index)
    assert len(served) == count
    for name, expected in (
        ("sent_s", [job.sent_s for job in reference.jobs]),
        ("first_token_s", [job.token_s[0] for job in reference.jobs]),
        ("last_token_s", [job.token_s[-1] for job in reference.jobs]),
        ("preemptions", [job.preemptions for job in reference.jobs]),
    ):
        found = np.array([getattr(request, name) for request in served])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)
    gaps = np.sort(np.concatenate([np.diff(job.token_s) for job in reference.jobs]))
    np.testing.assert_allclose(expanded_intervals(run), gaps, rtol=1e-9, atol=1e-9)
    assert run.record.span_s.sum() == pytest.approx(reference.busy_s, rel=1e-9)
    assert run.record.span_j.sum() == pytest.approx(reference.energy_j, rel=1e-9)
    return run.record.preemptions


def _reference(deployment: Deployment, arrival: Arrival, isl: int, osl: int, count: int, seed: int) -> ReferenceServer:
    runtime, numbers = deployment.runtime, deployment.runtime_record[0]
    users = None if isinstance(arrival, Poisson) else arrival.users
    due = poisson_times(count, arrival.rate_per_s, seed) if isinstance(arrival, Poisson) else np.zeros(count)
    most = int(numbers["limits_max_sequences"])
    rules = Rules(
        policy=runtime.policy.kind,
        users=users,
        slots=min(most, users or most),
        max_sequences=most,
        kv_tokens=deployment.require_fit(1).kv_tokens,
        block=round(numbers["kv_block"]),
        watermark=float(numbers["kv_admission_watermark"]),
        largest_chunk=runtime.prefill_chunk.sizes[-1] if isinstance(runtime.prefill_chunk, BucketShapes) else None,
        token_budget=int(runtime.policy.token_budget.value) if isinstance(runtime.policy, BUDGETED) else 0,
        chunk_sizes=runtime.prefill_chunk.sizes if isinstance(runtime.prefill_chunk, BucketShapes) else (),
        request_s=float(numbers["host_request_time"]),
        seed=seed,
    )
    server = ReferenceServer(AnalyticEngine(deployment), rules, [Job(isl, osl, due_s=float(time)) for time in due])
    server.run()
    return server


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_little_s_law(deployed: Deploy, arch: str, runtime: str) -> None:
    """While there is work, a closed loop holds exactly its users; over the run, throughput x time in the system."""
    users, count, osl = 8, 400, 24
    run = simulate(deployed(arch, MODEL, runtime=runtime), random_load(200, osl, Closed(users), count), 0)
    sent = np.array([request.sent_s for request in run.record.requests])
    left = np.array([request.last_token_s for request in run.record.requests])
    fed = sent.max()
    in_system = (np.minimum(left, fed) - np.minimum(sent, fed)).sum()
    assert in_system == pytest.approx(users * fed, rel=1e-9)
    metrics = measure(run)
    requests_per_s = metrics["output_tokens_per_s"] / osl
    assert requests_per_s * metrics["e2e_ms_mean"] / 1e3 == pytest.approx(users, rel=0.05)


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
@pytest.mark.parametrize("arrival", [Closed(6), Burst(6), Poisson(3.0)], ids=str)
def test_tokens_joules_and_blocks_are_conserved(deployed: Deploy, arch: str, runtime: str, arrival: Arrival) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    isl, osl, count = 300, 20, 24
    run = simulate(deployment, random_load(isl, osl, arrival, count), 3)
    record, metrics = run.record, measure(run)
    idle_s = run.duration_s - record.span_s.sum()
    energy_j = record.span_j.sum() + run.idle_w * idle_s
    assert idle_s >= -1e-9
    assert idle_s > 0.1 or not isinstance(arrival, Poisson)
    assert metrics["power_w_mean"] * run.duration_s == pytest.approx(energy_j, rel=1e-9)
    assert metrics["tokens_per_joule"] * energy_j == pytest.approx(count * osl, rel=1e-9)
    assert metrics["output_tokens_per_s"] * run.duration_s == pytest.approx(count * osl, rel=1e-12)
    assert metrics["total_tokens_per_s"] * run.duration_s == pytest.approx(count * (isl + osl), rel=1e-12)
    assert record.prefill_tokens == count * isl
    assert len(expanded_intervals(run)) == count * (osl - 1)
    assert all(request.generated == osl for request in record.requests)
    assert run.kv.used == 0
    assert 0 < run.kv.peak <= run.kv.capacity


@pytest.mark.parametrize("tokens", [580, 740, 780, 860])
def test_pre_emption_loses_and_adds_no_token(deployed: Deploy, tokens: int) -> None:
    """A sequence whose last token comes out of its second prefill ends in the middle of a turn."""
    deployment = with_kv_room(deployed("rngd", MODEL), tokens)
    count, osl = 24, 32
    run = simulate(deployment, random_load(128, osl, Closed(8), count), 0)
    assert run.record.preemptions > 0
    assert len(run.record.requests) == count
    gaps = expanded_intervals(run)
    assert len(gaps) == count * (osl - 1)
    assert gaps.min() > 0.0
    in_decode = sum(request.last_token_s - request.first_token_s for request in run.record.requests)
    assert gaps.sum() == pytest.approx(in_decode, rel=1e-9)
    assert run.kv.used == 0


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_a_rare_arrival_is_served_as_if_alone(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = with_numbers(deployed(arch, MODEL, runtime=runtime), **SETTLED)
    alone = measure(simulate(deployment, random_load(400, 30, Closed(1), 1), 0))
    rare = measure(simulate(deployment, random_load(400, 30, Poisson(1e-3), 10), 0))
    assert rare["users_in_service"] == 1
    assert rare["tpot_ms_p99"] == pytest.approx(_with_slots(deployment, alone["tpot_ms_mean"]), rel=1e-9)
    assert rare["ttft_ms_mean"] == pytest.approx(alone["ttft_ms_mean"], rel=1e-9)
    assert rare["ttft_ms_p99"] == pytest.approx(alone["ttft_ms_mean"], rel=1e-9)
    assert rare["client_queue_ms_mean"] == 0.0


def _with_slots(deployment: Deployment, tpot_ms: float) -> float:
    """TPOT of one sequence where an open stream has compiled the most slots, which cost time where all are computed."""
    if deployment.runtime.decode_batch.kind != "slots":
        return tpot_ms
    engine, most = AnalyticEngine(deployment), int(deployment.runtime_record[0]["limits_max_sequences"])
    return float(engine.decode_run(np.array([400]), most, 29, float("inf"), 0, 0).times_s.mean()) * 1e3


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_burst_and_closed_differ_only_in_what_the_client_waits(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    closed, burst = (simulate(deployment, random_load(256, 24, arrival, 18), 0) for arrival in (Closed(6), Burst(6)))
    for name in ("sent_s", "first_token_s", "last_token_s"):
        assert _column(closed, name) == _column(burst, name)
    assert measure(closed)["client_queue_ms_p99"] == 0.0
    waited = measure(burst)
    assert waited["client_queue_ms_mean"] == pytest.approx(1e3 * float(np.mean(_column(burst, "sent_s"))), rel=1e-12)
    assert waited["client_queue_ms_p90"] > 0.0


def _column(run: ServedRun, name: str) -> list[float]:
    return [getattr(request, name) for request in run.record.requests]


def test_a_request_longer_than_the_context_is_refused(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    run = simulate(deployment, random_load(131072, 2, Closed(2), 5), 0)
    metrics = measure(run)
    assert (metrics["requests"], metrics["refused"], metrics.fits) == (0, 5, False)
    assert metrics.refusal == "131073 tokens are more than the longest context, 131072"
    assert np.isnan(metrics["output_tokens_per_s"])
    assert np.isnan(metrics["tokens_per_joule"])


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_a_request_larger_than_the_cache_is_refused(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = with_numbers(with_kv_room(deployed(arch, MODEL, runtime=runtime), 600), kv_block=1)
    fitting = measure(simulate(deployment, random_load(500, 101, Closed(2), 4), 0))
    assert (fitting["requests"], fitting["refused"], fitting.fits) == (4, 0, True)
    assert fitting["kv_peak_fraction"] == 1.0
    refused = measure(simulate(deployment, random_load(500, 102, Closed(2), 4), 0))
    assert (refused["requests"], refused["refused"], refused.fits) == (0, 4, False)
    assert refused.refusal == "601 tokens of KV are more than the cache holds, 600"


def test_no_room_for_one_token_says_what_would_do(deployed: Deploy) -> None:
    with pytest.raises(DoesNotFit, match="4 cards would do") as caught:
        simulate(deployed("rngd", "llama-3.3-70b"), random_load(16, 2, Closed(1), 1), 0)
    assert caught.value.cards_needed == 4


def test_a_full_queue_refuses(deployed: Deploy) -> None:
    deployment = with_numbers(deployed("rngd", MODEL), limits_max_waiting=2)
    metrics = measure(simulate(deployment, random_load(128, 8, Poisson(200.0), 40), 0))
    assert metrics["requests"] + metrics["refused"] == 40
    assert metrics["refused"] > 0
    assert metrics.refusal == "the queue already holds 2 requests"
    without_limit = measure(simulate(deployed("rngd", MODEL), random_load(128, 8, Poisson(200.0), 40), 0))
    assert without_limit["requests"] == 40
    assert metrics["ttft_ms_p99"] < without_limit["ttft_ms_p99"]


@pytest.mark.parametrize("request_s", [0.0, 0.015])
def test_a_queue_is_full_when_a_request_gets_there(deployed: Deploy, request_s: float) -> None:
    deployment = with_numbers(deployed("rngd", MODEL), limits_max_waiting=2, host_request_time=request_s, **AT_ONCE)
    metrics = measure(simulate(deployment, random_load(128, 8, Closed(40), 40), 0))
    assert (metrics["requests"], metrics["refused"]) == (2, 38)


def test_the_watermark_admits_fewer_at_once(deployed: Deploy) -> None:
    room = with_kv_room(deployed("rngd", MODEL), 4000)
    low, high = (
        measure(simulate(with_numbers(room, kv_admission_watermark=mark), random_load(200, 50, Closed(32), 64), 0))
        for mark in (0.4, 1.0)
    )
    assert 7 <= low["users_in_service"] <= 8, "the first ones have grown by decode steps before the eighth comes"
    assert high["users_in_service"] > 14
    assert low["preemptions"] == 0
    assert low["kv_peak_fraction"] < high["kv_peak_fraction"]
    assert low["ttft_ms_mean"] > high["ttft_ms_mean"]


def test_more_users_than_the_engine_has_room_for_by_default(deployed: Deploy) -> None:
    deployment = with_numbers(deployed("h200", MODEL), limits_max_sequences=1500)
    metrics = measure(simulate(deployment, random_load(16, 4, Closed(1400), 1400), 0))
    assert metrics["requests"] == 1400
    assert metrics["users_in_service"] == 1400


def test_stalls_add_their_probability_times_their_mean(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    probability, mean_s, osl = 0.25, 0.005, 8000
    stalled = with_numbers(deployment, host_stall_probability=probability, host_stall_time=mean_s)
    load = random_load(64, osl, Closed(1), 1)
    smooth, rough = (measure(simulate(each, load, 11)) for each in (deployment, stalled))
    added_s = (rough["tpot_ms_mean"] - smooth["tpot_ms_mean"]) / 1e3
    deviation = mean_s * np.sqrt(2 * probability - probability**2) / np.sqrt(osl)
    assert added_s == pytest.approx(probability * mean_s, abs=4 * deviation)
    assert rough["itl_ms_p50"] == pytest.approx(smooth["itl_ms_p50"], rel=0.02)
    assert rough["itl_ms_p99"] > smooth["itl_ms_p99"] + 1e3 * mean_s


def test_whole_answers_are_admitted_only_with_room_for_all(deployed: Deploy) -> None:
    """Room for three of four answers: with prompts alone all four start and one is pre-empted, else one waits."""
    deployment = with_kv_room(with_caching(deployed("h200", MODEL), False), 3 * 640 + 32)
    kv = deployment.runtime.kv.model_copy(update={"admission": "answer"})
    whole = replace(deployment, runtime=deployment.runtime.model_copy(update={"kv": kv}))
    greedy, careful = (simulate(each, random_load(384, 256, Closed(4), 8), 0) for each in (deployment, whole))
    assert greedy.record.preemptions > 0 and greedy.record.peak_sequences == 4
    assert careful.record.preemptions == 0 and careful.record.peak_sequences == 3
    assert measure(careful)["requests"] == 8


def test_a_step_lasts_until_its_tokens_have_left_the_front_end(deployed: Deploy) -> None:
    deployment = deployed("h200", MODEL)
    slow = with_numbers(deployment, host_token_time=5e-4)
    times_s = AnalyticEngine(slow).decode_run(np.full(64, 500), 64, 8, float("inf"), 0, 0).times_s
    assert times_s == pytest.approx(np.full(8, 64 * 5e-4), rel=1e-12)
    one = AnalyticEngine(slow).decode_run(np.array([500]), 1, 8, float("inf"), 0, 0).times_s
    assert list(one) == list(AnalyticEngine(deployment).decode_run(np.array([500]), 1, 8, float("inf"), 0, 0).times_s)


@pytest.mark.parametrize("arrival", [Closed(7), Poisson(4.0)], ids=str)
def test_interleaving_without_bound_is_exclusive_and_of_a_token_alternates(deployed: Deploy, arrival: Arrival) -> None:
    """Of prompts that are one chunk."""
    plain = deployed(*RNGD_26_3[:1], MODEL, runtime=RNGD_26_3[1])
    load = random_load(700, 30, arrival, 25)
    for tokens, like in ((10**6, exclusive), (1, alternating)):
        assert what(interleaving(plain, tokens), load) == what(like(plain), load)


def test_a_long_prompt_lets_others_decode_between_its_chunks(deployed: Deploy) -> None:
    plain = deployed(*RNGD_26_3[:1], MODEL, runtime=RNGD_26_3[1])
    lengths = [(100, 200), (8000, 2)]
    load = Load(8000, 200, Closed(2), [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)], lengths)
    longest = {}
    for name, policy in (("interleaved", interleaving(plain)), ("exclusive", exclusive(plain))):
        run = simulate(policy, load, 0)
        longest[name] = run.record.interval_s.max()
        assert run.record.prefill_tokens == 8100
    assert longest["interleaved"] < 0.2 * longest["exclusive"]


def what(deployment: Deployment, load: Load) -> list[tuple[float, float]]:
    """First and last token of each request."""
    run = simulate(deployment, load, 0)
    return sorted((request.first_token_s, request.last_token_s) for request in run.record.requests)
