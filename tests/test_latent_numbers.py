"""What sources did not publish: labs differ on mechanisms, are drawn about a group, and are found again by a fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npusim.evidence.calibration.posterior import value_at
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.case import Case, Numbers, drivers
from npusim.evidence.measured.importer import import_table
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.measured.sources import sources
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.draws import RangedNumber

RNGD = Path(__file__).resolve().parent.parent / "validation" / "data" / "rngd"
SDK = "furiosa-llm-2026.3"
PLACEMENT = Placement("rngd", SDK, "llama-3.1-8b", "bf16")


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    return Numbers.of(load_system("rngd", uncalibrated=True))


def test_a_lab_moves_mechanisms_and_nothing_else(numbers: Numbers) -> None:
    slower = replace(numbers, observation={**numbers.observation, "labs.SOTA-PNU.host_time": 1.5})
    plain, own, other = (
        each.apply(measured_deployment(PLACEMENT), lab).runtime_record
        for each, lab in ((numbers, "SOTA-PNU"), (slower, "SOTA-PNU"), (slower, "heteropilot"))
    )
    changed = {name for name in plain.dtype.names or () if not np.array_equal(plain[name], own[name], equal_nan=True)}
    assert changed == {"host_step_time", "host_request_time"}
    assert own["host_step_time"] == pytest.approx(1.5 * plain["host_step_time"])
    assert other.tobytes() == plain.tobytes()


def test_a_lab_that_is_not_listed_is_drawn_about_the_group() -> None:
    cases = import_table(RNGD / "serving.csv").cases
    assert {case.predictor.lab for case in cases if isinstance(case.predictor, RunPredictor)} == {
        "SOTA-PNU",
        "heteropilot",
    }
    assert sources().lab("a new one").name == "other"
    drawn = Numbers.drawn(load_system("rngd", uncalibrated=True), None, 64, 3)
    factors = np.array([each.of_lab("other", "host_time") for each in drawn])
    assert 0.1 < np.log(factors).std() < 0.35
    assert all(each.of_lab("", "host_time") == 1.0 for each in drawn)


def test_outputs_that_end_early_shorten_runs(numbers: Numbers) -> None:
    predictor = RunPredictor(PLACEMENT, 128, 64, 2.0, requests=4, unsaid=True, lab="SOTA-PNU")
    shorter = replace(numbers, observation={**numbers.observation, "labs.SOTA-PNU.output_part": 0.5})
    whole, half = (predictor.predict(each, 0) for each in (numbers, shorter))
    assert half["e2e_ms_mean"] < 0.65 * whole["e2e_ms_mean"]
    assert half["tpot_ms_mean"] == pytest.approx(whole["tpot_ms_mean"], rel=0.05)
    said = replace(predictor, unsaid=False)
    assert said.predict(shorter, 0) == whole


def _runs(measured: Numbers) -> list[Case]:
    """Small runs of two labs under one SDK, with figures predicted under `measured`."""
    cases = []
    for lab in ("SOTA-PNU", "heteropilot"):
        for users in (1.0, 2.0, 8.0):
            predictor = RunPredictor(PLACEMENT, 128, 16, users, requests=round(2 * users), lab=lab)
            figures = predictor.predict(measured, 0)
            cases += [
                Case(0, name, name, figures[name], predictor, f"{lab} {users}", lab, "8b", {}, 0.01, True)
                for name in ("ttft_ms_mean", "tpot_ms_mean")
            ]
    return cases


def test_a_fit_tells_the_labs_apart(numbers: Numbers) -> None:
    truth = {"labs.SOTA-PNU.host_time": 1.3, "labs.heteropilot.host_time": 0.85}
    made = Problem(
        load_system("rngd", uncalibrated=True), _runs(replace(numbers, observation={**numbers.observation, **truth})), 0
    )
    made.chosen = [index for index, members in enumerate(made.numbers) if members[0].name in truth]
    fit = made.fit(made.slopes(np.zeros(2)))
    found = {
        made.numbers[index][0].name: value_at(made.numbers[index][0], z)
        for index, z in zip(made.chosen, fit.z, strict=True)
    }
    assert found["labs.SOTA-PNU.host_time"] > 1.05 > 0.98 > found["labs.heteropilot.host_time"]
    assert np.abs(made.log_errors(fit.z)).max() < np.abs(made.log_errors(np.zeros(2))).max()
    for name, z, sd in zip(found, fit.z, fit.sd, strict=True):
        assert abs(z - _coordinate(made, name, truth[name])) < 3.0 * sd


def _coordinate(made: Problem, name: str, value: float) -> float:
    number: RangedNumber = next(members[0] for members in made.numbers if members[0].name == name)
    grid = np.linspace(-3.0, 3.0, 601)
    return float(grid[np.argmin([abs(value_at(number, at) - value) for at in grid])])


def test_a_number_is_moved_under_the_runs_only_that_it_reaches(numbers: Numbers) -> None:
    made = Problem(load_system("rngd", uncalibrated=True), _runs(numbers), 0)
    others = {runtime.name for runtime in drivers(load_system("rngd", uncalibrated=True))} - {SDK}
    asked: list[str] = []
    made._figures_of = lambda predictor, drawn: asked.append(predictor.runtime) or {}  # type: ignore[method-assign, func-returns-value]
    made.chosen = [index for index, members in enumerate(made.numbers) if members[0].owner in others]
    assert made.chosen
    made.slopes(np.zeros(len(made.chosen)))
    assert len(asked) == len({case.predictor for case in made.cases}), "the base alone"
    assert load_runtime(SDK, "contraction_processor").name == SDK


def test_brief_runs_are_for_slopes_alone(numbers: Numbers) -> None:
    brief = numbers.brief()
    assert brief.observation["requests_per_user"] == 0.5 * numbers.observation["requests_per_user"]
    predictor = RunPredictor(PLACEMENT, 256, 32, 4.0)
    whole, half = (predictor.predict(each, 0) for each in (numbers, brief))
    assert half["tpot_ms_mean"] == pytest.approx(whole["tpot_ms_mean"], rel=0.1)
    fixed = replace(predictor, requests=8)
    assert fixed.predict(numbers, 0) == fixed.predict(brief, 0)
