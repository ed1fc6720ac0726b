"""Several instances behind a router: equal to one where they must be, never worse where a policy knows more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cli_support import mistake, tell
from serving_support import (
    H200_GRAPHS,
    H200_VLLM,
    MODEL,
    RNGD_26_3,
    alternating,
    scheduled,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)

from npusim.errors import UserError
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.routing import ROUTING
from npusim.serving.instances.simulate import InstancesRun, replicas_of, simulate_instances
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun, simulate
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson
from npusim.workload.prompts import Segment

Deploy = Callable[..., Deployment]
LIMITED = {"power_cap": 450.0, "power_limiter_time": 0.1}
INTAKE = {"host_intake_time": 0.004, "host_intake_token_time": 5e-6}
VARIANTS: dict[str, tuple[tuple[str, str], Callable[[Deployment], Deployment]]] = {
    "exclusive": (RNGD_26_3, lambda each: each),
    "alternate, limiter": (H200_GRAPHS, lambda each: alternating(with_numbers(each, **LIMITED))),
    "hybrid": (H200_VLLM, lambda each: with_token_budget(each, 300)),
    "hybrid, ahead": (
        H200_VLLM,
        lambda each: scheduled(with_numbers(with_token_budget(each, 300), **INTAKE), "ahead"),
    ),
    "exclusive, stalls": (
        RNGD_26_3,
        lambda each: with_numbers(
            each, host_stall_probability=0.1, host_stall_time=0.01, host_request_time=0.02
        ),
    ),
    "exclusive, little memory": (
        RNGD_26_3,
        lambda each: with_numbers(with_kv_room(with_caching(each, True), 1400), kv_block=16),
    ),
}  # fmt: skip
ARRIVALS = (Closed(5), Burst(7), Poisson(20.0))
TIMES = ("due_s", "sent_s", "first_token_s", "last_token_s")


def _variant(deployed: Deploy, name: str) -> Deployment:
    (arch, runtime), altered = VARIANTS[name]
    return altered(deployed(arch, MODEL, runtime=runtime))


def _ragged(arrival: Arrival, count: int = 40) -> Load:
    """Requests of different lengths, of which some begin alike."""
    generator = np.random.default_rng(count)
    lengths = [(200 + int(isl), 1 + int(osl)) for isl, osl in generator.integers(1, (400, 50), (count, 2))]
    prompts = [(Segment(index % 3, 200), Segment(3 + index, isl - 200)) for index, (isl, _) in enumerate(lengths)]
    return Load(600, 50, arrival, prompts, lengths)


def _times(run: ServedRun) -> dict[str, list[float]]:
    order = np.argsort(column_of(run.record.requests, "index"))
    return {name: column_of(run.record.requests, name)[order].tolist() for name in TIMES}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("arrival", ARRIVALS, ids=str)
def test_one_instance_is_the_server_itself(deployed: Deploy, variant: str, arrival: Arrival) -> None:
    deployment, load = _variant(deployed, variant), _ragged(arrival)
    alone, routed = simulate(deployment, load, 3), simulate_instances([deployment], load, 3).whole
    assert _times(routed) == _times(alone)
    assert routed.record.interval_s.tobytes() == alone.record.interval_s.tobytes()
    for name in ("preemptions", "decode_steps", "mixed_steps", "prefill_tokens", "peak_sequences"):
        assert getattr(routed.record, name) == getattr(alone.record, name), name
    assert (routed.kv.peak, routed.kv.hit_tokens) == (alone.kv.peak, alone.kv.hit_tokens)
    assert measure(routed)["power_w_mean"] == pytest.approx(measure(alone)["power_w_mean"], rel=1e-12)


_SUMS = ("output_tokens_per_s", "total_tokens_per_s", "power_w_mean", "power_w_p99", "requests", "users_in_service")


@pytest.mark.parametrize("arrival", [Closed, Burst], ids=["closed", "burst"])
@pytest.mark.parametrize("variant", ["exclusive", "hybrid"])
@pytest.mark.parametrize("routing", ROUTING)
def test_users_in_step_are_served_as_by_one_instance(
    deployed: Deploy, variant: str, arrival: type[Closed] | type[Burst], routing: str
) -> None:
    """Three instances with three times the users: rates and watts three times as high, latencies the same."""
    deployment = _variant(deployed, variant)
    alone = simulate(deployment, random_load(300, 20, arrival(5), 20), 0)
    routed = simulate_instances([deployment] * 3, random_load(300, 20, arrival(15), 60), 0, routing).whole
    for name, times in _times(alone).items():
        assert sorted(_times(routed)[name]) == sorted(3 * times), name
    one, three = measure(alone), measure(routed)
    for name in ("itl_ms_p99", "kv_peak_fraction", "duration_s", "tokens_per_joule", *_SUMS):
        assert three[name] == pytest.approx(one[name] * (3 if name in _SUMS else 1), rel=1e-9), name


def _bursty(seed: int) -> Load:
    """Requests of very different lengths, many at a time."""
    generator = np.random.default_rng(seed)
    lengths = [(int(isl), int(osl)) for isl, osl in generator.lognormal((6.0, 3.0), 0.9, (120, 2)).clip(8, 4000)]
    prompts = [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)]
    return Load(4000, 400, Poisson(60.0), prompts, [(isl, min(osl, 400)) for isl, osl in lengths])


def test_least_loaded_waits_less_than_round_robin_on_bursty_loads(deployed: Deploy) -> None:
    """Statistical: its p99 of TTFT is no worse under any of ten seeds, and far less on average."""
    deployment = deployed(*RNGD_26_3[:1], MODEL)
    tails = np.array(
        [
            [_tail(simulate_instances([deployment] * 4, _bursty(seed), seed, name)) for name in list(ROUTING)[:2]]
            for seed in range(10)
        ]
    )
    in_turn, least = tails.T
    assert (least <= in_turn).all()
    assert least.mean() < 0.8 * in_turn.mean()


def _tail(run: InstancesRun) -> float:
    return measure(run.whole)["ttft_ms_p99"]


def test_prefix_aware_finds_more_of_the_prompts(deployed: Deploy) -> None:
    deployment = with_caching(deployed(*RNGD_26_3[:1], MODEL), True)
    systems = np.random.default_rng(0).integers(0, 24, 160).tolist()
    prompts = [(Segment(system, 512), Segment(24 + index, 64)) for index, system in enumerate(systems)]
    load = Load(576, 16, Poisson(8.0), prompts)
    runs = {name: measure(simulate_instances([deployment] * 4, load, 1, name).whole) for name in ROUTING}
    hits = {name: run["prefix_hit_fraction"] for name, run in runs.items()}
    assert hits["prefix_aware"] > max(hits["round_robin"], hits["least_loaded"]) + 0.1
    assert runs["prefix_aware"]["ttft_ms_mean"] < runs["round_robin"]["ttft_ms_mean"]


def test_without_anything_in_common_prefix_aware_is_least_loaded(deployed: Deploy) -> None:
    deployment, load = with_caching(deployed(*RNGD_26_3[:1], MODEL), True), _bursty(1)
    least, aware = (simulate_instances([deployment] * 3, load, 1, name) for name in list(ROUTING)[1:])
    assert _times(least.whole) == _times(aware.whole)


@pytest.mark.parametrize("routing", ROUTING)
def test_every_request_is_answered_once_and_all_joules_count(deployed: Deploy, routing: str) -> None:
    slow = with_numbers(deployed(*RNGD_26_3[:1], MODEL), memory_channel_bandwidth=2e10)
    unlike = [deployed("rngd", MODEL), slow, deployed("h200", MODEL)]
    run = simulate_instances(unlike, _ragged(Closed(9), 60), 0, routing)
    assert sorted(column_of(run.whole.record.requests, "index").tolist()) == list(range(60))
    parts = [measure(each) for each in run.each]
    whole = measure(run.whole)
    assert whole["power_w_mean"] == pytest.approx(sum(each["power_w_mean"] for each in parts), rel=1e-9)
    assert sum(run.whole.breakdown_j.values()) == pytest.approx(whole["power_w_mean"] * run.whole.duration_s, rel=1e-6)
    assert all(0.0 < busy_s <= run.whole.duration_s for busy_s in run.busy_s)


def test_faster_instances_get_more_when_the_least_loaded_is_chosen(deployed: Deploy) -> None:
    fast = deployed(*RNGD_26_3[:1], MODEL)
    slow = with_numbers(fast, memory_channel_bandwidth=float(fast.machine[0]["memory_channel_bandwidth"]) / 4)
    load = random_load(256, 64, Closed(16), 96)
    in_turn, least = (simulate_instances([fast, slow], load, 0, name) for name in list(ROUTING)[:2])
    assert [len(each.record.requests) for each in in_turn.each] == [48, 48]
    assert len(least.each[0].record.requests) > 54
    assert measure(least.whole)["output_tokens_per_s"] > measure(in_turn.whole)["output_tokens_per_s"]


def test_refusals_are_told_and_users_go_on(deployed: Deploy) -> None:
    deployment = with_numbers(with_kv_room(deployed(*RNGD_26_3[:1], MODEL), 900), limits_max_waiting=1.0)
    lengths = [(1500, 4), *[(100, 4)] * 30]
    load = Load(1500, 4, Closed(12), [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)], lengths)
    run = measure(simulate_instances([deployment] * 2, load, 0).whole)
    assert run["requests"] + run["refused"] == 31
    assert run["refused"] >= 1
    assert run.refusal


def test_replicas_of_a_plan_are_instances(deployed: Deploy) -> None:
    server = deployed("rngd-server", MODEL, cards=None)
    instances = replicas_of(server, 2)
    assert len(instances) == 2 * server.plan.data_parallel == 16
    assert {each.plan.data_parallel for each in instances} == {1}
    load = random_load(128, 8, Closed(16), 32)
    spread, replicated = measure(simulate_instances(instances[:8], load, 0).whole), measure(simulate(server, load, 0))
    for name in ("ttft_ms_p99", "output_tokens_per_s", "power_w_mean", "users_in_service"):
        assert spread[name] == pytest.approx(replicated[name], rel=1e-9), name


def test_a_seed_repeats_a_run(deployed: Deploy) -> None:
    deployment = _variant(deployed, "exclusive, stalls")
    runs = [simulate_instances([deployment] * 3, _ragged(Poisson(40.0)), seed, "least_loaded") for seed in (1, 1, 2)]
    same, again, other = (_times(each.whole) for each in runs)
    assert same == again != other


def test_a_policy_that_is_not_compiled_is_told(deployed: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npusim.serving.instances.instance.COMPILED", {})
    with pytest.raises(UserError, match="interleaved is not compiled"):
        simulate_instances([deployed("rngd", MODEL)] * 2, random_load(8, 2, Closed(1), 1), 0)


COMMAND = ["run", "rngd", "qwen2.5-0.5b", "--isl", "64", "--osl", "4", "--concurrency", "4"]


def test_the_command_tells_of_all_and_of_each() -> None:
    one = tell(*COMMAND, "--json").json
    two = tell(*COMMAND, "--instances", "2", "--json").json
    told = two["instances"]
    assert (told["count"], told["routing"], len(told["each"])) == (2, "round_robin", 2)
    assert "instances" not in one
    assert two["ttft_ms"]["mean"] < one["ttft_ms"]["mean"]
    assert two["power_w"]["mean"] == pytest.approx(sum(each["power_w_mean"] for each in told["each"]))
    assert "2 instances together (least_loaded)" in tell(*COMMAND, "--instances", "2", "--routing", "least_loaded").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--routing least_loaded", "--routing: applies to several servers alone"),
        ("--instances 0", "--instances: 0 must be 1 or more"),
        ("--instances 2 --engine event", "--instances: does not go with --engine event"),
    ],
)
def test_mistakes(words: str, told: str) -> None:
    assert told in mistake(*COMMAND, *words.split())
