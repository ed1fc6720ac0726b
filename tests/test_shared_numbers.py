"""Assumptions that all chips share: fitted where asked, held by a calibration, drawn, and among what decides."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from calibration_support import STEPS, few_ranges
from cli_support import tell

from npusim.evidence.calibration.calibrate import fit_calibration
from npusim.evidence.calibration.calibration_file import write_calibration
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.importer import import_table
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.deciders import claim_deciders
from npusim.explore.evaluate.prediction import predict_claim
from npusim.explore.one_changed import UNCHANGED, estimates_of, ranged_of, to_ends
from npusim.explore.pim.deciders import pim_deciders
from npusim.hardware.calibration import CalibratedNumber, Calibration
from npusim.hardware.catalog import load_system
from npusim.hardware.draws import RangedNumber, drawn_values, ranged_numbers
from npusim.mapping.deployment import deploy
from npusim.mapping.shared import calibrated_shared, ranged_shared, shared_numbers
from npusim.serving.uncertainty import drawn_engines

MIXTURE = "qwen3-30b-a3b"
SPAN = "routing.popularity.span"
TRUE_SPAN = 30.0


def _steps(path: Path, model: str, times: np.ndarray | None = None) -> Path:
    """Decode steps of a model in a table at `path`, taking `times` (us)."""
    with STEPS.open(newline="", encoding="utf-8") as source:
        row = next(csv.DictReader(source))
    batches = (1, 2, 4, 8, 16, 32)
    row |= {"model": model, "dtype": "bf16", "us_p5": "", "us_p95": "", "power_w": "", "ctx": "1024"}
    taken = np.full(len(batches), 1e4) if times is None else times
    rows = [row | {"batch": str(batch), "us": f"{us:.6g}"} for batch, us in zip(batches, taken, strict=True)]
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(row))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _times(arch: Path, table: Path, span: float) -> np.ndarray:
    """Predicted times of the table's rows (us) with that span of the experts' popularity."""
    made = Problem(load_system(str(arch), uncalibrated=True), import_table(table, str(arch)).cases, 0, shared=True)
    moved = {number: span for number in shared_numbers() if f"{number.owner}.{number.label}" == SPAN}
    numbers = made.numbers_at(np.zeros(len(made.chosen))).replaced(moved)
    return np.array([case.predictor.predict(numbers, 0)[case.figure] for case in made.cases])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds h200.yaml with few ranges, and steps.csv: those of a mixture of experts whose span is TRUE_SPAN."""
    made = tmp_path_factory.mktemp("shared")
    arch = few_ranges(made, "mine.yaml")
    table = _steps(made / "steps.csv", MIXTURE)
    _steps(table, MIXTURE, _times(arch, table, TRUE_SPAN))
    return made


def test_the_popularity_of_experts_is_fitted_where_asked(folder: Path) -> None:
    arch, table = str(folder / "h200.yaml"), folder / "steps.csv"
    alone = fit_calibration([table], arch, "mine", "2026-11-30")
    assert not any(name.startswith(("routing.", "formats.")) for name in alone.parameters)
    found = fit_calibration([table], arch, "mine", "2026-11-30", shared=True)
    span = found.parameters[SPAN]
    assert span["prior"] == 8.0
    assert abs(np.log(span["value"] / TRUE_SPAN)) < 0.5 * np.log(TRUE_SPAN / span["prior"])
    assert span["identified"] < 0.7
    assert found.mape_after < 0.25 * found.mape_before
    assert not any(name.startswith("formats.") for name in found.parameters), "BF16 elements have no range"
    write_calibration(found.calibration, folder / "mine.yaml")
    deployed = deploy(arch, MIXTURE)
    assert deployed.model.experts is not None
    assert deployed.model.experts.skew.span == pytest.approx(span["value"], rel=1e-5)
    (told,) = (each for each in deployed.provenances() if (each.owner, each.path) == ("routing", "popularity.span"))
    assert told.quantity.kind == "calibrated"
    bare = deploy(arch, MIXTURE, uncalibrated=True)
    assert bare.model.experts is not None and bare.model.experts.skew.span == 8.0


def test_where_no_row_reads_them_it_is_said(folder: Path, tmp_path: Path) -> None:
    table = _steps(tmp_path / "steps.csv", "llama-3.1-8b", np.linspace(4e3, 9e3, 6))
    words = ("calibrate", table, "--arch", folder / "h200.yaml", "--out", tmp_path / "fit.yaml")
    told = tell(*words, "--shared")
    assert told.code == 0
    assert "warning: --shared: the tables say nothing" in told.err


def _calibration(other: str) -> Calibration:
    """Two numbers of the H200 that are nearly one: the span, and `other`."""
    numbers = (
        CalibratedNumber(
            owner="routing", path="popularity.span", value="20", sd="4", low="14", high="28", prior="8", identified=0.5
        ),
        CalibratedNumber(
            owner="h200", path=other, value="0.9", sd="0.01", low="0.88", high="0.92", prior="0.9", identified=0.5
        ),
    )
    return Calibration(
        name="mine", arch="h200", date="2026-11-30", source="none", numbers=numbers, correlation=((), (0.99,))
    )


def test_a_calibration_draws_them_with_its_correlation() -> None:
    path = "chip.memory.stream_efficiency"
    calibration = _calibration(path)
    assert {number.label: value for number, value in calibrated_shared(calibration).items()} == {
        "popularity.span": 20.0
    }
    base = deploy("h200", MIXTURE, uncalibrated=True)
    system = calibration.apply("h200", base.system)
    numbers = [*ranged_numbers(system, base.runtime), *shared_numbers(calibration)]
    both = [number for number in numbers if number.label in (path, "popularity.span")]
    first, second = drawn_values(both, 200, 1, calibration)
    assert np.corrcoef(np.log(first), np.log(second))[0, 1] > 0.97
    first, second = drawn_values(both, 200, 1)
    assert abs(np.corrcoef(np.log(first), np.log(second))[0, 1]) < 0.2


def test_drawn_machines_stay_whatever_shared_numbers_are_drawn_beside_them() -> None:
    dense, mixture = (
        [each.machine.tobytes() for each, _ in drawn_engines(deploy("h200", model), 0, 3, 1)]
        for model in ("llama-3.1-8b", MIXTURE)
    )
    assert dense == mixture


def test_a_claim_about_experts_can_hang_on_their_popularity() -> None:
    base = deploy("h200", MIXTURE)
    given = {"name": "c", "text": "t", "model": MIXTURE, "isl": 256, "osl": 64, "users": 16}
    claim = Claim.model_validate(given | {"metric": "output_tokens_per_s", "at_least": 1.0})
    value = predict_claim(claim, base, 0).value
    found = {f"{each.owner}.{each.path}": each for each in claim_deciders(claim, base, value).numbers}
    assert SPAN in found
    assert found[SPAN].at_high > value > found[SPAN].at_low, "fewer experts are touched where few are popular"


def test_the_gain_of_units_can_hang_on_the_bits_of_a_format() -> None:
    with_units = deploy("lpddr6-pim", "llama-3.1-8b", precision="int8", offload="always")
    without = deploy("lpddr6-pim", "llama-3.1-8b", precision="int8", offload="none")
    found = pim_deciders(without, with_units, 256, 32, 4)
    names = {f"{each.owner}.{each.path}" for each in found["output_tokens_per_s"]}
    assert {f"{each.owner}.{each.label}" for each in ranged_shared(with_units)} & names


def test_estimates_keep_the_order_of_their_changes() -> None:
    base = deploy("h200", MIXTURE, precision="fp8")

    def acts(number: RangedNumber) -> bool:
        """Libraries of 8-bit keys are not used here."""
        return number.is_shared or (number.label.endswith("stream_efficiency") and "flash-3-fp8" not in number.label)

    numbers = [members for members in ranged_of(base) if acts(members[0])]
    changes = [UNCHANGED, *to_ends(numbers[::-1]), UNCHANGED]
    rate = "output_tokens_per_s"
    found = estimates_of(base, changes, 256, 64, 8, (rate,))[rate]
    alone = [float(estimates_of(base, [change], 256, 64, 8, (rate,))[rate][0]) for change in changes]
    assert found.tolist() == alone
    assert len(set(alone)) > len(numbers)
