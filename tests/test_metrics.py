"""The figures of a run: percentiles by weight, latencies by hand, power over time, NaN where nothing was served."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.serving.kvcache import KvCache
from npusim.serving.metrics import RunMetrics, measure, weighted_percentiles
from npusim.serving.record import Recorder
from npusim.serving.request import Request
from npusim.serving.simulate import ServedRun
from npusim.workload.prompts import Segment

PERCENTILES = (0, 1, 25, 50, 90, 99, 100)


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 20)), min_size=1, max_size=40))
def test_weighted_percentiles_are_those_of_the_expanded_data(pairs: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in pairs])
    weight = np.array([count for _, count in pairs])
    expected = np.percentile(np.repeat(values, weight), PERCENTILES, method="inverted_cdf")
    found = weighted_percentiles(values, weight.astype(float), PERCENTILES)
    np.testing.assert_array_equal(found, expected)


def test_weights_need_not_be_whole() -> None:
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.5, 0.4])
    assert weighted_percentiles(values, weight, (40, 50, 60, 90, 95)).tolist() == [1.0, 1.0, 2.0, 2.0, 3.0]


def _request(index: int, due: float, sent: float, first: float, last: float, osl: int) -> Request:
    request = Request(index, (Segment(index, 100),), 100, osl, due_s=due, sent_s=sent)
    request.first_token_s, request.last_token_s, request.generated = first, last, osl
    return request


def _run(recorder: Recorder, duration_s: float = 10.0) -> ServedRun:
    kv = KvCache(1000, 10, False)
    kv.peak = 25
    return ServedRun(recorder, duration_s, kv, 40.0)


def _spread(metrics: RunMetrics, quantity: str) -> list[float]:
    """Mean, median, 90th and 99th percentile."""
    return [metrics[f"{quantity}_{part}"] for part in ("mean", "p50", "p90", "p99")]


@pytest.fixture
def by_hand() -> RunMetrics:
    """Two requests of 5 tokens, 10 s, of which 8 s at 100 W and 1 s at 300 W; 1 s idle at 40 W."""
    recorder = Recorder(preemptions=3, peak_sequences=2)
    recorder.requests = [_request(0, 0.0, 1.0, 2.0, 6.0, 5), _request(1, 0.0, 3.0, 6.0, 10.0, 5)]
    recorder.refused = [_request(2, 0.0, 0.0, -1.0, -1.0, 5)]
    recorder.refused[0].refusal = "too long"
    recorder.intervals(np.array([1.0, 3.0]), np.array([6.0, 2.0]))
    recorder.spans(np.array([4.0, 4.0, 1.0]), np.array([400.0, 400.0, 300.0]))
    return measure(_run(recorder))


def test_latencies_by_hand(by_hand: RunMetrics) -> None:
    assert by_hand["ttft_ms_mean"] == 2000.0
    assert by_hand["ttft_ms_p50"] == 2000.0
    assert by_hand["ttft_ms_p90"] == pytest.approx(2800.0)
    assert _spread(by_hand, "tpot_ms") == [1000.0, 1000.0, 1000.0, 1000.0]
    assert by_hand["e2e_ms_mean"] == 6000.0
    assert by_hand["client_queue_ms_mean"] == 2000.0
    assert _spread(by_hand, "itl_ms") == [1500.0, 1000.0, 3000.0, 3000.0]


def test_rates_and_counts_by_hand(by_hand: RunMetrics) -> None:
    assert by_hand["output_tokens_per_s"] == 1.0
    assert by_hand["total_tokens_per_s"] == 21.0
    assert by_hand["tokens_per_s_per_user"] == 1.0
    assert by_hand["kv_peak_fraction"] == 0.25
    assert (by_hand["requests"], by_hand["refused"], by_hand.refusal) == (2, 1, "too long")
    assert (by_hand["users_in_service"], by_hand["preemptions"]) == (2, 3)
    assert not by_hand.fits


def test_power_by_hand(by_hand: RunMetrics) -> None:
    assert by_hand["power_w_mean"] == pytest.approx(114.0)
    assert by_hand["power_w_p99"] == 300.0
    assert by_hand["tokens_per_joule"] == pytest.approx(10 / 1140)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 400)), min_size=1, max_size=12), st.integers(0, 200))
def test_power_p99_is_that_of_every_millisecond(spans: list[tuple[int, int]], idle_ms: int) -> None:
    milliseconds = np.array([span for span, _ in spans])
    watts = np.array([float(watt) for _, watt in spans])
    recorder = Recorder()
    recorder.requests = [_request(0, 0.0, 0.0, 0.001, 0.002, 2)]
    recorder.spans(milliseconds / 1e3, watts * milliseconds / 1e3)
    metrics = measure(_run(recorder, float(milliseconds.sum() + idle_ms) / 1e3))
    every = np.sort(np.concatenate([np.repeat(watts, milliseconds), np.full(idle_ms, 40.0)]))
    near = every[[max(0, math.ceil(0.99 * len(every)) - 2), min(len(every) - 1, math.ceil(0.99 * len(every)))]]
    assert near[0] - 1e-6 <= metrics["power_w_p99"] <= near[1] + 1e-6
    assert metrics["power_w_mean"] == pytest.approx(every.mean(), rel=1e-9)


def test_one_token_has_no_time_per_output_token() -> None:
    recorder = Recorder()
    recorder.requests = [_request(0, 0.0, 0.0, 2.0, 2.0, 1)]
    recorder.spans(np.array([2.0]), np.array([200.0]))
    metrics = measure(_run(recorder, 2.0))
    assert metrics["ttft_ms_mean"] == metrics["e2e_ms_mean"] == 2000.0
    for quantity in ("tpot_ms", "itl_ms"):
        assert all(math.isnan(value) for value in _spread(metrics, quantity))
    assert math.isnan(metrics["tokens_per_s_per_user"])
    assert metrics.fits


def test_nothing_served_is_not_a_number() -> None:
    recorder = Recorder()
    recorder.refused = [_request(0, 0.0, 0.0, -1.0, -1.0, 5)]
    metrics = measure(_run(recorder, 0.0))
    for name in ("output_tokens_per_s", "total_tokens_per_s", "power_w_mean", "power_w_p99", "tokens_per_joule"):
        assert math.isnan(metrics[name]), name
    assert all(math.isnan(value) for value in _spread(metrics, "ttft_ms"))
    assert (metrics["requests"], metrics["refused"], metrics.fits) == (0, 1, False)
