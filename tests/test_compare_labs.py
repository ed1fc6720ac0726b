"""Two labs: scores, variances and common factors against closed forms, and files as labs hand them over."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.api import compare
from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.lab.compare.agreement import algorithm_a, common_factor, en_score, precision_of
from npusim.lab.repeatability import Repeated

RATES = (100.0, 400.0, 900.0, 1500.0, 2100.0)


def bench(rate: float, users: int, seed: int, **more: Any) -> dict[str, Any]:
    """A result of `vllm bench serve`, with errors of its own."""
    rate *= 1.0 + 0.002 * float(np.random.default_rng(seed).standard_normal())
    requests, seconds = 3 * users, 3 * users * 256 / rate
    token = 1e3 * users / rate
    told = {
        "date": f"202611{10 + seed % 19:02d}-110214", "backend": "vllm", "model_id": "llama-3.1-8b", "device": "h200",
        "precision": "bf16", "cards": 1, "num_prompts": requests, "request_rate": "inf", "max_concurrency": users,
        "duration": seconds, "completed": requests, "failed": 0, "total_input_tokens": 1024 * requests,
        "total_output_tokens": 256 * requests, "output_throughput": rate, "mean_ttft_ms": token, "mean_tpot_ms": token,
    }  # fmt: skip
    return told | more


def lab(folder: Path, factor: float, runs: int = 3, seed: int = 0, submission: str = "", **more: Any) -> Path:
    folder.mkdir()
    for index, rate in enumerate(RATES):
        for run in range(runs):
            own = bench(factor * rate, 2**index, seed + 10 * index + run, **more)
            (folder / f"{index}-{run}.json").write_text(json.dumps(own))
    if submission:
        (folder / "submission.yaml").write_text(submission)
    return folder


def repeated(*values: float) -> Repeated:
    return Repeated(tuple(map(Reading.exact, values)))


def test_en_is_that_of_iso_17043() -> None:
    assert en_score(100.0, 103.0, 3.0, 4.0) == pytest.approx(0.6)
    assert en_score(103.0, 100.0, 3.0, 4.0) == pytest.approx(0.6)
    assert en_score(1.0, 2.0, 0.0, 0.0) is None


def test_variances_are_those_of_iso_5725() -> None:
    """Balanced: s_L^2 = (s_d^2 - s_r^2) / n by hand, n = 2; two labs of (1, 3) and (11, 13)."""
    found = precision_of([repeated(1.0, 3.0), repeated(11.0, 13.0)])
    assert found is not None
    between = 2.0 * ((2.0 - 7.0) ** 2 + (12.0 - 7.0) ** 2)
    assert found.repeatability == pytest.approx(math.sqrt(2.0))
    assert found.reproducibility == pytest.approx(math.sqrt(2.0 + (between - 2.0) / 2.0))


def test_labs_that_agree_have_no_variance_between_them() -> None:
    found = precision_of([repeated(1.0, 3.0), repeated(2.0, 2.0)])
    assert found is not None and found.reproducibility == found.repeatability
    assert precision_of([repeated(1.0), repeated(2.0)]) is None


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=12), st.floats(0.5, 2.0))
def test_a_factor_moves_with_all_its_ratios(ratios: list[float], by: float) -> None:
    plain, moved = (common_factor(each, [None] * len(each)) for each in (ratios, [by * ratio for ratio in ratios]))
    assert plain is not None and moved is not None and None not in (plain.low, plain.high)
    assert moved.value == pytest.approx(by * plain.value, rel=1e-6)
    assert plain.low <= plain.value <= plain.high  # type: ignore[operator]
    assert min(ratios) * (1 - 1e-9) <= plain.value <= max(ratios) * (1 + 1e-9)


def test_one_outlier_hardly_moves_the_factor() -> None:
    ratios = [1.04, 1.05, 1.05, 1.06, 1.05, 30.0]
    found = common_factor(ratios, [None] * len(ratios))
    assert found is not None and found.value == pytest.approx(1.05, abs=0.02)
    assert np.mean(np.log(ratios)) > math.log(1.8)


def test_algorithm_a_of_clean_normal_values_is_their_mean() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    middle, spread = algorithm_a(values)
    assert middle == pytest.approx(5.0, abs=0.1) and spread == pytest.approx(2.0, rel=0.05)


def test_intervals_of_the_factor_hold_it_as_often_as_told() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        found = common_factor(np.exp(0.1 + rng.normal(0.0, 0.03, 6)).tolist(), [None] * 6)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= math.exp(0.1) <= found.high
    assert 0.90 <= held / 400 <= 0.995


def test_a_planted_factor_is_found(tmp_path: Path) -> None:
    one, other = lab(tmp_path / "a", 1.0), lab(tmp_path / "b", 1.05, seed=500)
    found = compare(one, other).answer
    factor = found["factor"]
    assert factor["low"] < 1.05 < factor["high"] and factor["value"] == pytest.approx(1.05, abs=0.005)
    assert not factor["low"] < 1.0 < factor["high"]
    assert factor["metric"] == "output_tokens_per_s" and factor["cells"] == len(RATES)
    rates = [pair for pair in found["pairs"] if pair["metric"] == "output_tokens_per_s"]
    assert [pair["cell"]["concurrency"] for pair in rates] == [1, 2, 4, 8, 16]
    for pair in rates:
        expected = abs(pair["x_a"] - pair["x_b"]) / math.hypot(pair["U_a"], pair["U_b"])
        assert pair["en"] == pytest.approx(expected) and pair["U_a"] == pytest.approx(2.0 * pair["u_a"])
        assert pair["en"] > 1.0 and pair["agrees"] is False
        assert pair["s_R"] > 5.0 * pair["s_r"]


def test_a_lab_agrees_with_itself(tmp_path: Path) -> None:
    found = compare(lab(tmp_path / "a", 1.0), lab(tmp_path / "b", 1.0, seed=500)).answer
    scores = [pair["en"] for pair in found["pairs"]]
    assert np.mean(np.array(scores) <= 1.0) > 0.8
    assert found["factor"]["low"] < 1.0 < found["factor"]["high"]


def test_single_runs_have_no_score_until_an_uncertainty_is_stated(tmp_path: Path) -> None:
    one = lab(tmp_path / "a", 1.0)
    bare, stated = lab(tmp_path / "b", 1.0, 1, 500), tmp_path / "c"
    lab(stated, 1.0, 1, 500, "uncertainty: {output_tokens_per_s: 0.01}\n")
    pairs = compare(one, bare).answer["pairs"]
    assert all(pair["en"] is None and str(bare) in pair["reason"] for pair in pairs)
    rates = [each for each in compare(one, stated).answer["pairs"] if each["metric"] == "output_tokens_per_s"]
    assert all(pair["en"] is not None and pair["u_b"] == pytest.approx(0.01 * pair["x_b"]) for pair in rates)


def test_cells_of_one_lab_are_told_with_the_reason(tmp_path: Path) -> None:
    one, other = lab(tmp_path / "a", 1.0), lab(tmp_path / "b", 1.0, seed=500, precision="fp8")
    found = compare(one, other).answer
    assert found["pairs"] == [] and found["factor"]["value"] is None
    assert len(found["unpaired"]) == 2 * len(RATES)
    assert all("precision" in each["reason"] for each in found["unpaired"])


def test_conditions_that_differ_are_told(tmp_path: Path) -> None:
    one = lab(tmp_path / "a", 1.0, kv_cache_dtype="bf16")
    other = lab(tmp_path / "b", 1.0, seed=500, kv_cache_dtype="fp8")
    assert all(
        pair["conditions_differ"] == ["kv_precision: bf16 and fp8"] for pair in compare(one, other).answer["pairs"]
    )


def test_a_measured_table_is_a_lab(tmp_path: Path) -> None:
    table = Path(__file__).resolve().parents[1] / "validation" / "data" / "h200" / "serving.csv"
    found = compare(table, table).answer
    assert found["pairs"] and found["unpaired"] == []
    assert found["factor"]["value"] == pytest.approx(1.0)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_says_what_the_answer_says(tmp_path: Path, language: str) -> None:
    one, other = lab(tmp_path / "a", 1.0), lab(tmp_path / "b", 1.05, seed=500)
    page = tmp_path / "page.html"
    found = compare(one, other, out=page, lang=language).answer
    text = page.read_text(encoding="utf-8")
    assert f"{found['factor']['value']:.4g}" in text and "E_n" in text
    assert ("시험 기관 간 비교" in text) == (language == "ko")


def test_the_command_prints_pairs_and_the_factor(tmp_path: Path) -> None:
    one, other = lab(tmp_path / "a", 1.0), lab(tmp_path / "b", 1.05, seed=500)
    done = tell("compare", one, other)
    assert done.code == 0, done.err
    assert "B over A in output_tokens_per_s: 1.0" in done.out


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        compare(tmp_path / "nowhere", tmp_path / "nowhere")
