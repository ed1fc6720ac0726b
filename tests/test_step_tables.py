"""Step tables of any lab: read by their columns, questioned, and fitted to a chip that nobody described fully."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibration_support import STEPS
from cli_support import mistake, tell
from step_support import (
    CHUNKS,
    DECODING,
    HEADER,
    HELD_OUT,
    MODEL,
    PRECISION,
    hidden,
    noisy,
    times_at,
    told,
    values,
    wide_chip,
    write,
)

from npusim import api
from npusim.errors import UserError
from npusim.evidence.calibration.calibrate import FittedCalibration, fit_calibration
from npusim.evidence.calibration.calibration_file import write_calibration
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.importer import import_table
from npusim.evidence.measured.step_table import StepTable, step_cases
from npusim.evidence.predictors.step import StepPredictor
from npusim.hardware.catalog import load_system
from npusim.metrics import DECODE, PREFILL
from npusim.units import to_si

SEED = 2
ROWS = [*DECODING, *CHUNKS]
OTHERS = ("--model", MODEL, "--precision", PRECISION, "--tp", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("steps")
    wide_chip(made)
    return made


@pytest.fixture(scope="module")
def arch(folder: Path) -> str:
    return str(folder / "mine.yaml")


@pytest.fixture(scope="module")
def measured(folder: Path, arch: str) -> np.ndarray:
    """The hidden chip's times of ROWS, with noise."""
    return noisy(times_at(ROWS, hidden(SEED, arch), folder, arch), SEED)


@pytest.fixture(scope="module")
def found(folder: Path, arch: str, measured: np.ndarray) -> FittedCalibration:
    table = write(folder / "steps.csv", ROWS, measured)
    return fit_calibration([], arch, "fitted", "2026-11-30", steps=told(table))


def test_steps_that_were_not_measured_are_recovered(
    folder: Path, arch: str, found: FittedCalibration, tmp_path: Path
) -> None:
    """Of a chip whose memory is 20 % and whose clock is 15 % from the middle of what was guessed, by `calibration:`."""
    own = wide_chip(tmp_path)
    write_calibration(found.calibration, tmp_path / "fitted.yaml")
    truth = times_at(HELD_OUT, hidden(SEED, arch), folder, arch)
    for uncalibrated in (False, True):
        predicted = [
            api.step(
                own,
                MODEL,
                phase="prefill" if chunk else "decode",
                batch=batch,
                context=context,
                query=chunk or None,
                precision=PRECISION,
                uncalibrated=uncalibrated,
            ).time_us
            for batch, context, chunk in HELD_OUT
        ]
        worst = np.abs(np.array(predicted) / truth - 1.0).max()
        assert worst > 0.15 if uncalibrated else worst < 0.03


def test_intervals_hold_the_hidden_numbers(arch: str, found: FittedCalibration) -> None:
    truth, units = values(hidden(SEED, arch), arch), {name: each["unit"] for name, each in found.parameters.items()}
    outside = []
    for number in found.calibration.numbers:
        name = f"{number.owner}.{number.path}"
        low, high = to_si(number.low, units[name]), to_si(number.high, units[name])
        if not low <= truth[name] <= high:
            outside.append(name)
    assert outside == []
    assert found.parameters["mine.chip.memory.channel_bandwidth"]["identified"] < 0.3
    assert found.parameters["mine.chip.unit.clock"]["identified"] < 0.6


def test_errors_are_told_before_after_and_left_out(found: FittedCalibration) -> None:
    assert found.mape_after < 0.02 < 0.1 < found.mape_before
    assert found.mape_after <= found.left_out_mape < 0.04
    assert (found.misfits, found.stretched) == ((), ())
    assert {part.regime for part in found.calibration.left_out} == {DECODE, PREFILL}
    assert sum(part.figures for part in found.calibration.left_out if part.unseen == "group") == len(ROWS)
    assert found.calibration.source.endswith("/steps.csv (14 figures)")


def test_decoding_says_nothing_of_prompts(folder: Path, arch: str, measured: np.ndarray, tmp_path: Path) -> None:
    """The numbers of prompts' paths are one with those of decoding in the description, and stay as they are."""
    table = write(tmp_path / "decoding.csv", DECODING, measured[: len(DECODING)])
    out = tmp_path / "fitted.yaml"
    made = tell("calibrate", arch, "--steps", table, *OTHERS, "--out", out, "--date", "2026-11-30", "--json")
    assert made.code == 0, made.err
    answer = json.loads(made.out)
    of_prompts = [name for name in answer["unmoved"] if ".paths.chunk." in name]
    assert "vllm-tpu.paths.chunk.step_launch" in of_prompts
    assert "mine.chip.unit.row_granule" in answer["unmoved"]
    assert not [name for name in answer["parameters"] if ".paths.chunk." in name]
    assert {part["regime"] for part in answer["residuals"]} == {DECODE}
    assert answer["figures"] == len(DECODING)
    assert table.name in {each["file"] for each in answer["manifest"]["configs"]}
    (tmp_path / "mine.yaml").write_text(Path(arch).read_text(encoding="utf-8"), encoding="utf-8")
    widths = {
        (phase, uncalibrated): _width(tmp_path / "mine.yaml", phase, uncalibrated)
        for phase in (DECODE, PREFILL)
        for uncalibrated in (False, True)
    }
    assert widths[DECODE, False] < 0.4 * widths[DECODE, True]
    assert widths[PREFILL, False] > 0.7 * widths[PREFILL, True]


def _width(arch: Path, phase: str, uncalibrated: bool) -> float:
    made = api.step(
        str(arch),
        MODEL,
        phase=phase,  # type: ignore[arg-type]
        batch=4 if phase == DECODE else 1,
        context=2048,
        interval=True,
        precision=PRECISION,
        uncalibrated=uncalibrated,
    )
    assert isinstance(made.time_us, dict)
    return float(np.log(made.time_us["high"] / made.time_us["low"]))


def test_a_table_that_no_chip_within_the_ranges_gives_is_a_misfit(arch: str, tmp_path: Path) -> None:
    """Decoding three times slower than the slowest that is described, prompts as described."""
    rows = [(1, 128, 0), (16, 128, 0), (1, 512, 512), (1, 4096, 4096)]
    middle = times_at(rows, {}, tmp_path, arch)
    table = write(tmp_path / "slow.csv", rows, middle * [6.0, 6.0, 1.0, 1.0])
    found = fit_calibration([], arch, "slow", "2026-11-30", steps=told(table))
    assert found.misfits[0].group.endswith("decode, batch 1")
    assert found.misfits[0].worst > 2.0
    assert "times slower" in str(found.misfits[0])
    assert "mine.chip.memory.channel_bandwidth" in {each.number for each in found.stretched}
    assert "does not meet" in found.calibration.source and "beyond the described ranges" in found.calibration.source


@pytest.mark.parametrize(
    ("header", "factor", "said"),
    [
        (HEADER, 1e-3, "time_us: .* times less than the .* us predicted .*is the column in ms.*time_ms"),
        (HEADER, 1e3, "time_us: .* times more than the .* us predicted .*is the column in ns"),
        ("batch,context,chunk,latency(ms)", 1.0, r"latency\(ms\): .* is the column in us"),
        (HEADER, 1 / 8, "beat memory bandwidth of .* as described: the step needs .* reading its weights and KV"),
    ],
)
def test_times_that_cannot_be_are_questioned(
    arch: str, measured: np.ndarray, tmp_path: Path, header: str, factor: float, said: str
) -> None:
    table = write(tmp_path / "odd.csv", ROWS, measured * factor, header)
    with pytest.raises(UserError, match=said):
        fit_calibration([], arch, "odd", "2026-11-30", steps=told(table))


def test_prompts_faster_than_the_dense_peak_are_questioned(arch: str, tmp_path: Path) -> None:
    rows = [(1, 4096, 4096)]
    table = write(tmp_path / "odd.csv", rows, times_at(rows, {}, tmp_path, arch) / 4.0)
    with pytest.raises(UserError, match=r"odd.csv:2: time_us: .* beat arithmetic .* at the dense peak"):
        fit_calibration([], arch, "odd", "2026-11-30", steps=told(table))


def test_one_row_in_another_unit_is_named(arch: str, measured: np.ndarray, tmp_path: Path) -> None:
    times = measured.copy()
    times[3] /= 1e3
    table = write(tmp_path / "odd.csv", ROWS, times)
    with pytest.raises(UserError, match=r"odd.csv:5: .*1 of 14 rows are far off.*is the column in ms"):
        fit_calibration([], arch, "odd", "2026-11-30", steps=told(table))


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        ([HEADER, "1,128,0,3000"], {"model": None}, "steps.csv:2: model: is told neither .* --model"),
        ([HEADER, "1,128,0,3000"], {"precision": None}, "steps.csv:2: precision: is told neither .* --precision"),
        ([HEADER, "1,128,0,3000"], {"tensor_parallel": None}, "steps.csv:2: tp: is told neither .* --tp"),
        (["model," + HEADER, "qwen2.5-0.5b,1,128,0,3000"], {}, "model: the row says qwen2.5-0.5b, --model says llama"),
        (["dtype," + HEADER, "fp8,1,128,0,3000"], {}, "dtype: the row says fp8, --precision says bf16"),
        (["tp," + HEADER, "2,1,128,0,3000"], {}, "tp: the row says 2 chips, --tp says 1"),
        (["chip," + HEADER, "H200,1,128,0,3000"], {}, "chip: was measured on H200, not on mine"),
        ([HEADER, "1,128,0,fast"], {}, "steps.csv:2: time_us: 'fast' is no number; write a time in us"),
        ([HEADER, "1,128,0,0"], {}, "steps.csv:2: time_us: 0 is no time of a step"),
        ([HEADER, "1,128,0,-4"], {}, "steps.csv:2: time_us: -4 is no time of a step"),
        ([HEADER, "1,128,0,nan"], {}, "time_us: 'nan' is no number"),
        ([HEADER, "1,,0,3000"], {}, "steps.csv:2: context: is blank; write a whole number"),
        ([HEADER, "1.5,128,0,3000"], {}, "steps.csv:2: batch: '1.5' is no whole number"),
        ([HEADER, "1,128,512,3000"], {}, "context: 128 tokens do not hold the 512 new ones; .*`past`"),
        ([HEADER, "1,999999,0,3000"], {}, "steps.csv:2: 999,999 tokens are more than llama-3.2-1b takes"),
        ([HEADER, "1,128,0,3000", "1,128,0,3000"], {}, "steps.csv:3: says the same as .*steps.csv:2"),
        ([HEADER, "1,128,0,3000", "1,128,0,9000"], {}, "steps.csv:3: the same step .* took 9,000 us here and 3,000"),
        (["batch,context,chunk,latency", "1,128,0,3000"], {}, "latency: has no unit; .*latency_us"),
        (["batch,context,chunk,us,ms", "1,128,0,3000,3"], {}, "has 2 columns of times, us and ms"),
        (["batch,context,ctx,us", "1,128,128,3000"], {}, "ctx: says what context says"),
        (["batch,context,chunk", "1,128,0"], {}, "has no column of times"),
        (["batch,context,past,us", "1,128,128,3000"], {}, "past: makes 129 tokens with the 1 new ones, the context"),
        (["cards,tp," + HEADER, "4,1,1,128,0,3000"], {}, "cards: hold 4 chips, tp says 1"),
        (["size,context,us", "1,128,3000"], {}, "says nothing of batch; name the columns"),
        (["phase," + HEADER, "warmup,1,128,0,3000"], {}, "phase: 'warmup' is no phase; write decode or prefill"),
        (["regime," + HEADER, "cold,1,128,0,3000"], {}, "regime: 'cold' is no regime"),
        ([HEADER, "1,128,0,3000"], {"runtime": "no-such"}, "cannot be predicted: .*no-such"),
        ([HEADER], {}, "has no data rows"),
    ],
)
def test_a_mistake_names_row_column_and_mend(
    arch: str, tmp_path: Path, lines: list[str], options: dict[str, Any], said: str
) -> None:
    path = tmp_path / "steps.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=said):
        step_cases(replace(told(path), **options), arch)


def test_a_mistake_is_one_line_and_leaves_no_file(arch: str, tmp_path: Path) -> None:
    table, out = tmp_path / "steps.csv", tmp_path / "o.yaml"
    table.write_text(f"{HEADER}\n1,128,0,3000\n", encoding="utf-8")
    steps = ("--steps", table)
    assert "model: is told neither" in mistake("calibrate", arch, *steps, "--out", out)
    assert "--arch: is missing" in mistake("calibrate", *steps, *OTHERS, "--out", out)
    assert "--arch: is missing" in mistake("calibrate", arch, "other.csv", *steps, *OTHERS, "--out", out)
    assert "TABLE.csv: is missing" in mistake("calibrate", "--arch", arch, "--out", out)
    assert "would count twice" in mistake("calibrate", table, "--arch", arch, *steps, *OTHERS, "--out", out)
    assert "--tp: applies to --steps alone" in mistake("calibrate", table, "--arch", arch, "--tp", "1", "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "told_beside",
    [
        {"kv_precision": "fp8"},
        {"precision": "fp8"},
        {"tensor_parallel": 2},
        {"runtime": "cuda-graph-engine"},
        {"model": "qwen2.5-0.5b"},
        {"with_host": True},
    ],
    ids=lambda each: next(iter(each)),
)
def test_what_is_told_beside_moves_the_prediction(tmp_path: Path, told_beside: dict[str, Any]) -> None:
    path = write(tmp_path / "steps.csv", [(8, 1024, 0)], [3000.0])
    tables = (told(path), replace(told(path), **told_beside))
    numbers = Numbers.of(load_system("h200", uncalibrated=True))
    plain, other = (step_cases(each, "h200").cases[0].predictor.predict(numbers, 0)["us"] for each in tables)
    assert abs(other / plain - 1.0) > 0.001


def test_a_step_measured_again_counts_as_one(arch: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(f"{HEADER}\n1,128,0,3000\n1,128,0,3100\n4,128,0,3200\n", encoding="utf-8")
    runs = [case.run for case in step_cases(told(path), arch).cases]
    assert runs[0] == runs[1] != runs[2]


PASSES = [(4, 1024, ()), (0, 0, ((512, 512),)), (0, 0, ((512, 1536),))]
"""Decoding, a prompt, and a chunk of one over 1,024 earlier tokens."""
SAME = {
    "plain": "batch,context,chunk,time_us\n4,1024,0,3000\n1,512,512,9000\n1,1536,512,9900\n",
    "past": "Batch_Size,past,query,latency_ms\n4,1023,1,3\n1,0,512,9\n1,1024,512,9.9\n",
    "own steps": (
        "regime,phase,model,dtype,tp,batch,q_len,ctx,us,us_p5,us_p95,power_w,sm_clock_mhz\n"
        "sustained,decode,llama-3.2-1b,bf16,1,4,1,1024,3000,2990,3010,,\n"
        "sustained,prefill,llama-3.2-1b,bf16,1,1,512,512,9000,8990,9010,,\n"
        "sustained,prefill,llama-3.2-1b,bf16,1,1,512,1536,9900,9890,9910,,\n"
    ),
    "own mixed": (
        "model,dtype,decode_batch,ctx,chunk,chunk_ctx,us\nllama-3.2-1b,bf16,4,1024,0,0,3000\n"
        "llama-3.2-1b,bf16,0,1024,512,512,9000\nllama-3.2-1b,bf16,0,1024,512,1536,9900\n"
    ),
    "points": (
        "chip,cards,model,precision,isl,osl,concurrency,metric,value,unit,source\n"
        "mine,1,llama-3.2-1b,bf16,1024,,4,decode_step,3,ms,LLMServingSim\n"
        "mine,1,llama-3.2-1b,bf16,1024,128,4,tpot_mean,9,ms,LLMServingSim\n"
        "mine,1,llama-3.2-1b,bf16,512,,1,prefill_chunk_512,9000,us,LLMServingSim\n"
        "mine,1,llama-3.2-1b,bf16,1536,,1,prefill_chunk_512,9.9,ms,LLMServingSim\n"
    ),
}


@pytest.mark.parametrize("form", SAME)
def test_every_way_of_telling_gives_the_same_steps(arch: str, tmp_path: Path, form: str) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(SAME[form], encoding="utf-8")
    read = step_cases(told(path), arch)
    assert read.skipped == (1 if form == "points" else 0)
    assert [round(case.measured, 6) for case in read.cases] == [3000.0, 9000.0, 9900.0]
    predictors = [case.predictor for case in read.cases]
    assert all(isinstance(each, StepPredictor) for each in predictors)
    assert [(each.decoding, each.context, each.chunks) for each in predictors] == PASSES  # type: ignore[attr-defined]
    assert [each.runtime for each in predictors] == ["vllm-tpu"] * 3


def _parts(times_ns: dict[str, float], tokens: int = 1, past: int = 127) -> list[str]:
    return [f"{name},{tokens},{past},1,{time:g}" for name, time in times_ns.items()]


def test_parts_of_a_layer_are_summed_to_a_step(arch: str, tmp_path: Path) -> None:
    """LLMServingSim's columns: 16 layers of 1B parameters, and what stands before and behind them once."""
    times = {"embedding": 1e3, "attn": 2e3, "gate_proj": 1e5, "final_layernorm": 3e3, "lm_head": 9e5}
    path = tmp_path / "layers.csv"
    header = "layer_name,input,kv_cache,tp_size,latency(ns)"
    path.write_text("\n".join([header, *_parts(times), *_parts(times, 256, 0)]) + "\n", encoding="utf-8")
    cases = step_cases(StepTable(path, MODEL, PRECISION), arch).cases
    assert [case.measured for case in cases] == [pytest.approx(1.0 + 16 * 102.0 + 3.0 + 900.0)] * 2
    shapes = [(each.predictor.decoding, each.predictor.context, each.predictor.chunks) for each in cases]  # type: ignore[attr-defined]
    assert shapes == [(1, 128, ()), (0, 0, ((256, 256),))]
    path.write_text("\n".join([header, *_parts(times | {"attn": 1.0})]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"layers.csv:3: attn: has no time of its own"):
        step_cases(StepTable(path, MODEL, PRECISION), arch)


@pytest.mark.parametrize(("name", "chips"), [("steps", None), ("mixed_steps", 1)])
def test_our_own_tables_are_read_as_their_kind_reads_them(name: str, chips: int | None) -> None:
    path = STEPS.parent / f"{name}.csv"
    read = step_cases(StepTable(path, tensor_parallel=chips, runtime="cuda-graph-engine"), "h200")
    own = [case for case in import_table(path, "h200").cases if case.metric == "us"]
    assert [(case.measured, case.model, case.dimensions["phase"]) for case in read.cases] == [
        (case.measured, case.model, case.dimensions["phase"]) for case in own
    ]
    steps = [[each.predictor.step() for each in cases] for cases in (read.cases, own)]  # type: ignore[attr-defined]
    for mine, theirs in zip(*steps, strict=True):
        assert np.array_equal(mine.query, theirs.query) and np.array_equal(mine.context, theirs.context)
