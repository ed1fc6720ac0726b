"""Errors of predictions against measured tables, in sum and by dimension, and the command that prints them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from npusim.cli.main import main
from npusim.conditions.table import CONDITIONS
from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.kinds import table_kinds
from npusim.evidence.validation.report import percent, write_report
from npusim.evidence.validation.validate import (
    Prediction,
    ValidationResult,
    described,
    predict_cases,
    summarise,
    validate_table,
)
from npusim.hardware.catalog import system_path
from npusim.words import ENGLISH, speaker

DATA = Path(__file__).resolve().parent.parent / "validation" / "data"
EVIDENCE = {"power_ops", "vllm_long_prompts"}
"""Shipped tables that no prediction is compared with yet."""
STEPS = DATA / "h200" / "steps.csv"
SUMMARY = {"rows", "mape", "bias", "p90", "max", "coverage90", "width90", "u_d", "u_input", "u_val"}


@dataclass(frozen=True)
class Given:
    """A predictor that predicts what it is told, or cannot run; `asked` counts how often."""

    value: float
    asked: tuple[list[int], ...] = ()
    refusal: str = ""

    arch = "h200"
    runtime = "vllm"

    def __hash__(self) -> int:
        return hash(self.value)

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        for counter in self.asked:
            counter.append(seed)
        if self.refusal:
            raise UserError("predictor", "", self.refusal)
        return {"us": self.value, "power_w": float("nan")}


def case(row: int, measured: float, predictor: Given, figure: str = "us", **dimensions: str) -> Case:
    return Case(row, figure, figure, measured, predictor, str(row), "group", "m", dimensions, 0.02, figure == "us")


def test_errors_in_sum() -> None:
    items = [Prediction(case(row, 100.0, Given(0.0)), value) for row, value in enumerate((110.0, 80.0, 100.0, 130.0))]
    errors = summarise(items)
    assert errors.rows == 4
    assert errors.mape == pytest.approx(0.15)
    assert errors.bias == pytest.approx(0.05)
    assert errors.max == pytest.approx(0.3)
    assert errors.p90 == pytest.approx(0.27)
    assert errors.u_d == 0.02
    assert summarise([]).rows == 0
    assert summarise([]).mape != summarise([]).mape


def test_a_run_is_predicted_once_for_all_its_figures() -> None:
    counter: list[int] = []
    predictor = Given(50.0, (counter,))
    predictions, skips = predict_cases([case(0, 40.0, predictor), case(1, 60.0, predictor)], 7)
    assert counter == [7]
    assert [item.error for item in predictions] == pytest.approx([0.25, -1 / 6])
    assert not skips


def test_a_row_that_cannot_run_after_all_is_skipped() -> None:
    lost, run = Given(1.0, refusal="no room"), Given(2.0)
    predictions, skips = predict_cases([case(0, 40.0, lost), case(1, 60.0, run), case(2, 9.0, run, "power_w")], 0)
    assert [item.case.row for item in predictions] == [1]
    assert {skip.row: skip.reason for skip in skips} == {0: "predictor: no room", 2: "the prediction has no power_w"}


def test_other_numbers_can_be_given() -> None:
    numbers = described("h200")
    seen: list[str] = []

    def numbers_of(arch: str) -> Numbers:
        seen.append(arch)
        return numbers

    predict_cases([case(0, 1.0, Given(1.0)), case(1, 1.0, Given(2.0))], 0, numbers_of)
    assert seen == ["h200"]


def test_summaries_by_dimension() -> None:
    items = tuple(
        Prediction(case(row, 100.0, Given(0.0), batch=batch, phase="decode"), 110.0)
        for row, batch in enumerate(("16", "2", "2", "many"))
    )
    result = ValidationResult(Path("steps.csv"), "steps", ("h200",), False, "us", items, ())
    by = result.by()
    assert list(by) == ["metric", "batch", "phase"]
    assert list(by["batch"]) == ["2", "16", "many"]
    assert by["batch"]["2"].rows == 2
    assert by["metric"]["us"].rows == 4
    assert result.rows == 4


def scaled(folder: Path, factor: Callable[[int], float], file: str = "steps.csv") -> Path:
    """The shipped steps with the predictions x factor(row) in place of the measured times; power left out."""
    predictions = {item.case.row: item.predicted for item in validate_table(STEPS).main}
    with STEPS.open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    for index, row in enumerate(rows):
        row["us"], row["power_w"] = str(predictions[index] * factor(index)), ""
    path = folder / file
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_of_predictions_has_no_error(tmp_path: Path) -> None:
    result = validate_table(scaled(tmp_path, lambda row: 1.0), "h200")
    assert summarise(result.main).max < 1e-9


def test_known_errors_are_found(tmp_path: Path) -> None:
    result = validate_table(scaled(tmp_path, lambda row: 2.0 if row == 5 else 1.25), "h200")
    errors = summarise(result.main)
    assert errors.bias == pytest.approx(-0.2, abs=0.01)
    assert result.worst(1)[0].case.row == 5
    assert errors.max == pytest.approx(0.5)


def test_a_measured_time_is_no_input(tmp_path: Path) -> None:
    plain = {item.case.row: item.predicted for item in validate_table(STEPS).main}
    changed = validate_table(scaled(tmp_path, lambda row: 3.0), "h200")
    assert {item.case.row: item.predicted for item in changed.main} == plain


def test_the_contract_of_the_answer() -> None:
    answer = validate_table(STEPS).as_dict()
    assert set(answer) >= {*SUMMARY, "skipped", "by", "worst", "predictions", "main_metric", "archs"}
    assert answer["rows"] + len(answer["skipped"]) == 106
    assert answer["coverage90"] is None
    assert set(answer["by"]["metric"]) == {"us", "power_w"}
    assert answer["by"]["metric"]["us"]["mape"] == answer["mape"]
    assert set(answer["by"]["phase"]) == {"decode", "prefill"}
    assert all(set(part) == SUMMARY for values in answer["by"].values() for part in values.values())
    assert answer["worst"][0]["error"] == max((item["error"] for item in answer["worst"]), key=abs)


def test_a_mean_number_of_users_lies_between_two_whole_ones(tmp_path: Path) -> None:
    with (DATA / "rngd" / "serving.csv").open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    wanted = {"metric": "throughput_total", "concurrency": "2.0", "cards": "1"}
    chosen = next(row for row in rows if wanted.items() <= row.items())
    path = tmp_path / "serving.csv"
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(chosen))
        writer.writeheader()
        writer.writerows(chosen | {"concurrency": users} for users in ("1.0", "1.5", "2.0"))
    one, between, two = (item.predicted for item in validate_table(path).main)
    assert between == pytest.approx((one + two) / 2.0)


CALIBRATION = """name: mine
arch: mine
date: "2026-11-01"
source: a test
numbers:
  - {owner: mine, path: chip.unit.clock, value: 0.99 GHz, sd: 0 GHz, low: 0.99 GHz, high: 0.99 GHz, prior: 1.98 GHz,
     identified: 0.1}
"""


def test_a_calibration_holds_unless_it_is_left_out(tmp_path: Path) -> None:
    shipped = system_path("h200").read_text(encoding="utf-8")
    text = shipped.replace("name: h200\n", "name: mine\n", 1).replace("calibrations/h200.yaml", "o.yaml", 1)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "o.yaml").write_text(CALIBRATION, encoding="utf-8")
    slow = validate_table(STEPS, str(tmp_path / "mine.yaml"))
    plain = validate_table(STEPS, str(tmp_path / "mine.yaml"), uncalibrated=True)
    assert (slow.calibrated, plain.calibrated) == (True, False)
    bound = [item.case.dimensions["phase"] == "prefill" for item in plain.main]
    ratio = [one.predicted / other.predicted for one, other in zip(slow.main, plain.main, strict=True)]
    assert max(ratio) > 1.2
    assert all(each > 1.0 for each, prefill in zip(ratio, bound, strict=True) if prefill)


def tell(*words: str | Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    "path", sorted(path for path in DATA.rglob("*.csv") if path.stem not in EVIDENCE), ids=lambda path: path.stem
)
def test_every_shipped_table_prints_its_errors(path: Path) -> None:
    code, out, err = tell("validate", path, "--no-interval", "--json")
    assert code == 0, err
    answer: dict[str, Any] = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert answer["manifest"]["configs"][0]["file"] == path.name
    skipped = {item["row"] for item in answer["skipped"]}
    assert sum(answer["skip_reasons"].values()) == len(skipped)
    assert answer["rows"] > 0


def test_every_kind_of_table_says_what_its_errors_depend_on() -> None:
    assert all(kind.telling and kind.main for kind in table_kinds().values())


@pytest.mark.parametrize("name", ["gpu_public/h200_moe", "gpu_public/h200_mla_context_module", "reference/pim"])
def test_kernels_and_components_print_their_errors_too(name: str) -> None:
    code, out, err = tell("validate", DATA / f"{name}.csv", "--no-interval")
    assert code == 0, err
    assert "Worst row" in out


def test_one_screen_and_a_report(tmp_path: Path) -> None:
    code, out, err = tell("validate", STEPS, "--report", tmp_path / "report", "--uncalibrated")
    assert code == 0, err
    assert len(out.splitlines()) < 45
    assert "steps.csv (steps) on h200: 106 rows scored, 0 skipped." in out
    assert "Worst row" in out
    page = (tmp_path / "report" / "report.md").read_text()
    assert "![us of steps.csv (steps) on h200](h200-steps.png)" in page
    assert (tmp_path / "report" / "h200-steps.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in page


def test_a_report_of_runs_whose_requests_came_at_a_rate(tmp_path: Path) -> None:
    """Nobody knows how many were in service."""
    frame = pd.read_csv(DATA / "h200" / "vllm_mechanics.csv")
    frame[frame["arrival"] != "closed"].head(1).to_csv(tmp_path / "table.csv", index=False)
    result = validate_table(tmp_path / "table.csv", "h200")
    assert "concurrency" not in result.main[0].case.dimensions
    assert (tmp_path / write_report([result], tmp_path, speaker("en"))[1]).is_file()


def test_a_report_of_several_tables(tmp_path: Path) -> None:
    unknown = tmp_path / "rtx_serving.csv"
    unknown.write_text((DATA / "gpu_public" / unknown.name).read_text().replace("RTX", "XTR"))
    results = [validate_table(STEPS), validate_table(unknown)]
    files = write_report(results, tmp_path, speaker(ENGLISH))
    assert files == ["report.md", "h200-steps.png"]
    page = (tmp_path / files[0]).read_text()
    assert "0 rows scored, 46 skipped." in page
    assert page.count("## ") == 2


def test_percentages() -> None:
    assert percent(0.0512) == "5.1 %"
    assert percent(0.0512, signed=True) == "+5.1 %"
    assert percent(float("nan")) == "-"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((DATA / "h200" / "power_ops.csv",), "evidence for parameters"),
        (("missing.csv",), "cannot be read"),
        ((STEPS, "--arch", "rngd"), "was measured on a gpu"),
        ((), "is missing"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str | Path, ...], told: str) -> None:
    code, out, err = tell("validate", *words)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert told in lines[0]


def test_a_table_says_what_its_rows_told_and_what_was_assumed() -> None:
    conditions = validate_table(DATA / "h200" / "vllm_serving.csv").conditions
    told, assumed = conditions["told"], conditions["assumed"]
    assert told["precision"] == ["bf16", "fp8"] and told["runtime"] == ["vllm-0.24"]
    assert told["prefix_caching"] == [False] and assumed["prompts"] == ["different"]
    assert sorted((*told, *assumed)) == sorted(each.name for each in CONDITIONS)
