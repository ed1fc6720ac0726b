"""The command line as its users and scripts see it: answers and exit codes."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_support import RUN, STEP, mistake, process, tell

from npusim.cli.output import figure, plain_json
from npusim.hardware.catalog import system_path
from npusim.workload.catalog import model_path

GRID = """name: tiny
title: one cell of two users
source: this test
arrival: burst
requests_per_user: 2
points:
  - {isl: 64, osl: 8, users: [1, 2]}
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "tiny.yaml"
    path.write_text(GRID)
    return path


@pytest.mark.parametrize(
    ("what", "name", "keys"),
    [
        ("archs", "rngd", {"peak_ops_per_s", "memory_bandwidth_bytes_per_s", "memory_capacity_bytes", "silicon"}),
        ("models", "llama-3.1-8b", {"title", "parameters", "max_context"}),
        ("runtimes", "furiosa-llm-2026.3", {"title", "unit", "policy"}),
        ("memories", "hbm3-6400", {"title", "peak_bytes_per_s", "clock_ns", "access_bytes"}),
        ("grids", "quick", {"title", "cells", "source"}),
        ("loads", "chat", {"title", "sessions", "turns", "assumed"}),
    ],
)
def test_list(what: str, name: str, keys: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    answer = tell("list", what, "--json").json
    assert set(answer) == {"items", "manifest"}
    items = {item["name"]: item for item in answer["items"]}
    assert keys <= set(items[name])
    text = tell("list", what).out
    assert all(shown in text for shown in items)


def test_show_an_architecture() -> None:
    answer = tell("show", "RNGD", "--json").json
    assert (answer["kind"], answer["name"]) == ("architecture", "rngd")
    assert answer["peak_ops_per_s"] == {"bf16": 262.144e12, "fp8": 524.288e12, "int8": 524.288e12, "int4": 1048.576e12}
    assert answer["memory_bandwidth_bytes_per_s"] == 1.536e12
    assert answer["memory_capacity_bytes"] == 48 * 2**30
    assert answer["power_cap_w"] is None
    provenance = answer["config"]["chip"]["power"]["cap"]
    assert provenance["kind"] == "assumed"
    assert provenance["low"] < provenance["value"] < provenance["high"]
    assert provenance["source"]
    told = [(item["folder"], item["file"]) for item in answer["manifest"]["configs"]]
    assert told[:2] == [("arch_configs", "rngd.yaml"), ("arch_configs/calibrations", "rngd.yaml")]
    assert ("arch_configs/memories", "hbm3-6000.yaml") in told
    text = tell("show", "rngd").out
    assert re.search(r"350 W .*291 to", text) and "262.1 T operations/s" in text


def test_show_a_model() -> None:
    answer = tell("show", "meta-llama/Llama-3.1-8B-Instruct", "--json").json
    assert (answer["kind"], answer["name"], answer["parameters"]) == ("model", "llama-3.1-8b", 8_030_261_248)
    assert answer["weight_bytes"]["bf16"] == 2 * answer["parameters"]
    assert answer["kv_bytes_per_token"]["bf16"] == 131_072
    assert answer["config"]["layers"] == 32
    assert tell("show", model_path("llama-3.1-8b"), "--json").json["config"] == answer["config"]


def test_show_a_runtime_by_name_and_by_path() -> None:
    answer = tell("show", "vllm", "--json").json
    assert (answer["kind"], answer["policy"]) == ("runtime", "hybrid")
    assert answer["config"]["kv"]["block"]["kind"] == "assumed"
    path = system_path("rngd").parent / "runtimes" / "vllm.yaml"
    assert tell("show", path, "--json").json["config"] == answer["config"]


def test_step() -> None:
    answer = tell(*STEP, "--json").json
    assert {"time_us", "energy_j", "power_w", "bound", "breakdown_us", "ops", "configuration", "manifest"} <= set(
        answer
    )
    assert set(answer["breakdown_us"]) == {"contraction", "vector", "memory", "pim", "link", "overhead"}
    assert sum(answer["breakdown_us"].values()) == pytest.approx(answer["time_us"])
    assert answer["configuration"]["cards"] == 1
    assert "assumptions" not in answer
    files = {item["file"] for item in answer["manifest"]["configs"]}
    parts = {"hbm3-6000.yaml", "streams.json", "area.yaml", "energy.yaml", "config_keys.yaml"}
    assert (
        files
        == {"rngd.yaml", "furiosa-llm-2026.3.yaml", "furiosa-llm.yaml", "llama-3.1-8b.json", "formats.yaml"} | parts
    )
    assert answer["manifest"]["argv"] == [*STEP, "--json"]
    text = tell(*STEP).out
    assert "One decode step of Llama 3.1 8B in bf16" in text
    assert "no server, no wall socket" in text
    assert "Operators" not in text


def test_step_explains_itself() -> None:
    answer = tell(*STEP, "--explain", "--json").json
    assert all(item["kind"] == "assumed" and item["low"] <= item["high"] for item in answer["assumptions"])
    assert "chip.power.cap" in {item["path"] for item in answer["assumptions"]}
    text = tell(*STEP, "--explain").out
    assert "gate_up" in text
    assert "chip.power.cap" in text


def test_prefill_defaults_to_the_whole_context() -> None:
    words = ("step", "h200", "llama-3.1-8b", "--phase", "prefill", "--batch", "1", "--context", "256", "--json")
    assert tell(*words).json["query"] == 256
    assert tell(*words, "--query", "64").json["query"] == 64


def test_run() -> None:
    answer = tell(*RUN, "--json").json
    for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        assert {"mean", "p50", "p90", "p99"} <= set(answer[name])
    keys = {
        "output_tokens_per_s",
        "total_tokens_per_s",
        "tokens_per_s_per_user",
        "tokens_per_joule",
        "kv_peak_fraction",
    }
    assert keys <= set(answer)
    assert set(answer["power_w"]) == {"scope", "mean", "p99"}
    assert answer["fits"] is True
    assert answer["requests"] == 6
    assert answer == tell(*RUN, "--json").json
    text = tell(*RUN).out
    assert "time to first token" in text
    assert "no server, no wall socket" in text


def test_run_with_intervals() -> None:
    answer = tell(*RUN, "--requests", "2", "--interval", "--json").json
    for spread in (answer["ttft_ms"]["mean"], answer["output_tokens_per_s"], answer["power_w"]["mean"]):
        assert spread["low"] <= spread["value"] <= spread["high"]


def test_run_tells_first_why_not_everything_was_served() -> None:
    words = ("run", "rngd", "llama-3.1-8b", "--isl", "131000", "--osl", "1000", "--concurrency", "1", "--requests", "1")
    answer = tell(*words, "--json").json
    assert answer["fits"] is False
    assert answer["ttft_ms"]["mean"] is None
    told = tell(*words)
    assert told.code == 0
    assert told.out.startswith("1 of 1 requests were refused: ")


def test_auto_cards_hold_the_model() -> None:
    words = ("step", "rngd", "llama-3.3-70b", "--phase", "decode", "--batch", "1", "--context", "128", "--json")
    assert tell(*words, "--cards", "auto").json["configuration"]["cards"] == 4


def test_a_chip_without_silicon_is_a_projection() -> None:
    told = tell("step", "rngd-plus", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "128")
    assert "this is a projection" in told.out
    assert "this is a projection" not in tell(*STEP).out


def test_kperf_of_one_architecture(tmp_path: Path, grid: Path) -> None:
    out = tmp_path / "out"
    words = ("kperf", "rngd", "--models", "llama-3.1-8b,llama-3.1-405b", "--grid", grid, "--no-interval", "--out", out)
    told = tell(*words, "--json")
    answer = told.json
    assert set(answer) == {"cells", "conditions", "files", "sim_seconds", "manifest"}
    fitting = [cell for cell in answer["cells"] if cell["model"] == "llama-3.1-8b"]
    other = [cell for cell in answer["cells"] if cell["model"] == "llama-3.1-405b"]
    assert (len(fitting), len(other)) == (2, 2)
    assert all(cell["status"] == "predicted" and cell["ttft_ms_mean"] > 0 for cell in fitting)
    assert all("does not fit" in cell["status"] and cell["ttft_ms_mean"] is None for cell in other)
    assert {"kperf.xlsx", "kperf.csv", "manifest.json"} < {Path(name).name for name in answer["files"]}
    assert all(Path(name).is_file() for name in answer["files"])
    assert json.loads((out / "manifest.json").read_text()) == answer["manifest"]
    assert str(tmp_path) not in json.dumps(answer["manifest"])
    assert "tiny.yaml" in {item["file"] for item in answer["manifest"]["configs"]}
    assert "predicting 4 cells" in told.err
    text = tell(*words).out
    assert "Not predicted: Llama 3.1 405B, all cells: does not fit" in text
    assert "kperf.xlsx" in text


def test_kperf_of_several_architectures_has_a_folder_each(tmp_path: Path, grid: Path) -> None:
    told = tell(
        "kperf", "rngd", "rngd-plus", "--models", "llama-3.1-8b", "--grid", grid, "--no-interval", "--out", tmp_path
    )
    assert told.code == 0
    assert all((tmp_path / chip / "kperf.xlsx").is_file() for chip in ("rngd", "rngd-plus"))
    assert "this is a projection" in told.out


def test_kperf_without_a_cell_to_predict_is_a_mistake(tmp_path: Path, grid: Path) -> None:
    out = tmp_path / "out"
    line = mistake("kperf", "rngd", "--models", "llama-3.1-405b", "--grid", grid, "--no-interval", "--out", out)
    assert line.startswith("error: llama-3.1-405b: does not fit")
    assert not out.exists()


def test_help_and_version() -> None:
    assert tell().code == 0
    for words in ((), ("list",), ("show",), ("step",), ("run",), ("kperf",), ("validate",)):
        told = tell(*words, "--help")
        assert (told.code, told.err) == (0, "")
    assert "--uncalibrated" in tell("run", "--help").out
    assert tell(*RUN, "--uncalibrated", "--json").code == 0
    assert tell("--version").out.startswith("npusim, version ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from npusim.cli.main import main; main(['kperf', '--help']);"
        "sys.exit(bool({'numpy', 'numba', 'pandas', 'pydantic', 'rich', 'simpy', 'pint'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_as_a_process_from_another_folder(tmp_path: Path) -> None:
    done = process("list", "archs", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rngd" in {item["name"] for item in json.loads(done.stdout)["items"]}
    wrong = process("show", "rngdd", folder=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_closed_pipe_is_quiet(tmp_path: Path, as_json: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    root = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-m", "npusim", "list", "grids", *as_json]
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_plain_values() -> None:
    mixed = {
        "a": np.float64("nan"),
        "b": np.int64(3),
        "c": (math.inf, pd.NA),
        "d": np.array([1.5, math.nan]),
        "e": True,
    }
    assert plain_json(mixed) == {"a": None, "b": 3, "c": [None, None], "d": [1.5, None], "e": True}
    assert plain_json(pd.NaT) is None
    with pytest.raises(TypeError):
        plain_json(object())


def test_figures() -> None:
    assert figure(1234.5, 1) == "1,234.5"
    assert figure(math.nan) == "-"
    assert figure({"value": 2.0, "low": 1.0, "high": 3.0}, 0) == "2 (1 to 3)"
