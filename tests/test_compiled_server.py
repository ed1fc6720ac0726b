"""The compiled server gives, to the last bit, what the server as a SimPy process gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_support import (
    H200_GRAPHS,
    H200_VLLM,
    MODEL,
    RNGD_26_3,
    alternating,
    drafting,
    exclusive,
    interleaving,
    scheduled,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)

from npusim.engine.speculation import analytic_engine
from npusim.hardware.catalog import shipped_runtimes
from npusim.hardware.description import read_yaml
from npusim.mapping.deployment import Deployment
from npusim.serving import simulate as serving
from npusim.serving.load import Load
from npusim.serving.policies import COMPILED, POLICIES
from npusim.serving.scheduler.sums import BLOCK, pairwise_sum
from npusim.serving.simulate import ServedRun, serve_as_process, serve_compiled, simulate
from npusim.serving.step_log import StepLog
from npusim.serving.ttft_parts import ttft_parts
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson, Timed
from npusim.workload.prompts import Prompt, Segment

Deploy = Callable[..., Deployment]
INTAKE = {"host_intake_time": 0.004, "host_intake_token_time": 5e-6}
LAUNCHES = {"host_queue_limit": 2.0, "paths_graph_tokens": 100.0, "paths_host_launch": 2e-4, "paths_piece_launch": 3e-4}
VARIANTS: dict[str, tuple[tuple[str, str], Callable[[Deployment], Deployment]]] = {
    "exclusive": (RNGD_26_3, exclusive),
    "exclusive, limiter": (H200_GRAPHS, lambda each: with_numbers(each, power_cap=450.0, power_limiter_time=0.1)),
    "alternate": (RNGD_26_3, alternating),
    "alternate, limiter": (
        H200_GRAPHS, lambda each: alternating(with_numbers(each, power_cap=450.0, power_limiter_time=0.1))
    ),
    "hybrid": (H200_VLLM, lambda deployment: with_token_budget(deployment, 300)),
    "interleaved": (RNGD_26_3, interleaving),
    "interleaved, limiter": (
        RNGD_26_3, lambda each: interleaving(with_numbers(each, power_cap=150.0, power_limiter_time=0.1), 300)
    ),
    "interleaved, ahead": (RNGD_26_3, lambda each: interleaving(scheduled(with_numbers(each, **INTAKE), "ahead"), 500)),
    "exclusive, ahead": (RNGD_26_3, lambda each: exclusive(scheduled(with_numbers(each, **INTAKE), "ahead"))),
    "alternate, ahead": (RNGD_26_3, lambda each: alternating(scheduled(with_numbers(each, **INTAKE), "ahead"))),
    "interleaved, drafts": (RNGD_26_3, lambda each: interleaving(drafting(each, "ngram:k=3:a=0.7,0.5"))),
    "hybrid, drafts": (H200_VLLM, lambda each: drafting(with_token_budget(each, 300), "ngram:k=2:a=0.6")),
    "hybrid, launching": (
        H200_VLLM, lambda each: scheduled(with_numbers(with_token_budget(each, 300), **INTAKE, **LAUNCHES), "ahead")
    ),
    "hybrid, ahead": (H200_VLLM, lambda each: scheduled(with_numbers(with_token_budget(each, 300), **INTAKE), "ahead")),
}  # fmt: skip
ARRIVALS = (Closed(5), Burst(7), Poisson(40.0), Closed(1), Poisson(2.0))


def what_happened(run: ServedRun) -> dict[str, Any]:
    """All that a run leaves behind; arrays to the last bit."""
    record = run.record
    times = ("index", "due_s", "sent_s", "first_token_s", "last_token_s", "generated", "computed", "preemptions")
    counts = ("preemptions", "decode_steps", "mixed_steps", "prefill_tokens", "peak_sequences", "parts_j")
    cache = ("used", "peak", "hit_tokens", "asked_tokens")
    return {
        "requests": [[getattr(request, name) for name in times] for request in record.requests],
        "refused": [(request.index, request.refusal, request.sent_s) for request in record.refused],
        "intervals": (record.interval_s.tobytes(), record.interval_weight.tobytes()),
        "spans": (record.span_s.tobytes(), record.span_j.tobytes()),
        "breakdown_j": dict(run.breakdown_j),
        "duration_s": run.duration_s,
        **{name: getattr(record, name) for name in counts},
        **{name: getattr(run.kv, name) for name in cache},
    }


def _both(deployment: Deployment, load: Load, seed: int = 3) -> ServedRun:
    """Asserts that both servers give the same; the run."""
    engine = analytic_engine(deployment)
    compiled = simulate(deployment, load, seed, engine, serve_compiled)
    process = what_happened(simulate(deployment, load, seed, engine, serve_as_process))
    for name, value in what_happened(compiled).items():
        assert value == process[name], name
    return compiled


def _variant(deployed: Deploy, name: str, model: str = MODEL) -> Deployment:
    (arch, runtime), altered = VARIANTS[name]
    return altered(deployed(arch, model, runtime=runtime))


def _load(arrival: Arrival, lengths: list[tuple[int, int]], prompts: list[Prompt] | None = None, **more: Any) -> Load:
    own = prompts or [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)]
    return Load(max(isl for isl, _ in lengths), max(osl for _, osl in lengths), arrival, own, lengths, **more)


def _ragged(count: int, isl: int, osl: int) -> list[tuple[int, int]]:
    generator = np.random.default_rng(count)
    return [(int(each), int(other)) for each, other in generator.integers(1, (isl, osl), (count, 2))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("arrival", ARRIVALS, ids=str)
def test_equal_and_ragged_lengths(deployed: Deploy, variant: str, arrival: Arrival) -> None:
    deployment = _variant(deployed, variant)
    _both(deployment, _load(arrival, [(300, 20)] * 16))
    _both(deployment, _load(arrival, _ragged(24, 900, 60)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_log_the_same_steps_and_serve_as_without(deployed: Deploy, variant: str) -> None:
    stalling = {"host_stall_probability": 0.1, "host_stall_time": 0.01, "host_request_time": 0.02}
    deployment = with_numbers(_variant(deployed, variant), **stalling, limits_max_sequences=4)
    for arrival, room in ((Closed(5), 1500), (Poisson(40.0), 4000)):
        where, load = with_kv_room(deployment, room), _load(arrival, _ragged(24, 900, 60))
        logs, engine = (StepLog(), StepLog()), analytic_engine(where)
        compiled = simulate(where, load, 3, engine, serve_compiled, logs[0])
        process = simulate(where, load, 3, engine, serve_as_process, logs[1])
        assert what_happened(compiled) == what_happened(process) == what_happened(_both(where, load))
        for name in ("steps", "chunks"):
            assert getattr(logs[0], name).tobytes() == getattr(logs[1], name).tobytes(), name
        seconds = [ttft_parts(run, log).seconds for run, log in zip((compiled, process), logs, strict=True)]
        assert seconds[0].tobytes() == seconds[1].tobytes()


@pytest.mark.parametrize("variant", ["exclusive", "hybrid, launching"])
def test_told_arrivals_and_clients_inside(deployed: Deploy, variant: str) -> None:
    deployment = with_numbers(_variant(deployed, variant), **INTAKE)
    times = tuple(np.cumsum(np.random.default_rng(1).exponential(0.02, 24)).tolist())
    _both(deployment, _load(Timed(times), _ragged(24, 900, 60), drawing_s=0.003))
    _both(deployment, _load(Closed(5), _ragged(24, 900, 60), drawing_s=0.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_stalls_and_requests_that_travel(deployed: Deploy, variant: str) -> None:
    stalling = {"host_stall_probability": 0.1, "host_stall_time": 0.01, "host_request_time": 0.02}
    deployment = with_numbers(_variant(deployed, variant), **stalling)
    for arrival in ARRIVALS[:3]:
        _both(deployment, _load(arrival, _ragged(30, 900, 40)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("caching", [False, True])
def test_little_memory_pre_empts(deployed: Deploy, variant: str, caching: bool) -> None:
    deployment = with_caching(with_kv_room(_variant(deployed, variant), 640), caching)
    deployment = with_numbers(deployment, kv_block=2, kv_admission_watermark=0.9, limits_max_sequences=6)
    assert _both(deployment, _load(Closed(8), [(64, 96)] * 20)).record.preemptions > 0
    _both(deployment, _load(Poisson(30.0), _ragged(20, 200, 100)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_prefix_cache_that_evicts(deployed: Deploy, variant: str) -> None:
    """Prompts of a tree: three systems, of each a few questions that share more, and own ends."""
    deployment = with_numbers(with_caching(with_kv_room(_variant(deployed, variant), 1500), True), kv_block=16)
    generator = np.random.default_rng(0)
    prompts = [
        (Segment(system, 150), Segment(10 + question, 70 + question), Segment(1000 + index, 30))
        for index, (system, question) in enumerate(generator.integers(0, 4, (40, 2)).tolist())
    ]
    lengths = [(sum(segment.tokens for segment in prompt), 12) for prompt in prompts]
    run = _both(deployment, _load(Closed(4), lengths, prompts))
    assert 0 < run.kv.hit_tokens < run.kv.asked_tokens
    _both(deployment, _load(Burst(3), [(isl - 5, 12) for isl, _ in lengths], prompts, warm=True))


@pytest.mark.parametrize("variant", ["exclusive", "hybrid", "hybrid, drafts"])
@pytest.mark.parametrize("admission", ["prompt", "answer"])
def test_windows_and_whole_answers(deployed: Deploy, variant: str, admission: str) -> None:
    """Shares of blocks are no whole numbers: they are summed in NumPy's order."""
    plain = _variant(deployed, variant, "gpt-oss-20b")
    kv = plain.runtime.kv.model_copy(update={"admission": admission, "prefix_caching": True})
    deployment = replace(plain, runtime=plain.runtime.model_copy(update={"kv": kv}))
    room = deployment.require_fit(1)
    reserved = float(deployment.runtime_record[0]["kv_reserved"]) + room.available_bytes
    deployment = with_numbers(
        deployment, kv_reserved=reserved - 2000 * room.kv_bytes_per_token, kv_block=7, kv_admission_watermark=1.0
    )
    assert deployment.require_fit(1).in_blocks(7)[1]
    lengths = [(isl, 300 + osl) for isl, osl in _ragged(16, 700, 300)]
    run = _both(deployment, _load(Closed(6), lengths))
    assert (run.record.preemptions > 0) == (admission == "prompt")
    prompts = [(Segment(index % 2, 450), Segment(2 + index, isl)) for index, (isl, _) in enumerate(lengths)]
    _both(deployment, _load(Closed(6), [(450 + isl, osl) for isl, osl in lengths], prompts))


@pytest.mark.parametrize("variant", ["exclusive", "alternate", "hybrid", "hybrid, drafts"])
def test_requests_are_refused(deployed: Deploy, variant: str) -> None:
    deployment = with_numbers(with_kv_room(_variant(deployed, variant), 900), limits_max_waiting=2.0)
    lengths = [*_ragged(12, 500, 20), (1000, 5), (200_000, 3), *_ragged(6, 500, 20)]
    refusals = {request.refusal.split()[0] for request in _both(deployment, _load(Burst(9), lengths)).record.refused}
    assert len(refusals) == 3
    _both(deployment, _load(Poisson(100.0), lengths))


@given(
    st.sampled_from(sorted(VARIANTS)),
    st.sampled_from(ARRIVALS),
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), min_size=1, max_size=14),
    st.integers(400, 1500),
    st.sampled_from([1, 2, 16]),
    st.floats(0.5, 1.0),
    st.integers(1, 6),
    st.booleans(),
    st.integers(0, 5),
)
def test_small_loads(
    deployed: Deploy,
    variant: str,
    arrival: Arrival,
    lengths: list[tuple[int, int]],
    room: int,
    block: int,
    watermark: float,
    sequences: int,
    caching: bool,
    alike: int,
) -> None:
    deployment = with_caching(with_kv_room(_variant(deployed, variant), room), caching)
    deployment = with_numbers(
        deployment, kv_block=block, kv_admission_watermark=watermark, limits_max_sequences=sequences
    )
    prompts = [
        (Segment(index % (alike + 1), isl // 2), Segment(index, isl - isl // 2))
        for index, (isl, _) in enumerate(lengths)
    ]
    _both(deployment, _load(arrival, lengths, prompts))


@pytest.mark.parametrize("count", [0, 1, 7, 8, BLOCK, BLOCK + 1, 1000, 4095, 4096, 5003])
def test_sums_are_those_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).lognormal(0.0, 3.0, count + 1)
    partial = np.zeros(64)
    assert pairwise_sum(values, 0, count, partial) == values[:count].sum()
    assert pairwise_sum(values, 1, count, partial) == values[1:].sum()


def test_a_policy_that_is_not_compiled_is_served_as_a_process(
    deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deployed("rngd", MODEL)
    served: list[str] = []
    monkeypatch.setattr(serving, "serve_compiled", lambda service: served.append("compiled"))
    monkeypatch.setattr(serving, "serve_as_process", lambda service: served.append("process"))
    load = _load(Closed(1), [(10, 2)])
    simulate(deployment, load, 0)
    monkeypatch.setattr(serving, "COMPILED", {})
    simulate(deployment, load, 0)
    assert served == ["compiled", "process"]


def test_every_shipped_runtime_is_served_compiled() -> None:
    kinds = {get_args(policy.model_fields["kind"].annotation)[0] for policy in COMPILED}
    told = [read_yaml(path).get("policy", {}) for path in shipped_runtimes().values()]
    assert {policy["kind"] for policy in told if policy} <= kinds
    assert COMPILED.keys() <= POLICIES.keys()
