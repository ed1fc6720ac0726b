"""Files as labs hand them over: what each importer reads, and one clear line for each broken one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest
from cli_support import mistake, tell
from test_check import SAMPLES, _figure, _rows

from npusim.conditions.table import CONDITIONS
from npusim.errors import UserError
from npusim.lab.files import formats
from npusim.lab.files.folder import hand_in
from npusim.lab.files.format import all_formats
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.files.naming import shipped_arch, shipped_runtime, told_precision
from npusim.lab.files.trees import from_names
from npusim.workload.model_names import shipped_model

AIPERF, PAGES, SENSORS = SAMPLES / "aiperf", SAMPLES / "prometheus", SAMPLES / "sensors"
LOADGEN = SAMPLES / "loadgen" / "mlperf_log_detail.txt"


def _one(path: Path) -> LabRun:
    (run,) = hand_in(path).runs
    return run


@pytest.mark.parametrize("name", ["profile_export_aiperf.json", "profile_export_aiperf.csv"])
def test_aiperf_exports(name: str) -> None:
    run = _one(AIPERF / name)
    assert (run.setting.isl, run.setting.osl) == (1024, 256)
    assert run.conduct.lengths_fixed
    assert run.conduct.completed == 96
    assert run.figures["ttft_ms_mean"].value == pytest.approx(115.0)
    assert run.figures["tpot_ms_p99"].value == pytest.approx(7.81, abs=0.01)
    assert run.figures["e2e_ms_mean"].value == pytest.approx(1976.5)
    assert run.figures["output_tokens_per_s"].value == pytest.approx(2074.9)


def test_aiperf_json_tells_model_users_and_watts() -> None:
    run = _one(AIPERF / "profile_export_aiperf.json")
    assert run.setting.model == "meta-llama/Llama-3.1-8B-Instruct"
    assert run.setting.users == 16
    assert run.figures["power_w_mean"].value == 560.0


def test_aiperf_requests_without_warm_up_and_failures() -> None:
    run = _one(AIPERF / "profile_export.jsonl")
    assert (run.conduct.requests, run.conduct.completed, run.conduct.failed) == (16, 15, 1)
    assert run.setting.users == 4
    assert run.figures["ttft_ms_mean"].value == pytest.approx(122.2, abs=0.1)
    assert run.figures["output_tokens_per_s"].value == pytest.approx(15 * 256 / 7.86, rel=0.01)


def test_server_pages_give_means_and_percentiles_to_a_bucket() -> None:
    run = _one(PAGES / "vllm_metrics.txt")
    assert run.figures["ttft_ms_mean"].value == pytest.approx(11.1 / 96 * 1e3)
    median = run.figures["ttft_ms_p50"]
    assert (median.low, median.high) == (pytest.approx(100.0), pytest.approx(250.0))
    assert (run.setting.isl, run.setting.osl) == (1024.0, 256.0)
    assert any("prefix cache" in remark for remark in run.conduct.remarks)
    assert "itl_ms_mean" in _one(PAGES / "furiosa_llm_metrics.txt").figures


def test_exporter_pages_sum_the_watts_of_all_cards() -> None:
    furiosa, dcgm = _one(PAGES / "furiosa_exporter.txt"), _one(PAGES / "dcgm.txt")
    assert (furiosa.setting.device, furiosa.setting.cards, furiosa.conduct.firmware) == ("rngd", 2, "2026.3.0")
    assert furiosa.figures["power_w_mean"].value == pytest.approx(300.75)
    assert (dcgm.setting.device, dcgm.setting.cards) == ("NVIDIA H200", 1)


def test_sensor_logs() -> None:
    device, columns = _one(SENSORS / "npu_monitor.csv"), _one(SENSORS / "sensor_log_20261014.csv")
    assert (device.setting.device, device.setting.cards) == ("rngd", 2)
    assert device.figures["power_w_active"].value == pytest.approx(297.975)
    assert columns.setting.cards == 2
    assert columns.figures["power_w_samples"].value == pytest.approx(266.92, abs=0.1)


def test_loadgen_log() -> None:
    run = _one(LOADGEN)
    assert run.figures["ttft_ms_p99"].value == pytest.approx(123.0)
    assert run.figures["tpot_ms_mean"].value == pytest.approx(7.3)
    assert run.setting.osl == pytest.approx(256.0, rel=1e-3)
    assert run.conduct.remarks == ("the result is INVALID", "the run was too short for the scenario")


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kperf")
    words = ("--grid", "quick", "--models", "llama-3.1-8b", "--no-interval", "--out", folder)
    assert tell("kperf", "rngd", *words).code == 0
    return folder / "kperf.xlsx"


def _filled(source: Path, target: Path, heading: str, value: object) -> Path:
    """The workbook with the table of predictions taken for one of measurements, and one value of it replaced."""
    book = openpyxl.load_workbook(source)
    sheet = book["Llama 3.1 8B"]
    heads = {cell.value: cell.column for cell in sheet[5]}
    for line in range(6, 12):
        sheet.cell(line, heads["Status"]).value = "measured"
    sheet.cell(6, heads[heading]).value = value
    book.save(target)
    return target


def test_a_filled_workbook(workbook: Path, tmp_path: Path) -> None:
    rows = _rows(_filled(workbook, tmp_path / "lab.xlsx", "Output throughput [tokens/s]", 999.9))
    assert [row["verdict"] for row in rows] == ["impossible", *["plausible"] * 5]
    figure = _figure(rows[0], "output_tokens_per_s")
    assert (figure["verdict"], figure["bound"]) == ("impossible", "memory bandwidth")
    assert figure["limit"] < 999.9
    assert rows[0]["setting"]["precision"] == "bf16"
    for text in ("nan", "twelve", -3):
        line = mistake("check", _filled(workbook, tmp_path / "bad.xlsx", "TTFT mean [ms]", text))
        assert "Llama 3.1 8B!6: ttft_ms_mean" in line
    assert "1,000,000,000,000" in mistake("check", _filled(workbook, tmp_path / "many.xlsx", "Users", 10**12))


def test_a_korean_workbook_is_read_back(tmp_path: Path) -> None:
    words = ("--grid", "quick", "--models", "llama-3.1-8b", "--no-interval", "--lang", "ko", "--out", tmp_path)
    assert tell("kperf", "rngd", *words).code == 0
    path = tmp_path / "kperf.xlsx"
    book = openpyxl.load_workbook(path)
    assert book["요약"]["A1"].value == "K-Perf 예측: FuriosaAI RNGD"
    assert "no measured value is filled in" in mistake("check", path)
    predicted, sheet = book["Llama 3.1 8B"], book["Llama 3.1 8B 측정"]
    told = {"수 형식": "bf16", "카드 수": 1, "EOS 무시": "예", "전력 측정 범위": "cards", "프리픽스 캐시": "끔"}
    for row in sheet.iter_rows(max_row=40):
        if row[0].value in told:
            row[1].value = told[row[0].value]
    heads = {cell.value: cell.column for cell in predicted[5]}
    head = next(row for row in sheet.iter_rows() if row[0].value == predicted["A5"].value)
    measured = {str(cell.value): cell for cell in head}
    names = [name for name in heads if name.replace(" [", ", 측정 [", 1) in measured]
    for name in names:
        for line in range(6, 12):
            value = predicted.cell(line, heads[name]).value
            measured[name.replace(" [", ", 측정 [", 1)].offset(row=line - 5).value = value
    book.save(tmp_path / "lab.xlsx")
    rows = _rows(tmp_path / "lab.xlsx")
    assert [row["metric"] for row in rows] == [""] * 6 and {row["verdict"] for row in rows} == {"implausible"}
    assert all("equal the predicted ones" in row["reason"] for row in rows)


def test_a_broken_workbook(workbook: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.xlsx"
    path.write_bytes(workbook.read_bytes()[:5000])
    assert "no whole Excel workbook" in mistake("check", path)


@pytest.mark.parametrize(
    ("sample", "old", "new", "parts"),
    [
        (AIPERF / "profile_export_aiperf.json", '"unit": "ms"', '"unit": "fortnights"', ("fortnights", "ns")),
        (AIPERF / "profile_export_aiperf.json", '"avg": 115.0', '"avg": NaN', ("time_to_first_token", "finite")),
        (
            AIPERF / "profile_export_aiperf.json",
            '"concurrency": 16',
            '"concurrency": 1000000000000',
            ("any run holds",),
        ),
        (AIPERF / "profile_export_aiperf.csv", "Token (ms)", "Token (h)", ("'h' is no unit",)),
        (AIPERF / "profile_export_aiperf.csv", ",p99,std", ",p95,std", ("p95", "stands twice")),
        (AIPERF / "profile_export_aiperf.csv", "Request Count,96", "Request Count,1000000000000", ("any run holds",)),
        (
            AIPERF / "profile_export.jsonl",
            '"request_end_ns": 1760518803898300000',
            '"request_end_ns": NaN',
            (":5", "request_end_ns", "finite"),
        ),
        (AIPERF / "profile_export.jsonl", '"request_start_ns": ', '"request_start_ns": "', ("is no JSON",)),
        (
            PAGES / "vllm_metrics.txt",
            'model_name="meta-llama/Llama-3.1-8B-Instruct"} 11.1',
            "} x",
            ("no Prometheus text",),
        ),
        (PAGES / "vllm_metrics.txt", "} 11.1", "} NaN", ("time_to_first_token_seconds_sum", "finite")),
        (PAGES / "vllm_metrics.txt", "} 96.0", "} +Inf", ("request_success_total", "finite")),
        (PAGES / "vllm_metrics.txt", 'le="0.1"', 'le="soon"', ('le="soon"', "no upper end")),
        (PAGES / "dcgm.txt", "612.331", "NaN", ("DCGM_FI_DEV_POWER_USAGE", "watts")),
        (SENSORS / "sensor_log_20261014.csv", "npu1_power", "npu0_power", ("npu0_power", "stands twice")),
        (SENSORS / "npu_monitor.csv", ",97.5,148.00,", ",97.5,nan,", (":2", "power", "finite")),
        (LOADGEN, '"value": "INVALID"', '"value"', (":6", "cut")),
        (LOADGEN, '"key": "result_validity"', '"key": "result_other"', ("result_validity", "no result")),
        (LOADGEN, "2074.9", "NaN", (":11", "value", "finite")),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, sample: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    text = sample.read_text()
    assert old in text
    path = tmp_path / sample.name
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as told:
        hand_in(path)
    line = str(told.value)
    assert "\n" not in line
    assert all(part in line for part in (str(path), *parts)), line


@pytest.mark.parametrize("sample", sorted(path for path in SAMPLES.rglob("*.*") if path.suffix not in ("", ".md")))
def test_a_truncated_file_is_a_mistake_or_a_shorter_one(tmp_path: Path, sample: Path) -> None:
    """Cut anywhere, a file is refused in one line or read as the rows that are still whole."""
    if sample.is_dir():
        return
    data = sample.read_bytes()
    for part in (0.0, 0.1, 0.5, 0.9, 0.99):
        path = tmp_path / sample.name
        path.write_bytes(data[: int(len(data) * part)])
        try:
            assert hand_in(path).runs
        except UserError as told:
            assert str(path) in str(told)


def test_names_of_models_formats_chips_and_runtimes() -> None:
    for name in ("furiosa-ai/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"):
        assert shipped_model(name) == "llama-3.1-8b"
    assert shipped_model("RedHatAI/Llama-3.3-70B-Instruct-quantized.w8a8") == "llama-3.3-70b"
    assert shipped_model("mistralai/Mistral-9B") is None
    told: Callable[[str], str | None] = told_precision
    assert [told(name) for name in ("x-FP8", "x-AWQ", "x-quantized.w8a8", "x-bf16", "x")] == [
        "fp8",
        "w4a16",
        "int8",
        "bf16",
        None,
    ]
    assert [shipped_arch(name) for name in ("RNGD", "NVIDIA H200", "FuriosaAI RNGD", "TPU")] == [
        "rngd",
        "h200",
        "rngd",
        None,
    ]
    assert shipped_runtime("furiosa-llm 2026.3.1") == "furiosa-llm-2026.3"
    assert shipped_runtime("vllm 0.13.0") == "vllm"
    assert shipped_runtime("tgi 3") is None


_TOY = '''"""Lines such as "toy llama-3.1-8b rngd 1024 256 8 1500.0": model, chip, lengths, users, output tokens/s."""

from npusim.lab.files.files import count, reading
from npusim.lab.files.format import TEXT, Format
from npusim.lab.files.lab_run import LabRun, RunConditions


def runs(path, text):
    for line in text.splitlines():
        _, model, chip, *sizes, rate = line.split()
        isl, osl, users = (count(str(path), "sizes", size, 1) for size in sizes)
        setting = RunConditions(model=model, device=chip, isl=isl, osl=osl, users=users)
        yield LabRun(str(path), "toy", setting, {"output_tokens_per_s": reading(str(path), "rate", rate)})


FORMATS = (Format("lines of a toy", TEXT, lambda text: text.startswith("toy "), runs),)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of a format whose module lies in a folder of formats of its own."""
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "toy.py").write_text(_TOY)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "formats")])
    all_formats.cache_clear()
    path = tmp_path / "result.log"
    path.write_text("toy llama-3.1-8b rngd 1024 256 8 350.0\n")
    yield path
    all_formats.cache_clear()
    sys.modules.pop(f"{formats.__name__}.toy", None)


def test_a_format_is_added_by_a_module_alone(toy: Path) -> None:
    run = _one(toy)
    assert (run.tool, run.setting.users, run.figures["output_tokens_per_s"].value) == ("toy", 8, 350.0)
    (row,) = tell("check", toy, "--json").json["rows"]
    assert (row["tool"], row["setting"]["model"]) == ("toy", "llama-3.1-8b")
    toy.write_text("something else\n")
    assert "lines of a toy" in mistake("check", toy)


def test_a_run_is_described_by_every_condition_once() -> None:
    names = RunConditions.names()
    assert len(names) == len(set(names)) and {each.name for each in CONDITIONS} < set(names)
    told = RunConditions(model="llama-3.1-8b", prompts="alike")
    assert told.values() == dict.fromkeys(names) | {"model": "llama-3.1-8b", "prompts": "alike"}
    assert RunConditions(model="qwen3-8b", cards=2).told_or(told).told == told.told | {"model": "qwen3-8b", "cards": 2}


def test_every_format_tells_what_it_is() -> None:
    said = [each.says for each in all_formats()]
    assert len(said) == len(set(said)) >= 9
    assert "lines of a toy" not in said


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "RNGD_4_furiosa-llm_2026.3.0/bench/32k/Llama-3.1-8B-Instruct-FP8/summary_1.csv",
            {
                "device": "RNGD",
                "cards": 4,
                "runtime": "furiosa-llm 2026.3.0",
                "model": "Llama-3.1-8B-Instruct-FP8",
                "precision": "fp8",
            },
        ),
        (
            "RNGD_furiosa-llm_2026.2.1_2/summary_1.csv",
            {"device": "RNGD", "cards": 2, "runtime": "furiosa-llm 2026.2.1"},
        ),
        (
            "closed/Some Lab/results/H200-SXM-141GBx8_TRT/llama3.1-8b-99.9/Offline/performance/run_1/log.txt",
            {"device": "H200-SXM", "cards": 8, "runtime": "tensorrt-llm", "model": "llama3.1-8b-99.9"},
        ),
        (
            "open/Lab/results/2xEPYC_4xH100_vllm/mixtral-8x7b/Server/performance/run_1/log.txt",
            {"device": "H100", "cards": 4, "runtime": "vllm", "model": "mixtral-8x7b"},
        ),
        (
            "closed/Lab/results/H100-PCIe-80GBx2/m/Server/a/log.txt",
            {"device": "H100-PCIe-80GB", "cards": 2, "model": "m"},
        ),
        (
            "qwen3-8b_h200-fp8_vllm_tp4_conc64_isl1024_osl512_01.json",
            {
                "model": "qwen3-8b",
                "device": "h200",
                "precision": "fp8",
                "runtime": "vllm",
                "tensor_parallel": 4,
                "users": 64,
                "isl": 1024,
                "osl": 512,
            },
        ),
        ("some/other/folder/RNGD/results/summary.csv", {}),
    ],
)
def test_names_of_folders_and_files_tell_what_ran(path: str, told: dict[str, object]) -> None:
    assert from_names(Path("/data") / path).told == told
    assert shipped_model("llama3.1-8b-99.9") == "llama-3.1-8b"


def test_another_card_of_a_chip_is_not_the_chip() -> None:
    """A PCIe card has another memory than the SXM module of the same name."""
    assert shipped_arch(from_names(Path("/closed/L/results/H100-PCIe-80GBx2/m/Server/log.txt")).device or "") is None


def test_an_mlperf_tree_supplies_chip_and_cards(tmp_path: Path) -> None:
    path = tmp_path / "closed/Lab/results/H200-SXM-141GBx8_TRT/llama3.1-405b/Offline/performance/run_1"
    path.mkdir(parents=True)
    text = (SAMPLES / "loadgen" / "mlperf_log_detail.txt").read_text()
    (path / "mlperf_log_detail.txt").write_text(text)
    setting = _rows(path)[0]["setting"]
    assert (setting["cards"], setting["model"], setting["runtime"]) == (8, "llama3.1-405b", "tensorrt-llm")
