"""Import of measured tables: kinds by columns, one clear line for a broken table, a reason for every skipped row."""

from __future__ import annotations

import csv
import math
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.component import numbers_of
from npusim.evidence.measured.importer import Imported, import_table
from npusim.evidence.measured.operator_rows import op_row
from npusim.evidence.measured.placement import Placement, measured_deployment, scheme
from npusim.evidence.measured.sources import sources, with_percentiles
from npusim.evidence.predictors.loop import LoopPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.step import StepPredictor
from npusim.hardware.catalog import load_system
from npusim.hardware.runtime_record import ATTENTION_RAGGED
from npusim.mapping.optable import ATTENTION
from npusim.workload.lengths import Lengths, draw_lengths
from npusim.workload.lognormal import lognormal_lengths

DATA = Path(__file__).resolve().parent.parent / "validation" / "data"
KINDS = {
    "h200/ops": "operators",
    "h200/steps": "steps",
    "h200/mixed_steps": "mixed_steps",
    "h200/serving": "serving",
    "h200/serving_steps": "serving_steps",
    "h200/vllm_serving": "vllm_serving",
    "h200/vllm_mechanics": "vllm_serving",
    "h200/vllm_apart": "vllm_serving",
    "h200/vllm_between": "vllm_serving",
    "h200/vllm_linear": "operators",
    "h200/vllm_long_prompts": "vllm_serving",
    "h200/vllm_speculative": "vllm_serving",
    "rngd/kernels": "card_kernels",
    "rngd/layers_etri": "card_layers",
    "rngd/serving": "published_serving",
    "rngd/sweeps": "published_serving",
    "gpu_public/rtx_serving": "published_serving",
    "gpu_public/h200_gemm": "public_gemm",
    "gpu_public/h200_context_attention": "public_attention",
    "gpu_public/h200_generation_attention": "public_attention",
    "gpu_public/h200_nccl": "public_collectives",
    "gpu_public/h200_serving_endtoend": "served_models",
    "npus/atom-plus": "points",
    "npus/gaudi-3": "points",
    "npus/inferentia2": "points",
    "npus/rebel100": "points",
    "npus/tpu-v6e": "points",
    "npus/trainium2": "points",
}


def table(name: str) -> Path:
    return DATA / f"{name}.csv"


@pytest.fixture(scope="module")
def imported() -> dict[str, Imported]:
    return {name: import_table(table(name)) for name in KINDS}


def rewritten(name: str, folder: Path, change: object = None, file: str = "") -> Path:
    """A copy of a shipped table whose list of rows (header first) went through `change`."""
    with table(name).open(newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))
    rows = change(rows) if callable(change) else rows
    path = folder / (file or table(name).name)
    with path.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows(rows)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_every_row_is_a_case_or_has_a_reason(name: str, imported: dict[str, Imported]) -> None:
    found = imported[name]
    assert found.table.kind == KINDS[name]
    scored, skipped = {case.row for case in found.cases}, {skip.row for skip in found.skips}
    assert scored | skipped == set(range(len(found.table.frame)))
    assert not scored & skipped
    assert all(skip.reason for skip in found.skips)
    assert all(case.measured > 0.0 and case.sigma > 0.0 and case.group and case.dimensions for case in found.cases)


@pytest.mark.parametrize("name", KINDS)
def test_one_main_figure_a_row(name: str, imported: dict[str, Imported]) -> None:
    found = imported[name]
    rows = Counter(case.row for case in found.cases if case.main)
    assert set(rows.values()) <= {1}
    told = {case.metric for case in found.cases if case.main}
    assert told <= {found.main_metric} or found.kind.name == "points", "a point is a main figure, whatever it measures"


def test_extra_columns_do_not_change_the_kind(tmp_path: Path) -> None:
    path = rewritten("h200/steps", tmp_path, lambda rows: [[*rows[0], "remark"], *([*row, "x"] for row in rows[1:])])
    assert import_table(path, "h200").kind.name == "steps"


def test_an_operator_moves_what_its_table_says(imported: dict[str, Imported]) -> None:
    found = imported["h200/ops"]
    cells = found.table.frame
    for case in found.cases:
        predictor = case.predictor
        assert isinstance(predictor, OperatorPredictor)
        row = op_row(predictor.fields)[0]
        moved = row["weight_bytes"] + row["kv_read_bytes"] + row["activation_bytes"]
        told = float(cells["bytes"][case.row])
        assert moved == pytest.approx(told, rel=1e-3), case.dimensions
        if case.dimensions["op"] in ("gemm", "grouped_gemm_up", "grouped_gemm_down", "attn_decode", "attn_chunk"):
            assert row["flops"] == pytest.approx(float(cells["flops"][case.row]), rel=1e-6), case.dimensions


def test_windows_bound_public_attention(imported: dict[str, Imported]) -> None:
    for case in imported["gpu_public/h200_generation_attention"].cases:
        assert isinstance(case.predictor, LoopPredictor)
        row = op_row(case.predictor.operators[0].fields)[0]
        window = int(case.dimensions["window"])
        context = int(case.dimensions["context"])
        assert row["kind"] == ATTENTION
        assert row["kv"] == (min(window, context) if window else context)


def test_reasons_of_skipped_operators(imported: dict[str, Imported]) -> None:
    found = imported["h200/ops"]
    reasons = Counter(skip.reason for skip in found.skips)
    told = Counter(found.table.frame["op"])
    scored = Counter(case.dimensions["op"] for case in found.cases)
    assert {op: told[op] - scored[op] for op in told if told[op] > scored[op]} == {"copy": 4}
    assert reasons == {"a copy of 1 GiB or more, which no kernel of the vector libraries makes": 4}


def test_a_grouped_product_needs_to_say_what_it_hit(tmp_path: Path) -> None:
    def unsaid(rows: list[list[str]]) -> list[list[str]]:
        note = rows[0].index("note")
        return [rows[0], *([*row[:note], row[note].replace("hit=", ""), *row[note + 1 :]] for row in rows[1:])]

    reasons = Counter(skip.reason for skip in import_table(rewritten("h200/ops", tmp_path, unsaid), "h200").skips)
    assert reasons["the note does not say how many experts were hit"] == 52


def test_reasons_of_skipped_published_rows(imported: dict[str, Imported]) -> None:
    found = imported["rngd/serving"]
    reason = {skip.row: skip.reason for skip in found.skips}
    frame = found.table.frame
    for row in range(len(frame)):
        if frame["lab"][row] == "vendor":
            assert reason[row] == "a claim, not a third party's measurement"
        elif "ABNORMAL" in frame["notes"][row]:
            assert "abnormal" in reason[row]
        elif not frame["osl"][row] and frame["model"][row]:
            assert reason[row] == "osl is not given"
    assert sum("contradicts it" in told for told in reason.values()) == 3


def test_unknown_chips_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rtx_serving.csv"
    path.write_text((DATA / "gpu_public" / "rtx_serving.csv").read_text().replace("RTX A6000", "RTX A5999"))
    found = import_table(path)
    assert {case.predictor.arch for case in found.cases} == {"rtx-pro-6000"}
    assert "the chip 'RTX A5999' is not described" in {skip.reason for skip in found.skips}


def test_one_prompt_for_all_is_told_by_the_source(imported: dict[str, Imported]) -> None:
    found = imported["gpu_public/rtx_serving"]
    same = {(case.predictor.arch, case.predictor.same_prompt) for case in found.cases}
    assert same == {("rtx-a6000", True), ("rtx-pro-6000", False)}


def test_rows_of_a_run_share_a_predictor_and_power_once(imported: dict[str, Imported]) -> None:
    runs: dict[str, list[Case]] = {}
    for case in imported["rngd/serving"].cases:
        runs.setdefault(case.run, []).append(case)
    for cases in runs.values():
        assert len({id(case.predictor) for case in cases}) == 1
        assert sum(case.metric == "power_w" for case in cases) <= 1
    assert any(case.metric == "power_w" for cases in runs.values() for case in cases)


def test_seconds_become_milliseconds(imported: dict[str, Imported]) -> None:
    found = imported["rngd/serving"]
    units, values = found.table.frame["unit"], found.table.frame["value"]
    for case in found.cases:
        if case.metric.startswith("ttft"):
            scale = 1e3 if units[case.row] == "s" else 1.0
            assert case.measured == pytest.approx(float(values[case.row]) * scale)
            assert case.figure.startswith("ttft_ms_")


def test_traces_and_repeated_prompts_are_told_by_their_notes(imported: dict[str, Imported]) -> None:
    for case in imported["rngd/serving"].cases:
        assert isinstance(case.predictor, RunPredictor)
        assert case.predictor.traced == (case.dimensions["lab"] == "heteropilot")
        if case.dimensions["isl"] == "1024" and case.dimensions["precision"] == "BF16":
            assert case.predictor.same_prompt
        if case.metric == "throughput_total":
            steady = case.predictor.traced or case.predictor.windowed
            assert case.figure == ("steady_" if steady else "") + "output_tokens_per_s"


def test_bursts_end_before_the_power_limit_acts(imported: dict[str, Imported]) -> None:
    for case in imported["h200/steps"].cases:
        assert isinstance(case.predictor, StepPredictor)
        assert case.predictor.capped == (case.dimensions["regime"] == "sustained")


def broken(path: Path, arch: str | None = None) -> str:
    """The one line that a mistake is told in."""
    with pytest.raises(UserError) as caught:
        import_table(path, arch)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_cut_row_is_told_with_its_line(tmp_path: Path) -> None:
    path = rewritten("h200/steps", tmp_path, lambda rows: [*rows[:6], rows[6][:5], *rows[7:]])
    assert f"{path}:7: has 5 fields instead of 13" in broken(path, "h200")


@pytest.mark.parametrize("text", ["", "regime,phase\n", "\n\n"])
def test_an_empty_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(text)
    assert "has no " in broken(path)


def test_what_is_no_table(tmp_path: Path) -> None:
    picture = tmp_path / "picture.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    assert "is not UTF-8 text" in broken(picture)
    assert "cannot be read" in broken(tmp_path / "missing.csv")
    twice = tmp_path / "twice.csv"
    twice.write_text("a,a\n1,2\n")
    assert "one name for each column" in broken(twice)


def test_another_unit_in_the_header(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> list[list[str]]:
        return [["ms" if name == "us" else name for name in rows[0]], *rows[1:]]

    assert "the nearest, steps, also has us" in broken(rewritten("h200/steps", tmp_path, change))


def test_another_unit_in_a_row(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> list[list[str]]:
        unit, metric = rows[0].index("unit"), rows[0].index("metric")
        assert rows[1][metric] == "ttft_p50"
        rows[1][unit] = "minutes"
        return rows

    path = rewritten("rngd/serving", tmp_path, change)
    assert f"{path}:2: unit: 'minutes' is no unit of ttft_p50; use ms or s or" in broken(path)


@pytest.mark.parametrize("value", ["fast", "-3", "0", "nan", "inf"])
def test_a_measured_value_that_is_none(tmp_path: Path, value: str) -> None:
    def change(rows: list[list[str]]) -> list[list[str]]:
        rows[3][rows[0].index("us")] = value
        return rows

    path = rewritten("h200/steps", tmp_path, change)
    assert f"{path}:4: us: '{value}' is no " in broken(path, "h200")


def test_a_formula_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> list[list[str]]:
        del rows[4:]
        rows[3][rows[0].index("batch")] = "=1+1"
        return rows

    path = rewritten("rngd/kernels", tmp_path, change)
    assert f"{path}:4: batch: '=1+1' is a formula" in broken(path, "rngd")


def test_tables_that_are_evidence_are_refused_with_the_known_kinds(tmp_path: Path) -> None:
    line = broken(table("h200/power_ops"))
    assert "power of single operators (evidence for parameters)" in line
    assert "steps" in line
    micro = tmp_path / "micro.csv"
    micro.write_text("group,kind,conditions,metric,value,unit\nx,dma,1 PE,rate,213,GB/s\n")
    assert "micro-measurements as published" in broken(micro)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    assert "its columns are those of no kind of table" in broken(other)


def test_the_architecture_of_a_table(tmp_path: Path, imported: dict[str, Imported]) -> None:
    assert {case.predictor.arch for case in imported["h200/ops"].cases} == {"h200"}
    assert {case.predictor.arch for case in imported["gpu_public/h200_gemm"].cases} == {"h200"}
    assert {case.predictor.arch for case in imported["rngd/serving"].cases} == {"rngd"}
    path = rewritten("h200/steps", tmp_path)
    assert "give --arch" in broken(path)
    assert {case.predictor.arch for case in import_table(path, "h100").cases} == {"h100"}
    assert "was measured on a gpu, rngd is a contraction_processor" in broken(path, "rngd")
    assert "unknown architecture" in broken(path, "h201")


def test_rows_of_other_chips_are_skipped_under_a_named_architecture(tmp_path: Path) -> None:
    found = import_table(table("rngd/serving"), "rngd-plus")
    assert {case.predictor.arch for case in found.cases} == {"rngd-plus"}


UNKNOWN = {"model": "llama-9", "dtype": "fp3", "regime": "cold", "phase": "idle", "batch": "two"}


def test_an_unknown_word_is_a_reason(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> list[list[str]]:
        for index, (column, word) in enumerate(UNKNOWN.items(), start=1):
            rows[index][rows[0].index(column)] = word
        return rows

    skips = import_table(rewritten("h200/steps", tmp_path, change), "h200").skips
    assert [skip.row for skip in skips] == list(range(len(UNKNOWN)))
    for skip, word in zip(skips, UNKNOWN.values(), strict=True):
        assert word in skip.reason


def test_numbers_apply_without_touching_what_they_came_from() -> None:
    numbers = Numbers.of(load_system("h200"))
    predictor = next(case.predictor for case in import_table(table("h200/steps")).cases)
    assert isinstance(predictor, StepPredictor)
    before = numbers.machine.tobytes()
    deployment = measured_deployment(predictor.placement)
    numbers.runtimes["cuda-graph-engine"]["host_step_time"] = 0.5
    applied = numbers.apply(deployment)
    assert applied.runtime_record["attention_shapes"][0] == ATTENTION_RAGGED
    assert applied.runtime_record["host_step_time"][0] == 0.5
    assert deployment.runtime_record["host_step_time"][0] != 0.5
    predictor.predict(numbers, 0)
    assert numbers.machine.tobytes() == before


def test_lengths_of_a_trace() -> None:
    lengths = lognormal_lengths(632.0, 0.7, 101, seed=3)
    assert np.median(lengths) == 632
    assert np.log(lengths).std() == pytest.approx(0.7, rel=0.1)
    assert (lognormal_lengths(632.0, 0.7, 101, seed=3) == lengths).all()
    assert not (lognormal_lengths(632.0, 0.7, 101, seed=4) == lengths).all()
    assert (lognormal_lengths(100.0, 0.0, 4) == 100).all()


def test_a_timing_is_as_sure_as_its_percentiles() -> None:
    assert with_percentiles(0.01, 100.0, None, None) == 0.01
    assert with_percentiles(0.0, 100.0, 95.0, 105.0) == pytest.approx(0.0304, rel=0.01)
    assert with_percentiles(0.01, 100.0, 100.0, 100.0) == 0.01


def test_a_lab_that_is_not_listed_is_doubted_more() -> None:
    known = sources()
    assert known.lab("heteropilot").figure.value < known.lab("somebody").figure.value
    assert {lab.name for lab in known.labs} == {"SOTA-PNU", "heteropilot"}


def test_a_prompt_that_was_served_before_is_found_from_the_first_request_on() -> None:
    predictor = next(
        case.predictor
        for case in import_table(table("rngd/serving")).cases
        if isinstance(case.predictor, RunPredictor) and case.predictor.same_prompt and case.predictor.users == 2.0
    )
    numbers = Numbers.of(load_system("rngd"))
    figures = predictor.predict(numbers, 0)
    assert figures["ttft_ms_p95"] < 3.0 * figures["ttft_ms_p50"]
    cold = replace(predictor, same_prompt=False).predict(numbers, 0)
    assert cold["ttft_ms_p50"] > 2.0 * figures["ttft_ms_p50"]


def test_served_models_run_under_their_plan(imported: dict[str, Imported], tmp_path: Path) -> None:
    found = imported["gpu_public/h200_serving_endtoend"]
    for case in found.cases:
        assert isinstance(case.predictor, RunPredictor)
        plan = measured_deployment(case.predictor.placement).plan
        assert str(plan.chips) == case.dimensions["gpus"]
    spread = rewritten(
        "gpu_public/h200_serving_endtoend",
        tmp_path,
        lambda rows: [
            rows[0],
            ["h200", "8", "trtllm", "", "openai/gpt-oss-120b", "fp4", "64", "8", "2", "1", "8", "9", "3"],
            ["h200", "8", "trtllm", "", "openai/gpt-oss-120b", "fp4", "64", "8", "2", "1", "3", "9", "3"],
            ["h200", "16", "trtllm", "", "openai/gpt-oss-120b", "fp4", "64", "8", "2", "1", "1", "9", "3"],
            ["h200", "8", "unheard-of", "", "openai/gpt-oss-120b", "fp4", "64", "8", "2", "1", "8", "9", "3"],
        ],
    )
    found = import_table(spread)
    (case, _) = found.cases
    assert isinstance(case.predictor, RunPredictor)
    assert measured_deployment(case.predictor.placement).plan.name == "TP8 EP8"
    assert "EP must divide TP x DP" in found.skips[0].reason
    assert case.predictor.runtime == "tensorrt-llm"
    assert "joins at most 8" in found.skips[1].reason
    assert "no runtime describes 'unheard-of'" in found.skips[2].reason


def test_lengths_of_a_mixed_run_are_drawn_up_to_its_own(imported: dict[str, Imported]) -> None:
    predictor = imported["gpu_public/h200_serving_endtoend"].cases[0].predictor
    assert isinstance(predictor, RunPredictor)
    spreads = predictor.spread({"least_length": 0.8})
    lengths = draw_lengths(*(Lengths(*each) for each in zip((predictor.isl, 1000), spreads, strict=True)), 4000, 7)
    low = math.ceil(0.8 * predictor.isl), 800
    assert (lengths.min(axis=0) >= low).all() and (lengths.max(axis=0) <= (predictor.isl, 1000)).all()
    assert lengths.mean(axis=0) == pytest.approx([0.9 * predictor.isl, 900], rel=0.01)


def test_figures_of_several_metrics_in_one_column_are_judged_each_among_its_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert import_table(DATA / "rngd" / "serving.csv", "rngd").cases


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("sm_clock_mhz", "abc", "'abc' is among numbers"),
        ("sm_clock_mhz", "-1", "-1 alone is below zero"),
        ("sm_clock_mhz", "unknown", ""),
    ],
)
def test_an_odd_cell_of_a_column_that_nothing_reads_is_told(column: str, text: str, told: str, tmp_path: Path) -> None:
    with (DATA / "h200" / "steps.csv").open(newline="", encoding="utf-8") as source:
        rows = [row | {column: "1755"} for row in list(csv.DictReader(source))[:8]]
    rows[3][column] = text
    with (tmp_path / "steps.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        import_table(tmp_path / "steps.csv", "h200")
    lines = [str(each.message) for each in said]
    assert [line for line in lines if f"steps.csv:5: {column}: " in line and told in line] == (lines if told else [])
    assert bool(lines) == bool(told)


def test_a_budget_that_the_run_tells_is_that_of_its_server(imported: dict[str, Imported]) -> None:
    """Numbers that are drawn or fitted replace those of the runtime, not those of the run."""
    seen = set()
    for case in imported["h200/vllm_serving"].cases:
        assert isinstance(case.predictor, RunPredictor)
        deployment = measured_deployment(case.predictor.placement)
        applied = Numbers.of(deployment.system).apply(deployment)
        assert applied.runtime_record["policy_token_budget"][0] == float(case.dimensions["budget"])
        seen.add(case.dimensions["budget"])
    assert seen == {"2048", "8192"}


def test_only_what_was_timed_of_a_layer_is_scored(imported: dict[str, Imported]) -> None:
    found = imported["rngd/layers_etri"]
    tokens: dict[str, list[int]] = {}
    for case in found.cases:
        tokens.setdefault(case.dimensions["op"], []).append(int(case.dimensions["tokens"]))
    assert tokens == {part: [1, 128, 256, 512, 1024] for part in ("layer_dense", "lm_head")}
    assert next(case for case in found.cases if case.row == 9).measured == pytest.approx(373.361)


def test_a_run_has_the_requests_that_its_source_tells(imported: dict[str, Imported]) -> None:
    told = {case.dimensions["concurrency"]: case.predictor for case in imported["rngd/sweeps"].cases}
    requests = {users: found.requests for users, found in told.items() if isinstance(found, RunPredictor)}
    assert requests == {"1": 50, "2": 50, "4": 50, "8": 50, "16": 64, "32": 128, "64": 256, "128": 512}
    assert all(found.same_prompt for found in told.values() if isinstance(found, RunPredictor))
    untold = {
        case.predictor.requests for case in imported["rngd/serving"].cases if isinstance(case.predictor, RunPredictor)
    }
    assert None in untold


def test_prompts_on_another_card_are_those_of_two_servers(imported: dict[str, Imported]) -> None:
    """Rows of two cards that hand over KV caches are none of one: the watts are of both, and KV takes its time."""
    found = imported["h200/vllm_apart"]
    apart = next(case.predictor for case in found.cases if case.dimensions["isl"] == "4096")
    assert isinstance(apart, RunPredictor) and apart.link == "nvlink-4" and not found.skips
    numbers = numbers_of("h200")
    two, one = apart.predict(numbers, 0), replace(apart, link="").predict(numbers, 0)
    assert two["power_w_mean"] > one["power_w_mean"] + 60.0
    record = measured_deployment(apart.placement).runtime_record[0]
    moved_s = record["connector_setup_time"] + 256 * 32 * record["connector_block_time"]
    moved_s += 4096 * 2 * 2 * 32 * 8 * 128 / record["connector_rate"]
    later_ms = two["ttft_ms_mean"] - one["ttft_ms_mean"]
    assert later_ms == pytest.approx(1e3 * moved_s + one["tpot_ms_mean"], abs=5.0)


def test_arrivals_of_a_measured_run_are_not_known() -> None:
    """A prediction is their mean over sequences; a draw of the numbers has a sequence of its own."""
    placement = Placement("h200", "vllm-0.24", "llama-3.1-8b", scheme("bf16"))
    numbers = numbers_of("h200")
    run = RunPredictor(placement, 64, 4, 1.0, requests=24, rate_per_s=20.0)
    drawn = [run.predict(replace(numbers, draw=draw), 0)["output_tokens_per_s"] for draw in range(1, 9)]
    # Draw d under seed s has the arrivals of seed s + d: eight draws are those of the mean under the seed after s.
    assert run.predict(numbers, 1)["output_tokens_per_s"] == pytest.approx(np.mean(drawn))
    assert np.std(drawn) / np.mean(drawn) == pytest.approx(1.0 / math.sqrt(24), rel=0.6)
    closed = replace(run, rate_per_s=None, users=4.0)
    assert closed.predict(replace(numbers, draw=3), 0) == closed.predict(numbers, 0)
