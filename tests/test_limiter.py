"""The power limiter over time: bursts run ahead of it, long runs meet it, rest lets it go."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from serving_support import with_numbers

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.limiter import PowerLimiter
from npusim.mapping.deployment import Deployment
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import Closed

MODEL = "llama-3.1-8b"


def test_the_share_is_that_of_a_first_order_lag() -> None:
    limiter = PowerLimiter(0.1)
    seconds = np.linspace(0.0, 0.25, 100_001)
    assert limiter.mean(0.25) == pytest.approx(np.mean(1.0 - np.exp(-seconds / 0.1)), rel=1e-4)
    limiter.elapse(0.25, 500.0, held=True)
    assert limiter.mean(1e-9) == pytest.approx(1.0 - math.exp(-2.5), rel=1e-6)
    limiter.elapse(0.1, 100.0, held=False)
    assert limiter.mean(1e-9) == pytest.approx((1.0 - math.exp(-2.5)) * math.exp(-1.0), rel=1e-6)


@pytest.mark.parametrize("time_s", [0.0, math.nan])
def test_without_a_time_the_limit_acts_at_once(time_s: float) -> None:
    limiter = PowerLimiter(time_s)
    limiter.elapse(10.0, 100.0, held=False)
    assert limiter.mean(1e-6) == 1.0


def test_prompts_after_a_rest_are_faster_than_prompts_in_a_row(deployed: Callable[..., Deployment]) -> None:
    plain = deployed("h200", MODEL, runtime="cuda-graph-engine")
    deployment = with_numbers(plain, power_cap=500.0, power_limiter_time=0.1)
    engine = AnalyticEngine(deployment)
    settled, rested = engine.prefill_chunk(1024, 1024), engine.prefill_chunk(1024, 1024, 0.0)
    assert settled.clock < rested.clock == 1.0
    halfway = engine.prefill_chunk(1024, 1024, 0.5)
    assert halfway.time_s == pytest.approx((settled.time_s + rested.time_s) / 2.0)
    assert sum(halfway.shares_s.values()) == pytest.approx(halfway.time_s)
    prompts_s = simulate(deployment, random_load(1024, 1, Closed(40), 40), 0).record.span_s
    assert rested.time_s < prompts_s[0] < prompts_s[-1] <= settled.time_s
    assert (np.diff(prompts_s) > 0.0).all()
    assert prompts_s[-1] == pytest.approx(settled.time_s, rel=1e-3)
