"""Where the time to the first token went: parts that sum to it, against closed forms and a log made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st
from serving_support import (
    AT_ONCE,
    H200_VLLM,
    MODEL,
    RNGD_26_3,
    alternating,
    drafting,
    exclusive,
    interleaving,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)

from npusim.answers.predict import predict_load
from npusim.answers.ttft import NAMES
from npusim.engine.analytic import AnalyticEngine, DecodeRun
from npusim.kernels.power import ENERGY_PARTS
from npusim.mapping.deployment import Deployment
from npusim.serving.load import Load, make_load, random_load
from npusim.serving.simulate import ServedRun, simulate
from npusim.serving.step_log import StepLog
from npusim.serving.ttft_parts import PARTS, attribute, ttft_parts
from npusim.workload.arrivals import Burst, Closed, Poisson
from npusim.workload.lengths import parse_lengths

Deploy = Callable[..., Deployment]
RUN = f"run rngd {MODEL} --isl 256 --osl 8 --concurrency 4"
STILL = {"host_stall_probability": 0.0, "power_limiter_time": float("nan")}
PLAIN = {
    **STILL,
    "host_step_time": 0.0,
    "host_request_time": 0.0,
    "host_sampling_time": 0.0,
    "host_queue_limit": 1.0,
    **AT_ONCE,
}
POLICIES: dict[str, tuple[tuple[str, str | None], Callable[[Deployment], Deployment]]] = {
    "exclusive": (RNGD_26_3, exclusive),
    "alternate": (RNGD_26_3, alternating),
    "interleaved": (RNGD_26_3, lambda each: interleaving(each, 300)),
    "interleaved, drafts": (RNGD_26_3, lambda each: interleaving(drafting(each, "ngram:k=3:a=0.7,0.5"))),
    "hybrid": (H200_VLLM, lambda each: with_token_budget(each, 300)),
    "hybrid, limiter": (H200_VLLM, lambda each: with_numbers(each, power_cap=450.0, power_limiter_time=0.1)),
    "as measured": (("h200", "vllm-0.24"), lambda each: each),
    "units in memory": (("lpddr6-pim", None), lambda each: each),
}
ARRIVALS = (Closed(1), Closed(6), Burst(7), Poisson(40.0), Poisson(2.0))


def _deployment(deployed: Deploy, policy: str) -> Deployment:
    (arch, runtime), altered = POLICIES[policy]
    return altered(deployed(arch, MODEL, runtime=runtime))


def _explained(deployment: Deployment, load: Load, seed: int = 0) -> tuple[ServedRun, np.ndarray, np.ndarray]:
    """The run, TTFT of each request and its seconds by part."""
    log = StepLog()
    run = simulate(deployment, load, seed, log=log)
    found = ttft_parts(run, log)
    assert found.requests.tolist() == sorted(request.index for request in run.record.requests)[load.warm_up :]
    return run, found.ttft_s, found.seconds


def _parts(deployment: Deployment, load: Load) -> dict[str, np.ndarray]:
    return dict(zip(PARTS, _explained(deployment, load)[2].T, strict=True))


@given(
    st.sampled_from(sorted(POLICIES)),
    st.sampled_from(ARRIVALS),
    st.sampled_from(["300", "300±50%", "uniform:20-1500"]),
    st.booleans(),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.004]),
    st.integers(0, 3),
)
def test_parts_are_the_whole_of_every_request(
    deployed: Deploy, policy: str, arrival: Any, isl: str, caching: bool, sequences: int, intake_s: float, seed: int
) -> None:
    stalling = {"host_stall_probability": 0.1, "host_stall_time": 0.01, "host_request_time": 0.002}
    deployment = with_caching(_deployment(deployed, policy), caching)
    deployment = with_numbers(
        deployment, **stalling, host_intake_time=intake_s or np.nan, limits_max_sequences=sequences
    )
    lengths = parse_lengths(isl, "--isl"), parse_lengths("30±50%", "--osl")
    load = make_load(*lengths, arrival, 16, seed, shared=16 if caching else 0, warm_up=seed)
    run, ttft_s, seconds = _explained(deployment, load, seed)
    assert len(run.record.requests) == 16
    assert seconds.sum(axis=1) == pytest.approx(ttft_s, rel=1e-9)
    assert (seconds >= 0.0).all()
    assert (seconds[:, list(PARTS).index("own_prefill")] > 0.0).all()


def test_prompts_that_are_computed_again_are_not_parts(deployed: Deploy) -> None:
    for policy in POLICIES:
        deployment = with_kv_room(_deployment(deployed, policy), 640)
        deployment = with_numbers(deployment, kv_block=2, kv_admission_watermark=0.9, limits_max_sequences=6)
        run, ttft_s, seconds = _explained(deployment, random_load(64, 96, Closed(8), 20))
        assert run.record.preemptions > 0
        assert seconds.sum(axis=1) == pytest.approx(ttft_s, rel=1e-9), policy
        assert seconds[:, list(PARTS).index("queue")].max() > 0.0


@pytest.mark.parametrize("users", [1, 2, 9])
def test_equal_prompts_in_step_wait_for_each_other(deployed: Deploy, users: int) -> None:
    """Under an exclusive policy request k waits for k prompts: (C - 1) / 2 in the mean, and nothing else."""
    deployment = with_numbers(exclusive(deployed(RNGD_26_3[0], MODEL, runtime=RNGD_26_3[1])), **PLAIN)
    engine = AnalyticEngine(deployment)
    alone = engine.prefill_chunk(500, 500)
    parts = _parts(deployment, random_load(500, 6, Burst(users), users))
    chip_s = alone.time_s - alone.host_s
    assert parts["own_prefill"] == pytest.approx(np.full(users, chip_s), rel=1e-9)
    assert parts["other_prefills"] == pytest.approx(np.arange(users) * chip_s, rel=1e-9)
    assert parts["other_prefills"].mean() == pytest.approx((users - 1) / 2 * chip_s, rel=1e-9)
    assert parts["host"] == pytest.approx((1.0 + np.arange(users)) * alone.host_s, rel=1e-9)
    assert not any(parts[name].any() for name in ("queue", "other_decodes", "leaving"))


@pytest.mark.parametrize("policy", POLICIES)
def test_one_user_waits_for_nobody(deployed: Deploy, policy: str) -> None:
    parts = _parts(_deployment(deployed, policy), random_load(1500, 12, Closed(1), 4))
    assert not any(parts[name].any() for name in ("queue", "other_prefills", "other_decodes", "leaving"))


@pytest.mark.parametrize("number", ["host_step_time", "host_request_time", "host_intake_time"])
def test_a_slower_host_moves_its_own_part_alone(deployed: Deploy, number: str) -> None:
    """Where nothing overlaps: users in step, and a queue of one step."""
    plain = with_numbers(exclusive(deployed(RNGD_26_3[0], MODEL, runtime=RNGD_26_3[1])), **PLAIN)
    users = 1 if number == "host_intake_time" else 5
    load = random_load(500, 6, Burst(users), users)
    once, twice = (_parts(with_numbers(plain, **{number: seconds}), load) for seconds in (0.003, 0.006))
    waits = 1.0 + np.arange(users) if number == "host_step_time" else np.ones(users)
    assert twice["host"] - once["host"] == pytest.approx(0.003 * waits, rel=1e-6)
    for name in set(PARTS) - {"host"}:
        assert twice[name] == pytest.approx(once[name], rel=1e-9, abs=1e-15), name


@pytest.mark.parametrize("policy", POLICIES)
def test_fewer_slots_move_time_to_the_queue(deployed: Deploy, policy: str) -> None:
    deployment, load = _deployment(deployed, policy), random_load(300, 40, Burst(8), 8)
    free, capped = (_parts(with_numbers(deployment, limits_max_sequences=most), load) for most in (8, 4))
    assert not free["queue"].any()
    assert np.count_nonzero(capped["queue"]) == 4
    assert capped["queue"].sum() > 20 * free["own_prefill"].min()
    assert capped["own_prefill"].mean() == pytest.approx(free["own_prefill"].mean(), rel=0.5)


def test_a_mixed_step_is_divided_by_its_tokens_and_the_host_ends_it() -> None:
    """One who comes in the middle of a step of others, is in two mixed steps, and is told late."""
    log, joules = StepLog(), np.zeros(1)
    nothing = np.zeros(len(ENERGY_PARTS))
    for begin_s, seconds, host_s, decoding, chunks, no_room in (
        (0.0, 8.0, 1.0, 2, [], False),
        (8.0, 4.0, 2.0, 2, [], True),
        (12.0, 10.0, 4.0, 5, [(7, 3), (3, 2)], True),
        (22.0, 2.0, 0.0, 0, [(3, 8)], True),
        (24.0, 5.0, 0.0, 1, [], False),
        (29.0, 5.0, 0.0, 0, [(3, 9)], False),
    ):
        run = DecodeRun(np.array([seconds]), joules, np.array([host_s]), False, nothing)
        log.run(begin_s, run, decoding, chunks, no_room)
    by_request = log.chunks[np.argsort(log.chunks["request"], kind="stable")]
    # Request 3: sent 4, in the queue at 6, admitted at 12, its first token out at 25; at 29 it is computed again.
    # Request 7: in the queue at 9, while there is no room, admitted at 12, its first token out with the mixed step.
    times_s = np.array([[4.0, 6.0, 12.0, 25.0], [9.0, 9.0, 12.0, 22.0]])
    seconds_of = np.zeros((2, len(PARTS)))
    attribute(log.steps, by_request, np.array([[0, 3], [3, 4]]), np.array([0, 1]), times_s, seconds_of)
    assert seconds_of == pytest.approx(
        np.array(
            [
                [2.0 + 1.0 + 4.0, 4.0, 1.2 + 2.0, 1.8, 1.0 + 3.0, 1.0],
                [4.0, 3.0, 1.8, 1.2, 3.0, 0.0],
            ]
        )
    )
    assert list(PARTS) == ["host", "queue", "own_prefill", "other_prefills", "other_decodes", "leaving"]


def test_percentiles_are_requests_of_the_run(deployed: Deploy) -> None:
    deployment, load = deployed("rngd", MODEL), random_load(300, 10, Closed(5), 15)
    told = predict_load(deployment, load, explain=True)
    ttft_ms = {
        request.index + 1: 1e3 * (request.first_token_s - request.sent_s)
        for request in simulate(deployment, load, 0).record.requests
    }
    parts = told["ttft_parts"]
    assert sum(parts["mean"].values()) == pytest.approx(told["ttft_ms"]["mean"], rel=1e-9)
    ordered = sorted(ttft_ms.values())
    for name, rank in (("p50", 8), ("p99", 15)):
        assert list(parts[name]) == list(NAMES)
        assert sum(parts[name].values()) == pytest.approx(ttft_ms[parts["requests"][name]], rel=1e-9)
        assert ttft_ms[parts["requests"][name]] == ordered[rank - 1]


def test_the_answer_is_the_same_beside(deployed: Deploy) -> None:
    """With an interval the parts are those of the central run; the event engine tells them too."""
    load = random_load(256, 8, Closed(2), 4)
    for arch, options in (("rngd", {}), ("h200", {"engine": "event"}), ("rngd", {"interval_wanted": True})):
        plain, told = (predict_load(deployed(arch, MODEL), load, explain=way, **options) for way in (False, True))
        parts = told.pop("ttft_parts")
        assert told == plain
        mean_ms = plain["ttft_ms"]["mean"]
        central_ms = mean_ms["value"] if isinstance(mean_ms, dict) else mean_ms
        assert sum(parts["mean"].values()) == pytest.approx(central_ms, rel=1e-9)


def test_the_command_shows_a_table() -> None:
    told = tell(*RUN.split(), "--explain")
    assert told.code == 0
    assert all(each in told.out for each in (*PARTS.values(), "p99 (request", "in all"))
    assert "prompts of other users" not in tell(*RUN.split()).out
    plain, explained = (tell(*RUN.split(), *words, "--json").json for words in ((), ("--explain",)))
    assert set(explained) - set(plain) == {"ttft_parts"}
    assert "--explain" not in str(plain) and "ttft_parts" not in plain


@pytest.mark.parametrize("several", ["--instances 2", "--prefill 1 --decode 1"])
def test_several_servers_are_refused(several: str) -> None:
    line = mistake(*RUN.split(), *several.split(), "--explain")
    assert f"{several.split()[0]}: does not go with --explain; leave one of them out" in line


def test_of_replicas_one_is_told(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL, cards=2, plan="dp2")
    _, ttft_s, seconds = _explained(deployment, replace(random_load(300, 10, Closed(6), 12), warm_up=0))
    assert len(ttft_s) == 6
    assert seconds.sum(axis=1) == pytest.approx(ttft_s, rel=1e-9)
