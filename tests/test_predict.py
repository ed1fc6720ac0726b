"""Single predictions: what a step and a run answer, how their parts add up, and what they refuse."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from serving_support import MODEL, SYSTEMS, with_kv_room

from npusim.answers.predict import predict_run, predict_step, run_figures
from npusim.engine.stepcost import RESOURCES
from npusim.errors import DoesNotFit, UserError
from npusim.mapping.deployment import Deployment
from npusim.serving.load import random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed

Deploy = Callable[..., Deployment]
STEPS = [("decode", 1, 1000), ("decode", 24, 1500), ("prefill", 1, 777)]
CONTRACT = {
    "ttft_ms", "tpot_ms", "itl_ms", "e2e_ms", "output_tokens_per_s", "total_tokens_per_s", "tokens_per_s_per_user",
    "power_w", "tokens_per_joule", "kv_peak_fraction", "fits",
}  # fmt: skip


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
@pytest.mark.parametrize(("phase", "batch", "context"), STEPS)
def test_the_parts_of_a_step_add_up(
    deployed: Deploy, arch: str, runtime: str, phase: str, batch: int, context: int
) -> None:
    step = predict_step(deployed(arch, MODEL, runtime=runtime), phase, batch, context)
    assert sum(step["breakdown_us"].values()) == pytest.approx(step["time_us"], rel=1e-9)
    assert tuple(step["breakdown_us"]) == RESOURCES
    assert step["bound"] == max(step["gains"], key=lambda name: step["gains"][name])
    assert step["power_w"] == pytest.approx(step["energy_j"] / step["time_us"] * 1e6, rel=1e-12)
    assert step["power_scope"] == "cards"
    assert step["host_us"] >= 0.0
    assert 0.0 < step["clock"] <= 1.0
    assert step["query"] == (1 if phase == "decode" else context)
    json.dumps(step, allow_nan=False)


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
@pytest.mark.parametrize(("phase", "batch", "context"), STEPS)
def test_the_operators_make_up_the_step(
    deployed: Deploy, arch: str, runtime: str, phase: str, batch: int, context: int
) -> None:
    step = predict_step(deployed(arch, MODEL, runtime=runtime), phase, batch, context)
    ops = step["ops"]
    assert sum(op["flops"] for op in ops) == pytest.approx(step["flops"], rel=1e-9)
    assert sum(op["memory_bytes"] for op in ops) <= step["memory_bytes"] * (1 + 1e-9)
    assert sum(op["time_us"] for op in ops) <= step["time_us"] * (1 + 1e-9)
    assert sum(op["time_us"] for op in ops) >= 0.75 * step["time_us"]
    for op in ops:
        assert op["bound"] == max(op["busy_us"], key=lambda name: op["busy_us"][name])
        assert min(op["busy_us"].values()) >= 0.0
        assert op["repeat"] >= 1
    assert any(op["repeat"] == 32 for op in ops)


def test_a_prefill_of_the_whole_context_is_the_default(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    assert predict_step(deployment, "prefill", 1, 512) == predict_step(deployment, "prefill", 1, 512, 512)
    shorter = predict_step(deployment, "prefill", 1, 512, 128)
    assert shorter["time_us"] < predict_step(deployment, "prefill", 1, 512)["time_us"]
    assert predict_step(deployment, "decode", 2, 512) == predict_step(deployment, "decode", 2, 512, 1)


def test_a_batch_beyond_the_default_workspace_is_predicted(deployed: Deploy) -> None:
    few, many = (predict_step(deployed("h200", MODEL), "decode", batch, 16) for batch in (1024, 1500))
    assert many["time_us"] > few["time_us"]


@pytest.mark.parametrize(
    ("arguments", "location", "words"),
    [
        (("idle", 1, 10), "--phase", "'idle' is no phase; use decode or prefill"),
        (("decode", 0, 10), "--batch", "0 must be 1 or more"),
        (("decode", -3, 10), "--batch", "-3 must be 1 or more"),
        (("decode", 1, 0), "--context", "0 must be 1 or more"),
        (("prefill", 1, 10, 0), "--query", "0 must be 1 or more"),
        (("prefill", 1, 10, 11), "--query", "11 new tokens do not fit in a context of 10 that includes them"),
        (("decode", 1, 10, 2), "--query", "leave --query out"),
        (("decode", 1, 131073), "--context", "131073 tokens are more than llama-3.1-8b takes"),
        (("decode", 300, 1000), "--batch", "300000 tokens of KV"),
    ],
)
def test_a_step_that_cannot_be(deployed: Deploy, arguments: tuple[Any, ...], location: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        predict_step(deployed("rngd", MODEL), *arguments)
    assert caught.value.location == location


def test_a_batch_to_the_last_token_of_kv(deployed: Deploy) -> None:
    deployment = with_kv_room(deployed("rngd", MODEL), 1000)
    assert predict_step(deployment, "decode", 10, 100)["time_us"] > 0.0
    with pytest.raises(UserError, match="1010 tokens of KV"):
        predict_step(deployment, "decode", 10, 101)


def test_a_model_that_does_not_fit(deployed: Deploy) -> None:
    deployment = deployed("rngd", "llama-3.3-70b")
    with pytest.raises(DoesNotFit, match="--cards 4"):
        predict_step(deployment, "decode", 1, 10)
    with pytest.raises(DoesNotFit, match="--cards 4"):
        predict_run(deployment, isl=10, osl=10, concurrency=1)


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_a_run_answers_the_contract(deployed: Deploy, arch: str, runtime: str) -> None:
    run = predict_run(deployed(arch, MODEL, runtime=runtime), isl=200, osl=20, concurrency=4)
    assert set(run) >= CONTRACT
    assert run["requests"] == 12
    assert run["fits"] is True
    assert run["power_w"]["scope"] == "cards"
    for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        assert tuple(run[name]) == ("mean", "p50", "p90", "p99")
        assert 0.0 < run[name]["p50"] <= run[name]["p90"] <= run[name]["p99"]
    json.dumps(run, allow_nan=False)


@pytest.mark.parametrize(("arrival", "count"), [("closed", 9), ("burst", 9), ("poisson:5", 9)])
def test_every_arrival_serves_its_requests(deployed: Deploy, arrival: str, count: int) -> None:
    run = predict_run(deployed("rngd", MODEL), isl=100, osl=8, concurrency=3, arrival=arrival)
    assert run["requests"] == count
    asked = predict_run(deployed("rngd", MODEL), isl=100, osl=8, concurrency=3, arrival=arrival, requests=5)
    assert asked["requests"] == 5


def test_a_shared_prefix_shortens_the_wait(deployed: Deploy) -> None:
    options: dict[str, Any] = {"isl": 2000, "osl": 8, "concurrency": 2, "requests": 8}
    apart, shared = (predict_run(deployed("rngd", MODEL), **options, shared_prefix=tokens) for tokens in (0, 1800))
    assert apart["prefix_hit_fraction"] == 0.0
    assert shared["prefix_hit_fraction"] == pytest.approx(7 * 1800 / (8 * 2000))
    assert shared["ttft_ms"]["p50"] < 0.5 * apart["ttft_ms"]["p50"]


@pytest.mark.parametrize(("arch", "runtime"), [("rngd", "furiosa-llm-2026.3"), ("h200", "vllm")])
def test_intervals_hold_the_values_of_the_plain_run(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    options: dict[str, Any] = {"isl": 150, "osl": 12, "concurrency": 3}
    plain = predict_run(deployment, **options)
    ranged = predict_run(deployment, **options, interval_wanted=True)
    assert ranged == predict_run(deployment, **options, interval_wanted=True)
    _check_intervals(plain, ranged)
    assert ranged["tpot_ms"]["mean"]["low"] < ranged["tpot_ms"]["mean"]["high"]
    json.dumps(ranged, allow_nan=False)


def _check_intervals(plain: dict[str, Any], ranged: dict[str, Any]) -> None:
    assert tuple(plain) == tuple(ranged)
    for name, value in plain.items():
        if isinstance(value, dict):
            _check_intervals(value, ranged[name])
        elif isinstance(value, float | np.floating) and isinstance(ranged[name], dict):
            assert ranged[name]["value"] == value
            assert ranged[name]["low"] <= value <= ranged[name]["high"], name
        else:
            assert ranged[name] == value


def test_a_refused_run_says_why(deployed: Deploy) -> None:
    run = predict_run(deployed("rngd", MODEL), isl=131072, osl=9, concurrency=1, requests=2)
    assert (run["fits"], run["requests"], run["refused"]) == (False, 0, 2)
    assert run["refusal"] == "131080 tokens are more than the longest context, 131072"
    assert math.isnan(run["output_tokens_per_s"])


@pytest.mark.parametrize(
    ("changed", "location", "words"),
    [
        ({"arrival": "sometimes"}, "--arrival", "'sometimes' is no arrival; use closed, burst or poisson:2.5"),
        ({"arrival": "poisson"}, "--arrival", "'poisson' is no arrival"),
        ({"arrival": "poisson:0"}, "--arrival", "must be more than zero"),
        ({"arrival": "poisson:-1"}, "--arrival", "must be more than zero"),
        ({"isl": 0}, "--isl", "^--isl: 0 must be 1 to 10,000,000 tokens"),
        ({"osl": -1}, "--osl", "-1 must be 1 to 10,000,000 tokens"),
        ({"concurrency": 0}, "--concurrency", "0 must be at least 1"),
        ({"requests": 0}, "--requests", "0 must be 1 or more"),
        ({"shared_prefix": -1}, None, "-1 shared tokens of 100"),
        ({"shared_prefix": 101}, None, "101 shared tokens of 100"),
    ],
)
def test_a_run_that_cannot_be(deployed: Deploy, changed: dict[str, Any], location: str | None, words: str) -> None:
    options: dict[str, Any] = {"isl": 100, "osl": 10, "concurrency": 2} | changed
    with pytest.raises(UserError, match=words) as caught:
        predict_run(deployed("rngd", MODEL), **options)
    assert location is None or caught.value.location == location


def test_figures_of_a_run_are_plain_numbers(deployed: Deploy) -> None:
    figures = run_figures(measure(simulate(deployed("rngd", MODEL), random_load(64, 4, Closed(1), 1), 0)))
    for name, value in figures.items():
        parts = value.values() if isinstance(value, dict) else [value]
        assert all(type(part) in (float, int, bool, str) for part in parts), name
