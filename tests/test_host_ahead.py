"""What the host of an engine with asynchronous scheduling does when, against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from serving_support import scheduled, with_numbers

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, COLLECTIVE
from npusim.mapping.plan import Plan
from npusim.serving.load import random_load
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Burst
from npusim.workload.step import Step, decode, mixed

Deploy = Callable[..., Deployment]
STILL = {"host_stall_probability": 0.0, "power_limiter_time": float("nan"), "host_step_time": 0.0}
INTAKE_S = 0.0715


def _first_tokens_s(deployment: Deployment, users: int, **numbers: float) -> list[float]:
    run = simulate(with_numbers(deployment, **STILL, **numbers), random_load(64, 60, Burst(users), users), 0)
    return [request.first_token_s for request in sorted(run.record.requests, key=lambda each: each.index)]


def test_the_front_end_takes_in_one_request_after_the_other(deployed: Deploy) -> None:
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm-0.24")
    engine = AnalyticEngine(with_numbers(deployment, **STILL))
    alone_s = engine.prefill_chunk(64, 64).time_s
    (first,) = _first_tokens_s(deployment, 1, host_intake_time=INTAKE_S, host_request_time=0.003)
    assert first == pytest.approx(INTAKE_S + 0.003 + alone_s, rel=1e-9)
    numbers = {"host_intake_time": INTAKE_S, "host_intake_token_time": 1e-4, "host_request_time": 0.003}
    (first,) = _first_tokens_s(deployment, 1, **numbers)
    assert first == pytest.approx(INTAKE_S + 64 * 1e-4 + 0.003 + alone_s, rel=1e-9), "a prompt of 64 tokens"
    at_once = _first_tokens_s(deployment, 3, host_intake_time=float("nan"), host_request_time=0.003)
    assert len(set(at_once)) == 1, "without a time for each they arrive together"


def test_a_step_is_scheduled_when_the_one_before_begins(deployed: Deploy) -> None:
    """A request that comes while others decode waits for that step's end, and for the one that is scheduled already."""
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm-0.24")
    numbers = {"host_intake_time": INTAKE_S, "host_request_time": 0.0, "paths_piece_launch": float("nan")}
    ahead, after = (_first_tokens_s(scheduled(deployment, way), 2, **numbers) for way in ("ahead", "after"))
    step_s = AnalyticEngine(with_numbers(deployment, **STILL)).cost(decode([100])).time_s
    assert ahead[0] == after[0]
    assert ahead[1] - after[1] == pytest.approx(step_s, rel=0.02)


def test_a_first_token_comes_out_when_the_next_step_is_launched(deployed: Deploy) -> None:
    """Two prompts, the second of which comes while the first one's step is launched, operator by operator, by one
    thread; on two cards each has a process that launches, and tokens do not wait."""
    slow = {"paths_host_launch": 1e-3, "paths_collective_host_launch": 1e-3}
    slow |= {"host_intake_time": 0.004, "host_request_time": 0.0}
    for cards in (1, 2):
        deployment = with_numbers(deployed("h200", "llama-3.1-8b", runtime="vllm-0.24", cards=cards), **STILL, **slow)
        engine = AnalyticEngine(deployment)
        alone, beside = (
            1e-3 * float(engine.operators(step)[0].rows["repeat"].sum())
            for step in (mixed(np.zeros(0, np.int64), [(600, 600)], 2), mixed(np.array([601]), [(600, 600)], 2))
        )
        run = simulate(deployment, random_load(600, 60, Burst(2), 2), 0)
        first, second = (request.first_token_s for request in sorted(run.record.requests, key=lambda each: each.index))
        assert second == pytest.approx(0.004 + alone + beside, rel=1e-9)
        assert first == pytest.approx(second if cards == 1 else 0.004 + alone, rel=1e-9)


def test_clients_inside_the_front_end_start_their_clocks_in_turn(deployed: Deploy) -> None:
    deployment = with_numbers(deployed("h200", "llama-3.1-8b", runtime="vllm-0.24"), **STILL, host_intake_time=0.003)
    load = replace(random_load(64, 60, Burst(3), 3), drawing_s=0.002)
    sent_s = sorted(request.sent_s for request in simulate(deployment, load, 0).record.requests)
    assert sent_s == pytest.approx([0.002, 0.007, 0.012])


@pytest.mark.parametrize("tokens", [128, 700])
def test_a_host_that_was_free_before_the_chip_has_launched_before(deployed: Deploy, tokens: int) -> None:
    """Of a launch of 1 s, 0.4 s of which have passed, the step waits for 0.6 s; pieces are launched layer by layer."""
    plain = with_numbers(deployed("h200", "llama-3.1-8b", runtime="vllm-0.24"), **STILL)
    step = Step(np.array([tokens]), np.array([tokens]), np.zeros(1, np.bool_), 1)
    rows = AnalyticEngine(plain).operators(step)[0].rows
    launched = float(rows["repeat"].sum()) if tokens > 512 else float(rows["repeat"][rows["kind"] == ATTENTION].sum())
    name = "paths_host_launch" if tokens > 512 else "paths_piece_launch"
    slow = {"paths_host_launch": float("nan"), "paths_piece_launch": float("nan"), name: 1.0 / launched}
    none = {name: float("nan") for name in slow}
    late, early, usual = (AnalyticEngine(with_numbers(plain, **numbers)) for numbers in (slow, slow, none))
    assert late.mixed_run(step, 0, 0).times_s[0] == pytest.approx(1.0)
    ran = early.mixed_run(step, 0, 0, -0.4)
    assert (ran.times_s[0], ran.launch_s) == pytest.approx((0.6, 1.0))
    assert early.mixed_run(step, 0, 0, -5.0).times_s[0] == pytest.approx(usual.mixed_run(step, 0, 0).times_s[0])


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_a_prompt_lasts_until_its_operators_are_launched(deployed: Deploy, model: str) -> None:
    deployment = deployed("h200", model, runtime="vllm-0.24")
    launch_s, experts_s = 1e-3, 5e-3
    slow = with_numbers(deployment, paths_host_launch=launch_s, paths_expert_host_launch=experts_s)
    engine, usual = AnalyticEngine(slow), AnalyticEngine(with_numbers(deployment, paths_host_launch=float("nan")))
    step = Step(np.array([700]), np.array([700]), np.zeros(1, np.bool_), 1)
    rows = engine.operators(step)[0].rows
    repeats = float(rows["repeat"].sum())
    experts = float(rows["repeat"][(rows["matrices"] > 0.0)].sum()) / 2.0  # an operator of two is launched for both
    floor_s = repeats * launch_s + experts * (experts_s - launch_s)
    assert engine.cost(step).time_s == pytest.approx(floor_s, rel=1e-9)
    assert floor_s > usual.cost(step).time_s
    assert EventEngine(engine, "h200").cost(step).time_s == pytest.approx(floor_s, rel=1e-9)
    slow = with_numbers(slow, paths_piece_launch=float("nan"))
    engine = AnalyticEngine(slow)
    few = Step(np.array([500]), np.array([500]), np.zeros(1, np.bool_), 1)
    assert engine.cost(few).time_s == usual.cost(few).time_s, "few tokens are replayed as captured graphs"


def test_a_collective_has_a_launch_of_its_own(deployed: Deploy) -> None:
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm-0.24", plan=Plan(2, 2))
    slow = with_numbers(deployment, paths_host_launch=1e-3, paths_collective_host_launch=4e-3)
    step = Step(np.array([700]), np.array([700]), np.zeros(1, np.bool_), 1)
    engine = AnalyticEngine(slow)
    rows = engine.operators(step)[0].rows
    collectives = float(rows["repeat"][rows["kind"] == COLLECTIVE].sum())
    assert collectives >= 64.0, "two a layer"
    assert engine.cost(step).time_s == pytest.approx(float(rows["repeat"].sum()) * 1e-3 + collectives * 3e-3, rel=1e-9)
    alike = AnalyticEngine(with_numbers(slow, paths_collective_host_launch=float("nan")))
    assert alike.cost(step).time_s == pytest.approx(float(rows["repeat"].sum()) * 1e-3, rel=1e-9)
