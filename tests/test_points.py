"""Published points of any chip: what a row tells, what is skipped and why, and how far predictions are from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.evidence.measured.case import Case
from npusim.evidence.measured.component import numbers_of
from npusim.evidence.measured.importer import Imported, import_table
from npusim.evidence.measured.point_notes import read_note
from npusim.evidence.measured.tables import Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.static_batch import StaticBatchPredictor, answers
from npusim.evidence.predictors.step import StepPredictor
from npusim.evidence.validation.validate import predict_cases
from npusim.mapping.deployment import deploy
from npusim.workload.step import decode

DATA = Path(__file__).resolve().parent.parent / "validation" / "data" / "npus"
HEADER = "chip,cards,model,precision,isl,osl,concurrency,metric,value,unit,source,grade,note"
STEP = "Rebel100 (RBLN-CR03),1,gpt-oss-120b,MXFP4 weights,1024,,4,decode_step,7.2,ms,a,measured,"


def imported(folder: Path, *rows: str) -> Imported:
    path = folder / "points.csv"
    path.write_text("\n".join((HEADER, *rows, "")), encoding="utf-8")
    return import_table(path)


def reason(folder: Path, row: str) -> str:
    found = imported(folder, row)
    assert not found.cases
    return found.skips[0].reason


def test_a_step_is_the_engines(tmp_path: Path) -> None:
    case = imported(tmp_path, STEP).cases[0]
    assert case.measured == 7200.0 and case.main and case.metric == "decode_step"
    engine = AnalyticEngine(deploy("rebel100", "gpt-oss-120b", precision="mxfp4"), 4)
    predicted = case.predictor.predict(numbers_of("rebel100"), 0)[case.figure]
    assert predicted == pytest.approx(engine.cost(decode([1024] * 4)).time_s * 1e6, rel=1e-6)


def test_a_chunk_begins_after_what_is_cached(tmp_path: Path) -> None:
    row = STEP.replace(",4,decode_step,", ",1,prefill_chunk_1024,") + "on 2048 cached tokens"
    predictor = imported(tmp_path, row).cases[0].predictor
    assert isinstance(predictor, StepPredictor) and predictor.chunks == ((1024, 3072),)
    assert "is not the chunk" in reason(tmp_path, row.replace("prefill_chunk_1024", "prefill_chunk_512"))


def test_what_a_row_tells_of_its_run(tmp_path: Path) -> None:
    row = "Rebel100 (RBLN-CR03),1.0,gpt-oss-120b,,1224,162,0.73,tpot_mean,8.8,ms,a,b,"
    found = imported(tmp_path, row + '"open loop 0.5 req/s, 32 requests, max_num_seqs 8"').cases[0].predictor
    assert isinstance(found, RunPredictor)
    assert (found.rate_per_s, found.requests, found.isl, found.osl) == (0.5, 32, 1224, 162)
    assert found.placement.precision == "mxfp4", "untold: as the checkpoint has it"
    assert "below one" in reason(tmp_path, row)


def test_a_static_batch_ends_with_its_longest_answer(tmp_path: Path) -> None:
    row = "TPU v6e,1,Llama-3.2-1B-Instruct,BF16,165.6,299.6,16,{},{},{},a,b,static batches; mean longest output 715.1"
    told = (("batch_e2e_mean", 2000, "ms"), ("throughput_total", 2400, "tok/s"))
    cases = imported(tmp_path, *(row.format(*each) for each in told)).cases
    assert cases[0].predictor == cases[1].predictor == StaticBatchPredictor(
        cases[0].predictor.placement, 166, 299.6, 715, 16  # type: ignore[attr-defined]
    )  # fmt: skip
    figures = cases[0].predictor.predict(numbers_of("tpu-v6e"), 0)
    tokens = figures[cases[1].figure] * figures[cases[0].figure] / 1e3
    assert tokens == pytest.approx(16 * 299.6, rel=0.01)


@given(st.floats(1.0, 4000.0), st.integers(1, 4000), st.integers(1, 300))
def test_answers_have_their_mean_and_their_end(mean: float, longest: int, count: int) -> None:
    found = answers(mean, longest, count)
    assert len(found) == count and found.max() == longest and (np.diff(found) >= 0).all() and found.min() >= 1
    if count > 1 and longest / count < mean < longest:
        assert found.mean() == pytest.approx(mean, abs=1.0)


def test_keys_and_values_take_8_bits_where_a_batch_needs_it(tmp_path: Path) -> None:
    row = "Gaudi 3,1,Llama-2-7B,FP8,128,2048,{},throughput_total,6763,tok/s,{},vendor,static batch"
    for source, small, expected in (("one", 217, "fp8"), ("two", 8, None)):
        found = imported(tmp_path, row.format(8, source), row.format(small, source)).cases
        assert {case.predictor.placement.kv_precision for case in found} == {expected}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Rebel100 (RBLN-CR03)", "Rebel 999", "is not described"),
        ("Rebel100 (RBLN-CR03)", "Groq LPU", "is not described"),
        ("gpt-oss-120b", "GPT-7", "no shape of the model"),
        ("gpt-oss-120b", "-", "no model ran"),
        ("MXFP4 weights", "see tutorial", "no precision scheme"),
        ("decode_step", "power_at_noon", "not predicted"),
        ("decode_step", "batch_e2e_mean", "not predicted"),
        (",1024,,4,", ",,,4,", "isl is not given"),
        (",1024,,4,decode_step", ",0,16,4,tpot_mean", "no prompt or answer"),
        (",1024,,4,decode_step", ",99,-16,4,tpot_mean", "no prompt or answer"),
        (",1024,,4,", ",1024,,,", "concurrency is not given"),
        (",1,gpt", ",9,gpt", "cards"),
    ],
)
def test_what_cannot_be_represented_has_a_reason(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in STEP
    assert said in reason(tmp_path, STEP.replace(old, new))


def test_a_wrong_unit_is_a_mistake_of_its_line(tmp_path: Path) -> None:
    for row in (STEP, STEP.replace("decode_step", "tpot_mean").replace("1024,,", "1024,16,")):
        with pytest.raises(UserError, match=r"points\.csv:2: unit: 'W' is no unit"):
            imported(tmp_path, row.replace(",ms,", ",W,"))


def test_notes() -> None:
    plain = read_note("")
    assert not plain.together and {plain.requests, plain.rate_per_s, plain.longest, plain.cached} == {None}
    assert read_note("trn2, TP64; 50 requests; ").requests == 50
    assert read_note("burst of requests at the compiled batch; rate").together
    with pytest.raises(Unrepresentable, match="drafted"):
        read_note("draft-model speculation + quantised")


def _errors(name: str, chosen: str, least: int) -> np.ndarray:
    """Errors of the points whose metric begins so, of those that no number was fitted to."""
    cases = [case for case in import_table(DATA / f"{name}.csv").cases if case.metric.startswith(chosen)]
    predictions, _ = predict_cases([case for case in cases if _kept_aside(name, case)], 0)
    assert len(predictions) >= least
    return np.array([each.error for each in predictions])


def _kept_aside(name: str, case: Case) -> bool:
    told = case.predictor
    if name == "rebel100":
        return not (isinstance(told, StepPredictor) and told.context in (32, 128, 512, 2048, 8192))
    if name == "atom-plus":
        return getattr(told, "isl", 0) in (2000, 8000) and getattr(told, "users", 0) <= 16
    return name != "tpu-v6e" or getattr(told, "users", 0) == 16


@pytest.mark.parametrize(
    ("name", "metric", "least", "mean", "median"),
    [
        ("rebel100", "tpot_mean", 1, 0.12, 0.12),
        ("rebel100", "decode_step", 20, 0.12, 0.06),
        ("atom-plus", "throughput_total", 8, 0.12, 0.12),
        ("tpu-v6e", "", 8, 0.12, 0.12),
        ("trainium2", "tpot_p50", 2, 0.20, 0.20),
        ("inferentia2", "tpot_p50", 30, 0.20, 0.15),
    ],
)
def test_points_kept_aside_are_met(name: str, metric: str, least: int, mean: float, median: float) -> None:
    errors = np.abs(_errors(name, metric, least))
    assert errors.mean() <= mean and np.median(errors) <= median
