"""Registered predictions, their scores, and recorded commands run again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from cli_support import STEP, mistake, process, tell
from test_check import SUMMARY, VLLM

import npusim
from npusim.api.options import Option, declared_options
from npusim.api.replaying import REPLAYED, replay
from npusim.errors import UserError
from npusim.lab.files.lab_run import RunConditions
from npusim.lab.registered.pack import STAMP, read_pack, stamp_of, stamped
from npusim.lab.registered.score import PackScore, score_pack
from npusim.lab.verify_run import _changed

GRID = """name: small
title: two cells
source: chosen for a test
arrival: burst
requests_per_user: 3
points:
  - {isl: 1024, osl: 1024, users: [1, 16]}
"""
ONE_CELL = """
name: one-cell
title: one cell
source: this test
arrival: burst
requests_per_user: 1
points:
  - {isl: 64, osl: 8, users: [1]}
"""
SWEEP = """
name: two clocks
arch: rngd
models: [qwen2.5-0.5b]
workloads: [{isl: 64, osl: 8, users: [1]}]
vary:
  chip.unit.clock: {values: [0.9 GHz, 1 GHz]}
objectives: {output_tokens_per_s: max}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a grid and the pack that was registered for it."""
    made = tmp_path_factory.mktemp("registered")
    (made / "small.yaml").write_text(GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        words = ("--models", "llama-3.1-8b", "--grid", "./small.yaml", "--cards", "1", "--date", "2026-09-01")
        answer = tell("predict", "rngd", *words, "--register", "--out", "pack.json", "--json").json
        assert answer["files"] == ["pack.json"]
        assert "already" in mistake("predict", "rngd", *words, "--register", "--out", "pack.json")
    return made


@pytest.fixture
def edited(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """`edited(change)`: a copy of the pack after `change(pack)`."""

    def copy(change: Callable[[dict[str, Any]], None]) -> Path:
        pack = json.loads((folder / "pack.json").read_text())
        change(pack)
        path = tmp_path / "edited.json"
        path.write_text(json.dumps(pack))
        return path

    return copy


def test_a_pack_is_scored_against_what_a_lab_measured(folder: Path) -> None:
    answer = tell("score", folder / "pack.json", SUMMARY, "--json").json
    assert (answer["rows"], answer["registered"]) == (2, "2026-09-01")
    assert [each["row"].rpartition(":")[2] for each in answer["skipped"]] == ["13"]
    assert "64 users" in answer["skipped"][0]["reason"]
    assert 0.0 < answer["mape"] < 0.15
    assert answer["coverage90"] is not None
    rate = next(each for each in answer["scores"] if each["metric"] == "output_tokens_per_s")
    assert rate["error"] == pytest.approx(rate["predicted"] / 58.90 - 1.0)
    assert rate["low"] < rate["predicted"] < rate["high"]
    assert set(answer["by"]["metric"]) >= {"output_tokens_per_s", "ttft_ms_mean", "tpot_ms_mean", "power_w"}
    assert tell("score", folder / "pack.json", VLLM, "--json").json["rows"] == 1


def test_any_edit_is_detected(folder: Path, edited: Callable[..., Path]) -> None:
    def prediction(pack: dict[str, Any]) -> None:
        pack["cells"][0]["output_tokens_per_s"] *= 1.0001

    def date(pack: dict[str, Any]) -> None:
        pack["registered"] = "2026-01-01"

    def seed(pack: dict[str, Any]) -> None:
        pack["manifest"]["seed"] = 7

    def dropped(pack: dict[str, Any]) -> None:
        del pack["cells"][1]

    def added(pack: dict[str, Any]) -> None:
        pack["remark"] = "as expected"

    for change in (prediction, date, seed, dropped, added):
        assert "the pack was edited" in mistake("score", edited(change), SUMMARY)
    original = read_pack(folder / "pack.json")

    def stamped_anew(pack: dict[str, Any]) -> None:
        prediction(pack)
        pack[STAMP] = stamp_of(pack)

    forged = edited(stamped_anew)
    assert tell("score", forged, SUMMARY).code == 0
    assert "is not the published pack" in mistake("score", forged, SUMMARY, "--stamp", original[STAMP])
    assert tell("score", folder / "pack.json", SUMMARY, "--stamp", original[STAMP]).code == 0


def test_a_stamp_does_not_hang_on_the_order_of_keys() -> None:
    pack = stamped([{"a": 1.5, "b": None}], "2026-01-01", {"seed": 0})
    turned = dict(reversed(pack.items()))
    assert stamp_of(turned) == pack[STAMP]


def test_what_is_no_pack(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert "is no pack" in mistake("score", path, SUMMARY)
    path.write_text((folder / "pack.json").read_text()[:-20])
    assert "is no JSON" in mistake("score", path, SUMMARY)
    assert "nothing in it was predicted" in mistake("score", folder / "pack.json", SUMMARY, "--arch", "h200")


def test_a_recorded_run_gives_the_same_tables_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SUMMARY, "lab.csv")
    assert tell("check", "lab.csv", "--arch", "rngd", "--model", "llama-3.1-8b", "--out", "out").code == 0
    found = tell("verify-run", "out/manifest.json", "--json").json
    assert (found["holds"], found["same"], found["different"]) == (True, ["check.json", "check.xlsx"], [])
    table = tmp_path / "out" / "check.json"
    table.write_text(table.read_text().replace("plausible", "implausible", 1))
    book = openpyxl.load_workbook("out/check.xlsx")
    book["Table"]["A6"] = "plausible"
    book.save("out/check.xlsx")
    told = tell("verify-run", "out/manifest.json")
    assert told.code == 1
    assert "DIFFERENT: check.json" in told.out and "DIFFERENT: check.xlsx" in told.out
    Path("lab.csv").unlink()
    assert "fails now" in mistake("verify-run", "out/manifest.json")


def test_folders_of_several_architectures_and_of_sweeps_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("grid.yaml").write_text(ONE_CELL, encoding="utf-8")
    words = ("--models", "qwen2.5-0.5b", "--grid", "grid.yaml", "--no-interval", "--out", "both")
    assert tell("kperf", "rngd", "h200", *words).code == 0
    found = tell("verify-run", "both/h200/manifest.json", "--json").json
    own = ["h200/kperf.csv", "h200/kperf.xlsx", "rngd/kperf.csv", "rngd/kperf.xlsx"]
    assert found["same"] == ["comparison.csv", "comparison.xlsx", *own] and not found["different"]
    assert tell("verify-run", "both/manifest.json", "--json").json["same"] == found["same"]
    assert {Path(name).suffix for name in found["not_compared"]} == {".png"}
    Path("sweep.yaml").write_text(SWEEP, encoding="utf-8")
    assert tell("sweep", "sweep.yaml", "--workers", "1", "--out", "swept").code == 0
    found = tell("verify-run", "swept/manifest.json", "--json").json
    files = ["effects.csv", "pareto.csv", "points.csv", "points.parquet", "report.html"]
    assert (found["same"], found["different"], found["not_compared"]) == (files, [], [])
    page = Path("swept/report.html")
    page.write_text(page.read_text().replace("<td", "<td class='x'", 1))
    told = tell("verify-run", "swept/manifest.json")
    assert told.code == 1 and "DIFFERENT: report.html" in told.out


def test_a_saved_answer_is_compared_key_by_key(tmp_path: Path) -> None:
    words = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "64", "--json")
    path = tmp_path / "answer.json"
    answer = tell(*words).json
    path.write_text(json.dumps(answer))
    assert tell("verify-run", path, "--json").json["holds"] is True
    path.write_text(json.dumps(answer | {"time_us": answer["time_us"] * 1.001}))
    told = tell("verify-run", path, "--json")
    assert told.code == 1
    assert json.loads(told.out)["different"] == ["time_us"]


def test_what_cannot_be_run_again(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    whole = {"argv": ["run", "rngd"], "configs": [], "libraries": {}, "npusim": "0"}
    for text, part in (
        ("{", "is no"),
        ("{}", "argv"),
        (json.dumps(whole), "wrote no folder"),
        (json.dumps(whole | {"argv": ["verify-run"]}), "no command"),
        (json.dumps(whole | {"argv": ["run", "rngd", "--plugin", "x"]}), "records the option --plugin"),
        (json.dumps(whole | {"configs": [{"file": "rngd.yaml"}]}), "configs.1"),
        (json.dumps(whole | {"argv": [["run"]]}), "argv"),
    ):
        path.write_text(text)
        assert part in mistake("verify-run", path)


def test_a_recorded_command_writes_into_the_scratch_folder_alone_and_asks_no_other_machine(tmp_path: Path) -> None:
    victim = str(tmp_path / "victim.json")
    step = [*STEP, "--engine", "event", "--trace=kept.json", "--trace", victim, "--json"]
    again = replay(step, tmp_path, "m.json")
    assert again.words == (*STEP, "--engine", "event", "--trace", str(tmp_path / "trace" / "victim.json"))
    sweep = ["sweep", "s.yaml", "--backend", "dask", "--scheduler", "tcp://host:1", "--out", "o", f"--out={victim}"]
    assert replay(sweep, tmp_path, "m.json").words == ("sweep", "s.yaml", "--out", str(tmp_path / "out/victim.json"))
    for command, options in REPLAYED.items():
        for each in declared_options(options):
            told = each.told
            names_a_path = each.field in ("out", "trace", "report", "scheduler") and each.kinds not in ((bool,), (int,))
            reads_it = each.field == "trace" and command in ("run", "fleet")
            if isinstance(told, Option) and names_a_path and not reads_it:
                assert told.writes is not None or not told.replayed, (command, each.field)


def test_only_installed_code_is_run(tmp_path: Path) -> None:
    """Not the npusim that a handed-in folder brings along, nor settings that libraries look for beside it."""
    (tmp_path / "npusim").mkdir()
    for name in ("npusim/__init__.py", "npusim/__main__.py", "numba.py", "sitecustomize.py"):
        (tmp_path / name).write_text("open('hacked', 'w')")
    path = tmp_path / "a.json"
    done = process("dram", "hbm3-6400", "--requests", "300", "--json", folder=tmp_path.parent)
    path.write_text(done.stdout)
    root = str(Path(npusim.__file__).parent.parent)
    start = f"import sys; sys.path.insert(0, {root!r}); from npusim.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-P", "-c", start, "verify-run", str(path), "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["holds"] is True, done.stderr
    assert not (tmp_path / "hacked").exists()


def test_what_has_changed_is_named_also_where_an_earlier_version_recorded_it() -> None:
    fresh: dict[str, Any] = {
        "npusim": "2",
        "code_sha256": "c",
        "configs": [
            {"file": "rngd.yaml", "folder": "arch_configs", "sha256": "1"},
            {"file": "streams.json", "folder": "arch_configs/memories", "sha256": "2"},
        ],
    }
    early = {"npusim": "2", "configs": [{"file": "rngd.yaml", "sha256": "1"}]}
    assert list(_changed(early, fresh)) == []
    assert list(_changed(early | {"configs": [{"file": "rngd.yaml", "sha256": "0"}]}, fresh)) == ["configs: rngd.yaml"]
    told = [fresh["configs"][0], fresh["configs"][1] | {"sha256": "9"}]
    assert list(_changed(fresh | {"configs": told}, fresh)) == ["configs: arch_configs/memories/streams.json"]
    assert list(_changed(fresh | {"code_sha256": "d"}, fresh)) == ["code_sha256: d -> c"]


def test_cells_that_differ_in_the_spread_of_their_lengths_are_told_apart(folder: Path, tmp_path: Path) -> None:
    pack = json.loads((folder / "pack.json").read_text())
    cell = next(cell for cell in pack["cells"] if cell["users"] == 1)
    assert (cell["lengths"], cell["speculation"]) == ("fixed", "none")

    def scored(*cells: dict[str, Any]) -> PackScore:
        path = tmp_path / f"{len(cells)}.json"
        path.write_text(json.dumps(stamped(list(cells), "2026-09-01", {})))
        return score_pack(read_pack(path), Path(SUMMARY), RunConditions())

    assert scored(cell).scored
    former = {name: value for name, value in cell.items() if name not in ("lengths", "speculation")}
    assert scored(former).scored == scored(cell).scored
    with pytest.raises(UserError, match="predicts 2 such cells; tell lengths and speculation"):
        scored(cell, cell | {"lengths": "±20%"})
    with pytest.raises(UserError, match="is predicted twice"):
        scored(cell, former)
