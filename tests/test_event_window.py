"""A window of serving under the event engine: the same requests, each step simulated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli_support import mistake, tell

from npusim.answers.predict import predict_run
from npusim.engine.event.engine import Detail
from npusim.mapping.deployment import Deployment

Deploy = Callable[..., Deployment]
LOAD = {"isl": 256, "osl": 6, "concurrency": 2, "requests": 4}


def test_a_window_agrees_where_nothing_contends(deployed: Deploy) -> None:
    deployment = deployed("rngd", "llama-3.1-8b", uncalibrated=True)
    closed, events = (predict_run(deployment, **LOAD, engine=engine) for engine in ("analytic", "event"))
    for figure in ("ttft_ms", "tpot_ms", "e2e_ms"):
        assert events[figure]["mean"] == pytest.approx(closed[figure]["mean"], rel=0.06)
    assert events["output_tokens_per_s"] != closed["output_tokens_per_s"]
    assert 1 < events["simulated_steps"] <= 40
    assert events["power_w"]["mean"] == pytest.approx(closed["power_w"]["mean"], rel=0.06)


def test_a_window_sees_uneven_channels(deployed: Deploy) -> None:
    deployment = deployed("rngd", "llama-3.1-8b", uncalibrated=True)
    load = {"isl": 1024, "osl": 4, "concurrency": 8, "requests": 8}
    rate, channel = (
        predict_run(deployment, **load, engine="event", detail=Detail(depth)) for depth in ("rate", "channel")
    )
    assert channel["tpot_ms"]["mean"] > rate["tpot_ms"]["mean"]


def test_a_window_has_an_end() -> None:
    words = ("run", "rngd", "qwen2.5-0.5b", "--concurrency", "2", "--engine", "event")
    told = tell(*words, "--isl", "64", "--osl", "4", "--requests", "2", "--json").json
    assert told["engine"] == "event"
    assert "at most 256 steps" in mistake(*words, "--isl", "64", "--osl", "2000", "--requests", "40")
    assert "--engine analytic alone" in mistake(*words, "--isl", "64", "--osl", "4", "--interval")
