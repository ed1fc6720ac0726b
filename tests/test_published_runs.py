"""What the notes of published runs say of lengths, windows and stalls, and how their predictors represent it."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.answers.predict import predict_run
from npusim.engine.analytic import AnalyticEngine
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.importer import import_table
from npusim.evidence.measured.placement import Placement, measured_deployment, placed
from npusim.evidence.predictors.layer import DecodeAttentionPredictor
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.validation.validate import described
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import deploy
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.workload.lognormal import lognormal_lengths

TABLE = Path(__file__).resolve().parent.parent / "validation" / "data" / "rngd" / "serving.csv"


@given(st.floats(50, 2000), st.floats(0.0, 1.5), st.floats(1.05, 8.0))
def test_lengths_that_are_cut_off_keep_their_median(median: float, spread: float, reach: float) -> None:
    lengths = lognormal_lengths(median, spread, 401, longest=median * reach)
    assert np.median(lengths) == pytest.approx(median, rel=0.02, abs=1.0)
    assert lengths.max() <= math.ceil(median * reach)
    assert (np.diff(lengths) >= 0).all()


def test_a_median_beyond_the_longest_is_refused() -> None:
    with pytest.raises(ValueError, match="not below the longest"):
        lognormal_lengths(500.0, 0.5, 10, longest=500.0)


def _published(words: str) -> RunPredictor:
    with TABLE.open(encoding="utf-8") as lines:
        notes = [row["notes"] for row in csv.DictReader(lines)]
    predictor = next(case.predictor for case in import_table(TABLE).cases if words in notes[case.row])
    assert isinstance(predictor, RunPredictor)
    return predictor


def test_users_seen_through_a_window_are_out_of_step() -> None:
    numbers = Numbers.of(load_system("rngd", uncalibrated=True))
    predictor = replace(_published("steady-state window"), users=8.0, osl=64)
    assert predictor.windowed
    seen, whole = (each.predict(numbers, 0) for each in (predictor, replace(predictor, windowed=False)))
    assert seen["ttft_ms_p50"] < 0.6 * whole["ttft_ms_p50"]


def test_stalls_lengthen_the_mean_and_not_the_median() -> None:
    numbers = Numbers.of(load_system("rngd", uncalibrated=True))
    predictor = replace(_published("'clean' excludes host stalls"), requests=40)
    assert predictor.stalled
    stalled, calm = (each.predict(numbers, 0) for each in (predictor, replace(predictor, stalled=False)))
    more_ms = stalled["tpot_ms_mean"] - calm["tpot_ms_mean"]
    assert more_ms == pytest.approx(1e3 * numbers.observation["stall_per_step"], rel=0.2)
    assert stalled["speed_clean"] == pytest.approx(calm["speed_clean"], rel=1e-3)


def test_contexts_of_a_decode_step_have_the_counted_mean_of_their_buckets() -> None:
    numbers = Numbers.of(load_system("rngd", uncalibrated=True))
    placement = Placement("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16")
    contexts = DecodeAttentionPredictor(placement, 200.0, 2200.0).contexts(200, numbers)
    compiled = np.array([1024, 2048, 4096])[np.searchsorted([1024, 2048, 4096], contexts)]
    assert compiled.mean() == pytest.approx(2200.0, rel=0.02)


@pytest.mark.parametrize("arch", ["rngd", "h200"])
def test_a_run_has_the_same_figures_whoever_asks(arch: str) -> None:
    """`run`, `validate` and `check`, which keeps an engine for all runs of a set-up."""
    deployment, numbers = deploy(arch, "llama-3.1-8b"), described(arch)
    placement = placed(Placement(arch, deployment.runtime.name, "llama-3.1-8b", "bf16"))
    predictor = RunPredictor(placement, 512, 48, 3, requests=9)
    asked = predict_run(deployment, isl=512, osl=48, concurrency=3)
    engine = AnalyticEngine(numbers.apply(measured_deployment(placement)))
    validated, checked = predictor.predict(numbers, 0), predictor.predict(numbers, 0, engine)
    assert validated == checked
    for row in shown(Shown.RUN):
        told = asked[row.quantity][row.statistic] if row.statistic else asked[row.name]
        assert validated[row.name] == told, row.name
    many = predictor.predict(numbers.coarse(), 0)
    assert many["itl_ms_p50"] == pytest.approx(validated["itl_ms_p50"], rel=1e-3)
