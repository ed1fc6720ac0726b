"""What the host of an engine with asynchronous scheduling does when, against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from serving_support import scheduled, with_numbers

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.mapping.deployment import Deployment
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import Burst
from npusim.workload.step import Step, decode

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
    at_once = _first_tokens_s(deployment, 3, host_intake_time=float("nan"), host_request_time=0.003)
    assert len(set(at_once)) == 1, "without a time for each they arrive together"


def test_a_step_is_scheduled_when_the_one_before_begins(deployed: Deploy) -> None:
    """A request that comes while others decode waits for that step's end, and for the one that is scheduled already."""
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm-0.24")
    numbers = {"host_intake_time": INTAKE_S, "host_request_time": 0.0}
    ahead, after = (_first_tokens_s(scheduled(deployment, way), 2, **numbers) for way in ("ahead", "after"))
    step_s = AnalyticEngine(with_numbers(deployment, **STILL)).cost(decode([100])).time_s
    assert ahead[0] == after[0]
    assert ahead[1] - after[1] == pytest.approx(step_s, rel=0.02)


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
    few = Step(np.array([500]), np.array([500]), np.zeros(1, np.bool_), 1)
    assert engine.cost(few).time_s == usual.cost(few).time_s, "few tokens are replayed as captured graphs"
