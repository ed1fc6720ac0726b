"""What a command reads is in its manifest: files that were really opened, audited, are compared with what it tells."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from calibration_support import few_ranges
from cli_support import RUN, STEP, tell
from graph_support import EXPORTED
from test_check import SUMMARY

import npusim
from npusim.cache_folder import cache_folder
from npusim.hardware.data import data_root
from npusim.inputs import remembered

PACKAGE = Path(npusim.__file__).parent
DATA = Path(__file__).parent.parent / "validation" / "data"
KINDS = {".yaml", ".yml", ".json", ".jsonl", ".csv", ".xlsx", ".parquet", ".txt", ".log"}
GRID = """
name: one
title: One cell
source: A test
arrival: burst
requests_per_user: 1
points: [{isl: 64, osl: 8, users: [1]}]
"""
PROPOSAL = {
    "name": "one",
    "title": "One claim",
    "architecture": "h200.yaml",
    "context_of_use": "a test",
    "maturity": {"trl": 4, "evidence": "none"},
    "claims": [
        {"name": "c", "text": "t", "model": "qwen3-30b-a3b", "isl": 64, "osl": 4, "metric": "tpot_ms", "at_most": 99}
    ],
}
_opened: list[set[Path]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened and isinstance(arguments[0], str) and "r" in str(arguments[1] or "r"):
        _opened[-1].add(Path(arguments[0]).absolute())


sys.addaudithook(_hear)


@contextmanager
def audited() -> Iterator[set[Path]]:
    """Files of data that are opened for reading inside the block."""
    _opened.append(set())
    found: set[Path] = set()
    try:
        yield found
    finally:
        roots = [data_root(kind) for kind in ("arch_configs", "workloads", "rules", "validation")]
        for path in _opened.pop():
            own = not path.is_relative_to(Path(sys.prefix)) and not path.is_relative_to(cache_folder().parent)
            own = own and not path.is_relative_to(PACKAGE / "languages") and not path.is_relative_to("/proc")
            if path.suffix in KINDS and (own or any(path.is_relative_to(root) for root in roots)):
                found.add(path)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid, a sweep, a proposal and a table of a user's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "grid.yaml").write_text(GRID)
    measured = GRID.replace("name: ", "name: measured-").replace("isl: 64, osl: 8", "isl: 1024, osl: 1024")
    (folder / "measured.yaml").write_text(measured)
    sweep = {
        "name": "few",
        "arch": "rngd-plus",
        "models": ["qwen3-30b-a3b"],
        "workloads": [{"isl": 64, "osl": 8, "users": [2]}],
        "vary": {"chip.unit.clock": {"values": ["1 GHz", "1.2 GHz"]}},
        "objectives": {"area_proxy_mm2": "min", "served_output_tokens_per_s": "max"},
        "serving": {"requests_per_user": 1},
    }
    (folder / "sweep.yaml").write_text(json.dumps(sweep))
    steps = (DATA / "h200" / "steps.csv").read_text().splitlines()
    (folder / "steps.csv").write_text("\n".join([*steps[:6], ""]))
    few_ranges(folder)
    (folder / "proposal.yaml").write_text(json.dumps(PROPOSAL))
    words = ("rngd", "--models", "llama-3.1-8b", "--grid", folder / "measured.yaml", "--cards", "1")
    assert tell("predict", *words, "--register", "--out", folder / "pack.json").code == 0
    words = ("rngd", "--models", "llama-3.1-8b", "--grid", folder / "grid.yaml")
    assert tell("kperf", *words, "--no-interval", "--out", folder / "run").code == 0
    return folder


SUBMITTED = next((Path(__file__).resolve().parents[1] / "examples" / "submission").rglob("1024.1024.16"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "show": ("show", "hbm-pim-card"),
    "step": STEP,
    "step of experts": ("step", "h200", "qwen3-30b-a3b", *STEP[3:], "--interval"),
    "run": (*RUN, "--interval"),
    "kperf": ("kperf", "rngd", "--models", "llama-3.1-8b", "--grid", "OWN/grid.yaml", "--out", "OUT", "--report"),
    "predict": ("predict", "rngd", "--models", "llama-3.1-8b", "--grid", "OWN/grid.yaml", "--register", "--out", "OUT"),
    "sweep": ("sweep", "OWN/sweep.yaml", "--out", "OUT", "--workers", "1"),
    "validate": ("validate", "OWN/steps.csv", "--arch", "h200", "--report", "OUT"),
    "certify": ("certify", str(SUBMITTED)),
    "plan-tests": ("plan-tests", "OWN/grid.yaml", "--budget", "1", "--models", "llama-3.1-8b"),
    "check": ("check", "OWN/steps.csv", "--arch", "h200", "--out", "OUT"),
    "evaluate": ("evaluate", "OWN/proposal.yaml"),
    "calibrate": ("calibrate", "OWN/steps.csv", "--arch", "OWN/h200.yaml", "--out", "OUT"),
    "score": ("score", "OWN/pack.json", str(SUMMARY)),
    "verify-run": ("verify-run", "OWN/run/manifest.json"),
    "pim gemv": ("pim", "gemv", "hbm-pim", "--out", "256", "--in", "256"),
    "pim compare": (
        "pim",
        "compare",
        "lpddr6-pim",
        "llama-3.1-8b",
        "--isl",
        "64",
        "--osl",
        "8",
        "--draws",
        "8",
        "--out",
        "OUT",
    ),
    "import": ("import", str(EXPORTED), "--arch", "rngd"),
    "precision": ("precision", "qwen2.5-0.5b", "--scheme", "w4a16"),
    "dram": ("dram", "hbm3-6400", "--requests", "500"),
    "collective": ("collective", "h200", "--op", "all_reduce", "--bytes", "1MiB", "--ranks", "2"),
}


def _manifest(name: str, own: Path, out: Path) -> tuple[dict[str, Any], set[Path]]:
    place = out.with_suffix(".yaml") if name == "calibrate" else out
    words = [word.replace("OWN/", f"{own}/") if word != "OUT" else str(place) for word in COMMANDS[name]]
    with chdir(own), audited() as opened:
        told = tell(*words, "--json")
    return told.json["manifest"], opened


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_used_is_a_file_recorded(name: str, own: Path, tmp_path: Path) -> None:
    """The second time in one process, too, when descriptions come from memory."""
    for each in gc.get_objects():
        if type(each) is remembered:
            each.cache_clear()
    first, opened = _manifest(name, own, tmp_path / "first")
    recorded = {each["sha256"] for each in first["configs"]}
    read = {path for path in opened if not path.is_relative_to(tmp_path) and path.exists()}
    if name in ("score", "evaluate", "certify"):  # a lab's name of a model is looked for among all shipped ones
        read = {path for path in read if path.parent.name != "models"}
    missing = {str(path) for path in read if hashlib.sha256(path.read_bytes()).hexdigest() not in recorded}
    assert read and not missing
    second, _ = _manifest(name, own, tmp_path / "second")
    assert second["configs"] == first["configs"]
    names = [(each.get("folder"), each["file"]) for each in first["configs"]]
    assert len(set(names)) == len(names)
