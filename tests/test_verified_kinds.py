"""Every command that makes a result leaves a manifest by which it is made again: what was changed is found, and
the files that it was made from are recorded."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_support import mistake, tell
from test_certify import SUBMISSION, bench
from test_compare_labs import lab

from npusim.api.replaying import REPLAYED
from npusim.explore.fleet import capacity, numbers
from npusim.hardware.data import data_root
from npusim.lab import verify_run

MODEL = "qwen2.5-0.5b"
GRID = """
name: tiny
title: one cell
source: this test
arrival: burst
requests_per_user: 1
points: [{isl: 64, osl: 8, users: [1, 2]}]
"""
CURVE = """
name: library
title: A library
architecture: h200
context_of_use: a test
maturity: {trl: 5, evidence: a prototype}
curves:
  - name: all-gather
    text: as NCCL
    metric: time
    unit: us
    source: a test
    library: nccl
    points: [{collective: all_gather, bytes: 64MiB, cards: 8, value: 400}]
"""


@dataclass(frozen=True)
class Kind:
    """words: of the command, in a folder of its own; inputs: files that it reads there, written by `make`."""

    words: str
    inputs: Sequence[str]
    make: Callable[[Path], None]


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8") and None


def shipped(folder: str, name: str, part: str = "arch_configs") -> Callable[[Path], None]:
    """A copy of a shipped file, as a user's own."""
    return lambda here: shutil.copy(data_root(part) / folder / name, here / name) and None


def submission(folder: Path) -> None:
    (folder / "handed").mkdir()
    (folder / "handed" / "run.json").write_text(json.dumps(bench(0.0)))
    (folder / "handed" / "submission.yaml").write_text(SUBMISSION)


def labs(folder: Path) -> None:
    lab(folder / "A", 1.0, runs=1)
    lab(folder / "B", 1.01, runs=1, seed=7)


KINDS = {
    "neuromorphic": Kind("neuromorphic truenorth.yaml --claim 58GSOPS", ["truenorth.yaml"],
                         shipped("neuromorphic", "truenorth.yaml")),
    "certify": Kind("certify handed", ["handed/run.json", "handed/submission.yaml"], submission),
    "compare": Kind("compare A B", ["A/0-0.json", "B/4-0.json"], labs),
    "plan-tests": Kind(f"plan-tests tiny.yaml --models {MODEL} --budget 1", ["tiny.yaml"], text("tiny.yaml", GRID)),
    "evaluate": Kind("evaluate library.yaml", ["library.yaml"], text("library.yaml", CURVE)),
    "generate": Kind("generate chat.yaml --requests 3", ["chat.yaml"], shipped("loads", "chat.yaml", "workloads")),
    "precision": Kind(f"precision {MODEL}.json --scheme int8", [f"{MODEL}.json"],
                      shipped("models", f"{MODEL}.json", "workloads")),
    "swap": Kind(f"swap rngd {MODEL}.json --from nvme=1GiB", [f"{MODEL}.json"],
                 shipped("models", f"{MODEL}.json", "workloads")),
    "fleet": Kind(f"fleet rngd {MODEL} --profile profile.yaml --cards 1 --workers 1 --users 1e6 --slo "
                  "ttft_p99=1s,tpot_p99=40ms", ["profile.yaml"],
                  text("profile.yaml", (Path(__file__).parent / "samples" / "profile-small.yaml").read_text())),
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recorded command without a process of its own, and fleets coarsely found: what is tested hangs on neither."""

    def run(words: Sequence[str], scratch: Path, minutes: float) -> str:
        told = tell(*words)
        assert told.code == 0, told.err
        return told.out

    monkeypatch.setattr(verify_run, "_run", run)
    monkeypatch.setattr(capacity, "REQUESTS", 60)
    monkeypatch.setattr(numbers, "MACHINES", 4)
    monkeypatch.setattr(numbers, "ERRORS_EACH", 4)
    return


@pytest.mark.parametrize("name", KINDS)
def test_a_result_is_made_again_and_what_was_changed_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    monkeypatch.chdir(tmp_path)
    kind.make(tmp_path)
    saved = tell(*kind.words.split(), "--lang", "ko", "--json").json
    recorded = {each["sha256"] for each in saved["manifest"]["configs"]}
    for each in kind.inputs:
        assert hashlib.sha256((tmp_path / each).read_bytes()).hexdigest() in recorded, each
    Path("saved.json").write_text(json.dumps(saved), encoding="utf-8")
    found = tell("verify-run", "saved.json", "--json").json
    assert found["holds"] is True and not found["different"], found
    key = found["same"][0]
    monkeypatch.setattr(verify_run, "_run", lambda words, scratch, minutes: json.dumps(saved))
    Path("saved.json").write_text(json.dumps(saved | {key: _other(saved[key])}), encoding="utf-8")
    told = tell("verify-run", "saved.json", "--json")
    assert told.code == 1 and json.loads(told.out)["different"] == [key]


def _other(value: Any) -> Any:
    """The value with one character more."""
    return f"{value}." if isinstance(value, str) else [value]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if "/" not in kind.inputs[0]])
def test_a_changed_input_is_refused_before_anything_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    monkeypatch.chdir(tmp_path)
    kind.make(tmp_path)
    (own,) = kind.inputs
    record = {"npusim": "0", "libraries": {}, "argv": kind.words.split()}
    before = {"file": own, "sha256": hashlib.sha256((tmp_path / own).read_bytes()).hexdigest()}
    Path("saved.json").write_text(json.dumps({"manifest": record | {"configs": [before]}}), encoding="utf-8")
    (tmp_path / own).write_text((tmp_path / own).read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert own in mistake("verify-run", "saved.json")


def test_every_command_that_is_run_again_is_tested_here_or_is_none_of_a_desk() -> None:
    elsewhere = {"calibrate", "check", "collective", "dram", "import", "kperf", "list", "pim attention", "pim compare",
                 "pim gemv", "pim stream", "predict", "run", "show", "step", "sweep", "validate"}  # fmt: skip
    assert set(KINDS) | elsewhere == set(REPLAYED)
    assert yaml.safe_load(GRID)["points"]
