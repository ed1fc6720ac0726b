"""The shipped calibration of RNGD: who takes it, and what it is worth on published runs of one card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npusim.evidence.calibration.cross_validation import Unseen, residuals
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.importer import import_table
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import calibration_of, load_system
from npusim.metrics import RUN, STALLED_RUN

TABLE = Path(__file__).resolve().parent.parent / "validation" / "data" / "rngd" / "serving.csv"


@pytest.mark.parametrize(
    ("arch", "calibrated"),
    [("rngd", True), ("rngd-server", True), ("rngd-plus", True), ("lpddr6-pim", True), ("lpddr5x-pim", False)],
)
def test_the_same_card_is_calibrated_and_no_projection(arch: str, calibrated: bool) -> None:
    assert (calibration_of(arch) is not None) == calibrated


def test_no_claim_of_a_vendor_is_fitted_to() -> None:
    cases = import_table(TABLE, "rngd").cases
    assert cases and all(case.dimensions["lab"] != "vendor" for case in cases)


def test_the_calibration_is_better_than_blind_numbers_on_few_users() -> None:
    """Runs of up to eight users: seconds, where the whole table takes a minute."""
    calibration = calibration_of("rngd")
    cases = [
        case
        for case in import_table(TABLE, "rngd").cases
        if case.main and isinstance(case.predictor, RunPredictor) and case.predictor.users <= 8.0
    ]
    measured = np.array([case.measured for case in cases])
    errors = []
    for numbers in (
        Numbers.of(load_system("rngd", uncalibrated=True)),
        Numbers.of(load_system("rngd"), calibration),
    ):
        told = {predictor: predictor.predict(numbers, 0) for predictor in {case.predictor for case in cases}}
        predicted = np.array([told[case.predictor][case.figure] for case in cases])
        errors.append(float(np.abs(predicted / measured - 1.0).mean()))
    blind, calibrated = errors
    assert calibrated < blind
    assert calibrated < 0.12


def _cases() -> tuple[list[Case], Unseen]:
    """Ten groups with ITL, two of them with TPOT, one with a wall rate; errors 0.01, 0.02, ..., and 3 for the wall."""
    made = [case for case in import_table(TABLE, "rngd").cases if case.metric == "itl_p50"][:10]
    made += [replace(case, metric="tpot_mean", figure="tpot_ms_mean") for case in made[:2]]
    made.append(replace(made[0], metric="tps_wall", figure="tokens_per_s_per_user"))
    names = [f"group {index}" for index in range(10)] + ["group 0", "group 1", "group 0"]
    errors = np.array([0.01 * (index + 1) for index in range(12)] + [3.0])
    return made, Unseen("group", np.array(names), errors, np.zeros(len(made)))


def test_a_statistic_of_few_groups_takes_the_width_of_its_latency_and_a_stalled_wall_rate_widens_none() -> None:
    found = {(each.metric, each.regime): each for each in residuals(*_cases())}
    assert set(found) == {("itl_ms_p50", RUN), ("tpot_ms_mean", RUN), ("tpot_ms_mean", STALLED_RUN)}
    assert found["tpot_ms_mean", RUN].groups == found["itl_ms_p50", RUN].groups == 10
    assert found["tpot_ms_mean", RUN].enough
    assert 0.1 <= found["tpot_ms_mean", RUN].half_width <= 0.12
    assert not found["tpot_ms_mean", STALLED_RUN].enough
