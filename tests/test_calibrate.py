"""Fits: numbers are found again, noise is not, a calibration is written and read back, mistakes are one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibration_support import STEPS, few_ranges, few_steps, predicted_at, problem
from cli_support import mistake
from test_validate import tell

from npusim.errors import UserError
from npusim.evidence.calibration.calibrate import FittedCalibration, fit_calibration
from npusim.evidence.calibration.calibration_file import write_calibration
from npusim.evidence.calibration.cross_validation import bootstrap
from npusim.evidence.calibration.posterior import value_at
from npusim.hardware.calibration import load_calibration
from npusim.hardware.catalog import load_system
from npusim.hardware.residuals import Residual, half_width
from npusim.metrics import DECODE, PREFILL, RUN

Z_TRUE = -1.5
NOISE = 0.01
RNGD_SERVING = STEPS.parent.parent / "rngd" / "serving.csv"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds h200.yaml with few ranges, and steps.csv: its predictions at Z_TRUE with noise."""
    made = tmp_path_factory.mktemp("calibrate")
    arch, table = few_ranges(made), few_steps(made / "steps.csv")
    predicted = predicted_at(arch, table, Z_TRUE)
    noise = np.random.default_rng(5).normal(0.0, NOISE, len(predicted))
    few_steps(table, lambda _: (predicted * np.exp(noise)).tolist())
    return made


@pytest.fixture(scope="session")
def found(folder: Path) -> FittedCalibration:
    return fit_calibration([folder / "steps.csv"], str(folder / "h200.yaml"), "mine", "2026-11-30")


def test_numbers_are_found_again_within_their_uncertainty(folder: Path, found: FittedCalibration) -> None:
    made = problem(folder / "h200.yaml", folder / "steps.csv")
    names = {f"{number.owner}.{number.label}": number for index in made.chosen for number in made.numbers[index]}
    assert set(names) == set(found.parameters)
    for name, number in names.items():
        fitted = found.parameters[name]
        if fitted["identified"] < 0.8:
            assert abs(fitted["value"] - value_at(number, Z_TRUE)) < 2.0 * fitted["sd"], name
        assert fitted["prior"] == number.quantity.value
        assert 0.0 < fitted["identified"] <= 1.01
    assert min(fitted["identified"] for fitted in found.parameters.values()) < 0.6


def test_errors_fall_on_what_was_seen(found: FittedCalibration) -> None:
    assert found.mape_after < 2.0 * NOISE < found.mape_before
    table = found.tables["steps"]
    assert (table.figures, table.before, table.after) == (found.cases, found.mape_before, found.mape_after)


def test_a_model_that_no_fit_has_seen_is_predicted(tmp_path: Path) -> None:
    """Measured operators and steps of the H200, a part: all of a model left out, operators of its shapes too."""
    tables = [_every(STEPS.parent / "ops.csv", 12, tmp_path), _every(STEPS, 3, tmp_path)]
    real = fit_calibration(tables, "h200", "part", "2026-11-30")
    parts = {(part.unseen, part.regime): part for part in real.calibration.left_out if part.metric == "us"}
    assert real.mape_after < 0.75 * real.mape_before
    for unseen in ("group", "model"):
        assert parts[unseen, DECODE].mape < 0.045
        assert parts[unseen, PREFILL].mape < 0.10
        assert parts[unseen, "operator attn_decode"].mape < 0.12 < real.tables["operators"].before
        assert parts[unseen, "operator gemm"].mape < 0.10
        assert parts[unseen, DECODE].coverage >= 0.85
    assert parts["model", DECODE].groups == 2


def _every(source: Path, step: int, folder: Path) -> Path:
    header, *rows = source.read_text(encoding="utf-8").splitlines()
    path = folder / source.name
    path.write_text("\n".join([header, *rows[::step]]) + "\n", encoding="utf-8")
    return path


def test_left_out_errors_are_told_by_regime_with_bounds(found: FittedCalibration) -> None:
    parts = {(part.unseen, part.regime): part for part in found.calibration.left_out}
    assert set(parts) == {(unseen, regime) for unseen in ("group", "model") for regime in (DECODE, PREFILL)}
    for part in parts.values():
        assert (part.table, part.metric) == ("steps", "us")
        assert part.mape_low is not None and part.mape_high is not None
        assert part.mape_low <= part.mape <= part.mape_high
        assert 0.8 <= part.coverage <= 1.0
        assert part.width_low is not None and part.width_high is not None
        assert 0.0 < part.width_low <= part.width <= part.width_high < 0.3
    assert [sum(parts[unseen, regime].figures for regime in (DECODE, PREFILL)) for unseen in ("group", "model")] == [
        found.cases,
        found.cases,
    ]
    assert {part.groups for part in found.calibration.left_out if part.unseen == "group"} == {3}
    assert {part.groups for part in found.calibration.left_out if part.unseen == "model"} == {2}
    assert {(residual.metric, residual.regime) for residual in found.calibration.residuals} == {
        ("time_us", DECODE),
        ("time_us", PREFILL),
    }
    assert not any(residual.enough for residual in found.calibration.residuals)


def test_shuffled_targets_do_not_calibrate(folder: Path, tmp_path: Path) -> None:
    arch, table = folder / "h200.yaml", tmp_path / "steps.csv"
    base = predicted_at(arch, folder / "steps.csv", 0.0)
    errors = np.random.default_rng(8).permutation(np.linspace(-0.3, 0.3, len(base)))
    few_steps(table, lambda _: (base * np.exp(errors)).tolist())
    shuffled = fit_calibration([table], str(arch), "noise", "2026-11-30")
    assert shuffled.left_out_mape > 0.97 * shuffled.mape_before


def test_an_calibration_reads_back_as_it_was_written(found: FittedCalibration, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    write_calibration(found.calibration, path)
    assert load_calibration(path) == found.calibration
    first = path.read_bytes()
    write_calibration(found.calibration, path)
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == ["mine.yaml"]


def test_an_attached_calibration_moves_the_architecture(found: FittedCalibration, tmp_path: Path) -> None:
    arch = few_ranges(tmp_path, "mine.yaml")
    write_calibration(found.calibration, tmp_path / "mine.yaml")
    fitted = load_system(str(arch)).chip.memory.stream_efficiency
    told = found.parameters["h200.chip.memory.stream_efficiency"]
    assert fitted.value == pytest.approx(told["value"], rel=1e-5)
    assert (fitted.kind, fitted.date) == ("calibrated", "2026-11-30")
    assert load_system(str(arch), uncalibrated=True).chip.memory.stream_efficiency.value == told["prior"]


def _residual(metric: str, regime: str, width: float) -> Residual:
    return Residual(metric=metric, regime=regime, groups=9, half_width=width, enough=True)


STEPS_ALONE = (
    _residual("time_us", DECODE, 0.03),
    _residual("time_us", PREFILL, 0.07),
    _residual("power_w", DECODE, 0.05),
)


@pytest.mark.parametrize(
    ("metric", "width"),
    [
        ("tpot_ms_mean", 0.03),
        ("tpot_ms_p99", 0.03),
        ("itl_ms_p50", 0.03),
        ("e2e_ms_mean", 0.03),
        ("output_tokens_per_s", 0.03),
        ("ttft_ms_p50", 0.07),
        ("power_w", 0.05),
        ("tokens_per_joule", math.hypot(0.03, 0.05)),
    ],
)
def test_runs_take_what_is_known_of_the_steps_that_they_consist_of(metric: str, width: float) -> None:
    assert half_width(STEPS_ALONE, metric, RUN) == pytest.approx(width)


def test_the_command(folder: Path, found: FittedCalibration, tmp_path: Path) -> None:
    words = (folder / "steps.csv", "--arch", folder / "h200.yaml", "--date", "2026-11-30")
    code, out, err = tell("calibrate", *words, "--out", tmp_path / "o.yaml", "--json")
    assert code == 0, err
    answer: dict[str, Any] = json.loads(out)
    assert set(answer) >= {"parameters", "mape_before", "mape_after", "left_out_mape", "manifest"}
    assert all(set(each) == {"prior", "value", "sd", "unit", "identified"} for each in answer["parameters"].values())
    assert [each["file"] for each in answer["manifest"]["configs"][:2]] == ["steps.csv", "h200.yaml"]
    assert load_calibration(tmp_path / "o.yaml").name == "o"
    assert "by group, fold 1 of 3" in err and "by model, fold 2 of 2" in err
    assert load_calibration(tmp_path / "o.yaml").numbers == found.calibration.numbers


def test_the_command_says_what_was_fitted_and_how_to_use_it(folder: Path, tmp_path: Path) -> None:
    table = few_steps(tmp_path / "steps.csv", every=20)
    code, out, err = tell("calibrate", table, "--arch", folder / "h200.yaml", "--out", tmp_path / "again.yaml")
    assert code == 0, err
    text = " ".join(out.split())
    assert "Fitted numbers" in text
    assert "mean absolute error figures before after cross-validated" in text
    assert "put `calibration: again.yaml` into the architecture's file" in text


@pytest.mark.parametrize(
    ("table", "arch", "out", "told"),
    [
        (STEPS, "rngd", "o.yaml", "was measured on a gpu"),
        (RNGD_SERVING, "rngd-plus", "o.yaml", "was measured on RNGD, not on rngd-plus"),
        (STEPS, "h200", ".", "is a folder"),
        (STEPS, "h200", "o.txt", "another ending than .yaml"),
        (STEPS, "h200", "no/o.yaml", "there is no folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, table: Path, arch: str, out: str, told: str) -> None:
    code, printed, err = tell("calibrate", table, "--arch", arch, "--out", tmp_path / out)
    assert (code, printed) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not list(tmp_path.iterdir())


def test_a_table_without_a_usable_row(tmp_path: Path) -> None:
    header, first = STEPS.read_text(encoding="utf-8").splitlines()[:2]
    table = tmp_path / "steps.csv"
    table.write_text(f"{header}\n{first.replace('llama-3.1-8b', 'no-such-model')}\n", encoding="utf-8")
    with pytest.raises(UserError, match="no row can be predicted for h200; nothing to calibrate with"):
        fit_calibration([table], "h200", "mine", "2026-11-30")


def test_a_wrong_date(tmp_path: Path) -> None:
    code, _, err = tell("calibrate", STEPS, "--arch", "h200", "--out", tmp_path / "o.yaml", "--date", "30.11.2026")
    assert code == 2
    assert "write it as YYYY-MM-DD" in err


KNOWN = (
    _residual("tpot_ms_mean", RUN, 0.1),
    _residual("ttft_ms_p50", RUN, 0.3),
    _residual("power_w", RUN, 0.05),
    _residual("time_us", PREFILL, 0.04),
)


@pytest.mark.parametrize(
    ("metric", "regime", "width"),
    [
        ("tpot_ms_mean", RUN, 0.1),
        ("tpot_ms_p99", RUN, 0.1),
        ("itl_ms_p50", RUN, 0.1),
        ("ttft_ms_mean", RUN, 0.3),
        ("output_tokens_per_s", RUN, 0.1),
        ("tokens_per_joule", RUN, math.hypot(0.1, 0.05)),
        ("power_w_p99", RUN, 0.05),
        ("time_us", DECODE, 0.1),
        ("time_us", PREFILL, 0.04),
        ("time_us", "mixed", 0.04),
        ("energy_j", DECODE, math.hypot(0.1, 0.05)),
        ("kv_peak_fraction", RUN, None),
        ("time_us", "operator gemm", None),
    ],
)
def test_what_was_not_measured_takes_the_nearest_that_was(metric: str, regime: str, width: float | None) -> None:
    assert half_width(KNOWN, metric, regime) == (None if width is None else pytest.approx(width))
    assert half_width((), metric, regime) is None


def test_bounds_of_a_mean_come_from_whole_groups() -> None:
    values, groups = np.array([0.0, 0.0, 1.0, 1.0]), ["a", "a", "b", "b"]
    assert bootstrap(values, groups, 0) == (0.0, 1.0)
    assert bootstrap(values, ["a"] * 4, 0) == (None, None)
    assert bootstrap(np.ones(4), groups, 0) == (1.0, 1.0)


def test_times_in_another_unit_are_the_tables_mistake(folder: Path, tmp_path: Path) -> None:
    few_steps(tmp_path / "steps.csv", lambda shipped: [1e9 * time for time in shipped], every=12)
    before = set(tmp_path.iterdir())
    words = ("calibrate", tmp_path / "steps.csv", "--arch", folder / "h200.yaml", "--out", tmp_path / "fit.yaml")
    assert "check their units" in mistake(*words)
    assert set(tmp_path.iterdir()) == before
