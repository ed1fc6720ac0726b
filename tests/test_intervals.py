"""90 % intervals: before and after a calibration, of steps, runs, the grid and validated rows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from calibration_support import few_ranges, few_steps
from test_validate import tell

from npusim.answers.predict import predict_run, predict_step
from npusim.evidence.calibration.calibration_file import write_calibration
from npusim.evidence.validation.validate import validate_table
from npusim.hardware.calibration import CalibratedNumber, Calibration
from npusim.hardware.catalog import load_system
from npusim.hardware.residuals import LeftOut, Residual
from npusim.kperf.runner import run_grid
from npusim.mapping.deployment import deploy
from npusim.metrics import DECODE, RUN
from npusim.serving.uncertainty import interval, interval_text

MODEL = "llama-3.1-8b"
RUN_LOAD = {"isl": 64, "osl": 8, "concurrency": 2}
GRID = """name: tiny
title: tiny
source: a test
arrival: closed
requests_per_user: 1
points:
  - {isl: 64, osl: 8, users: [1]}
"""


@pytest.fixture(scope="module")
def arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An H200 with few ranges, of which one was narrowed by a calibration that leaves 10 % unexplained."""
    folder = tmp_path_factory.mktemp("intervals")
    fitted = CalibratedNumber(
        owner="h200", path="chip.memory.stream_efficiency", value="0.9", sd="0.001", low="0.898", high="0.902",
        prior="0.93", identified=0.05,
    )  # fmt: skip
    errors = LeftOut(
        unseen="group", table="steps", metric="us", regime=DECODE, figures=40, groups=4, mape=0.07, mape_low=0.05,
        mape_high=0.09, coverage=0.925, coverage_low=0.8, coverage_high=1.0, width=0.2, width_low=0.18, width_high=0.22,
    )  # fmt: skip
    calibration = Calibration(
        name="fitted",
        arch="h200",
        date="2026-11-30",
        source="a test",
        numbers=(fitted,),
        residuals=(
            Residual(metric="time_us", regime=DECODE, groups=9, half_width=0.1, enough=True),
            Residual(metric="tpot_ms_mean", regime=RUN, groups=4, half_width=0.1, enough=False),
        ),
        left_out=(errors,),
    )
    write_calibration(calibration, folder / "fitted.yaml")
    return str(few_ranges(folder, "fitted.yaml"))


def test_what_is_unexplained_joins_the_draws_in_the_logarithm() -> None:
    low, high = interval(100.0, [100.0] * 20, 0.1)
    assert (low, high) == pytest.approx((100.0 * math.exp(-0.1), 100.0 * math.exp(0.1)))
    plain = interval(100.0, range(50, 251))
    wide = interval(100.0, range(50, 251), 0.3)
    for bare, joined in zip(plain, wide, strict=True):
        assert abs(math.log(joined / 100.0)) == pytest.approx(math.hypot(math.log(bare / 100.0), 0.3))
    assert interval(100.0, range(50, 251), 0.0) == plain


def test_a_figure_of_zero_stays_in_its_draws() -> None:
    assert interval(0.0, [0.0, 0.0], 0.5) == (0.0, 0.0)
    low, high = interval(1.0, [0.0] * 10 + [1.0], 0.5)
    assert low == 0.0
    assert high == pytest.approx(math.exp(0.5))


def test_a_step_has_intervals_when_asked(arch: str) -> None:
    for uncalibrated in (False, True):
        deployment = deploy(arch, MODEL, uncalibrated=uncalibrated)
        plain = predict_step(deployment, "decode", 4, 512)
        ranged = predict_step(deployment, "decode", 4, 512, interval_wanted=True)
        assert plain.keys() == ranged.keys()
        for name in ("time_us", "energy_j", "power_w"):
            assert ranged[name]["value"] == plain[name]
            assert ranged[name]["low"] <= plain[name] <= ranged[name]["high"]
        assert ranged["breakdown_us"] == plain["breakdown_us"]
        assert predict_step(deployment, "decode", 4, 512, interval_wanted=True) == ranged


def test_a_calibrated_interval_holds_the_models_error(arch: str) -> None:
    time = predict_step(deploy(arch, MODEL), "decode", 4, 512, interval_wanted=True)["time_us"]
    assert math.log(time["high"] / time["value"]) >= 0.1
    assert math.log(time["value"] / time["low"]) >= 0.1
    tpot = predict_run(deploy(arch, MODEL), **RUN_LOAD, interval_wanted=True)["tpot_ms"]
    assert all(math.log(part["high"] / part["value"]) >= 0.1 - 1e-9 for part in tpot.values())


def test_how_an_interval_was_made_is_told(arch: str) -> None:
    calibrated, plain = (deploy(arch, MODEL, uncalibrated=off) for off in (False, True))
    told = interval_text(calibrated.calibration)
    assert "the cross-validated error beyond it (fewer than nine groups in 1 of 2 regimes" in told
    assert "the largest error that a calibration left (" in interval_text(plain.calibration)


def test_the_command_tells_intervals_and_calibration(arch: str) -> None:
    words = ("step", arch, MODEL, "--phase", "decode", "--batch", "4", "--context", "512", "--interval")
    code, out, err = tell(*words, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["configuration"]["calibrated"] is True
    assert set(answer["time_us"]) == {"value", "low", "high"}
    assert "fitted.yaml" in {each["file"] for each in answer["manifest"]["configs"]}
    code, out, _ = tell(*words)
    assert code == 0
    text = " ".join(out.split())
    assert "Calibrated: fitted, 2026-11-30, a test; 1 numbers, none of them of the runtime vllm." in text
    code, out, _ = tell(*words, "--uncalibrated", "--json")
    answer = json.loads(out)
    assert answer["configuration"]["calibrated"] is False
    assert "fitted.yaml" not in {each["file"] for each in answer["manifest"]["configs"]}


def test_a_run_takes_the_calibration_unless_it_is_left_out(arch: str) -> None:
    words = ("run", arch, MODEL, "--isl", "64", "--osl", "8", "--concurrency", "2", "--json")
    fitted, plain = (json.loads(tell(*words, *extra)[1]) for extra in ((), ("--uncalibrated",)))
    assert fitted["tpot_ms"]["mean"] != plain["tpot_ms"]["mean"]


def test_show_resolves_calibrated_numbers(arch: str) -> None:
    fitted, plain = (json.loads(tell("show", arch, "--json", *extra)[1]) for extra in ((), ("--uncalibrated",)))
    assert fitted["config"]["chip"]["memory"]["stream_efficiency"]["kind"] == "calibrated"
    assert fitted["calibration"]["date"] == "2026-11-30"
    assert plain["config"]["chip"]["memory"]["stream_efficiency"]["kind"] != "calibrated"
    assert (fitted["calibrated"], plain["calibrated"]) == (True, False)
    listed = json.loads(tell("list", "archs", "--json")[1])["items"]
    shipped = {item["name"]: load_system(item["name"], uncalibrated=True).calibration for item in listed}
    assert all(item["calibrated"] is (shipped[item["name"]] is not None) for item in listed)


def test_the_grid_tells_its_calibration(arch: str, tmp_path: Path) -> None:
    grid = tmp_path / "tiny.yaml"
    grid.write_text(GRID, encoding="utf-8")
    (fitted,) = run_grid([arch], [MODEL], str(grid))
    (plain,) = run_grid([arch], [MODEL], str(grid), uncalibrated=True)
    assert fitted.context.calibration_text.startswith("calibrated: fitted, 2026-11-30, a test; 1 numbers")
    assert plain.context.calibration_text.startswith("uncalibrated")
    assert "calibrated" in set(fitted.provenances["kind"])
    assert "calibrated" not in set(plain.provenances["kind"])
    row = fitted.cells.iloc[0]
    assert math.log(row["tpot_ms_mean_high"] / row["tpot_ms_mean"]) >= 0.1 - 1e-9


def test_validated_rows_have_intervals(arch: str, tmp_path: Path) -> None:
    table = few_steps(tmp_path / "steps.csv")
    fitted, plain = (validate_table(table, arch, uncalibrated, intervals=True) for uncalibrated in (False, True))
    for result in (fitted, plain):
        answer = result.as_dict()
        inside = [item["low"] <= item["measured"] <= item["high"] for item in answer["predictions"]]
        assert answer["coverage90"] == pytest.approx(sum(inside) / len(inside))
        assert answer["width90"] > 0.0
        for item in answer["predictions"]:
            assert item["u_val"] == pytest.approx(math.hypot(item["u_d"], item["u_input"]))
            assert item["low"] <= item["predicted"] <= item["high"]
    decoding = fitted.by()["phase"]["decode"]
    assert decoding.width90 is not None and decoding.width90 >= 2.0 * math.sinh(0.1) - 1e-9
    bare = validate_table(table, arch).as_dict()
    assert (bare["coverage90"], bare["u_val"], bare["predictions"][0]["low"]) == (None, None, None)


def test_the_folder_shows_blind_calibrated_and_left_out_side_by_side(arch: str, tmp_path: Path) -> None:
    first = few_steps(tmp_path / "steps.csv")
    second = few_steps(tmp_path / "other.csv")
    out = tmp_path / "validation"
    code, printed, err = tell("validate", first, second, "--arch", arch, "--report", out, "--no-interval", "--json")
    assert code == 0, err
    assert [each["table"] for each in json.loads(printed)["tables"]] == ["steps.csv", "other.csv"]
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "Made by `npusim validate steps.csv other.csv" in page
    assert "blind numbers, not a blind form" not in page
    assert "| us | decode | group | 4 | 40 | 7.0 % | 5.0 % to 9.0 % | 92.5 % | 80.0 % to 100.0 % | 20.0 % |" in page
    assert str(tmp_path) not in page
    assert page.count("## ") == 2
    for name in ("report.md", "blind/report.md"):
        assert str(tmp_path) not in (out / name).read_text(encoding="utf-8")
    assert len(list(out.rglob("*.png"))) == 4
