"""The recipe for a metric, as docs/extending.md has it: two files, and the figure is everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = "run rngd llama-3.1-8b --isl 64 --osl 8 --concurrency 2"
NAME = "joules_per_request"
GRID = """
name: one-cell
title: one cell
source: a test
requests_per_user: 2
arrival: burst
points: [{isl: 64, osl: 8, users: [2]}]
"""
SWEEP = {
    "name": "small", "arch": "rngd", "models": ["llama-3.1-8b"],
    "workloads": [{"isl": 64, "osl": 8, "users": [2]}],
    "vary": {"runtime.host.step_time": {"values": ["20 ms", "40 ms", "60 ms", "80 ms", "100 ms"]}}, "method": "grid",
    "limits": {f"served_{NAME}": {"max": 1e6}}, "objectives": {f"served_{NAME}": "min"}, "serving": {},
}  # fmt: skip
PROPOSAL = {
    "name": "small", "title": "Small", "architecture": "rngd", "context_of_use": "A test.",
    "maturity": {"trl": 4, "evidence": "none"},
    "claims": [{
        "name": "energy", "text": "little energy a request", "model": "llama-3.1-8b", "isl": 64, "osl": 8,
        "metric": NAME, "at_most": 1e6,
    }],
}  # fmt: skip
PATCH = """
import importlib.util, sys
from pathlib import Path

class Patched:
    def find_spec(self, name, path=None, target=None):
        file = Path(__file__).parent / (name.replace(".", "/") + ".py")
        return importlib.util.spec_from_file_location(name, file) if file.is_file() else None

sys.meta_path.insert(0, Patched())
"""
"""What every Python runs that finds it first on its path: modules beside it stand for the package's own, and what is
compiled of the others stays of use."""
RUNNER = """
import contextlib, io, json, sys
from npusim.cli.main import main

for words in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(words)
    print(json.dumps([code, out.getvalue()]))
"""


def blocks(text: str) -> list[tuple[str, str]]:
    """File and code of the blocks of the recipe."""
    recipe = re.split(r"^## ", text, flags=re.MULTILINE)
    own = next(part for part in recipe if part.startswith("A metric"))
    return re.findall(r"```python (\S+)\n(.*?)```", own, flags=re.DOTALL)


def applied(folder: Path, steps: list[tuple[str, str]]) -> Path:
    """The files of the recipe with its blocks behind the lines that they name."""
    for file, code in steps:
        anchor, rest = code.split("\n", 1)
        source = (ROOT / file).read_text(encoding="utf-8")
        assert source.count(f"{anchor}\n") == 1, anchor
        made = folder / file
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(source.replace(f"{anchor}\n", f"{anchor}\n{rest}"), encoding="utf-8")
    return folder


def run_with(folder: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Commands, one after the other in one process, on the package as `folder` changes it."""
    (folder / "sitecustomize.py").write_text(PATCH, encoding="utf-8")
    words = [sys.executable, "-c", RUNNER, json.dumps([command.split() for command in commands])]
    own = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": own}
    )


def test_a_metric_of_two_files_is_in_every_answer(tmp_path: Path) -> None:
    steps = blocks((ROOT / "docs" / "extending.md").read_text(encoding="utf-8"))
    assert [file for file, _ in steps] == ["npusim/metrics.py", "npusim/serving/metrics.py"]
    patched = applied(tmp_path / "patched", steps)
    files = {"grid.yaml": GRID, "sweep.yaml": json.dumps(SWEEP), "proposal.yaml": json.dumps(PROPOSAL)}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    told = run_with(
        patched,
        f"{RUN} --json",
        f"kperf rngd --models llama-3.1-8b --grid {tmp_path}/grid.yaml --out {tmp_path}/k --report --lang ko --json",
        f"sweep {tmp_path}/sweep.yaml --out {tmp_path}/s --json",
        f"evaluate {tmp_path}/proposal.yaml --out {tmp_path}/e.html --json",
    )
    answers = []
    for line in told.stdout.splitlines():
        code, out = json.loads(line)
        assert code == 0, told.stderr
        answers.append(json.loads(out))
    assert len(answers) == 4, told.stderr
    run, _, sweep, evaluation = answers
    assert run[NAME] == pytest.approx(8 / run["tokens_per_joule"], rel=1e-12)
    (cell,) = pd.read_csv(tmp_path / "k" / "kperf.csv").to_dict("records")
    assert cell[f"{NAME}_low"] <= cell[NAME] <= cell[f"{NAME}_high"]
    book = openpyxl.load_workbook(tmp_path / "k" / "kperf.xlsx", read_only=True)
    (heads,) = list(book.worksheets[1].iter_rows(min_row=5, max_row=5, values_only=True))
    assert "요청당 에너지 [J]" in heads
    assert "요청당 에너지 [J]" in (tmp_path / "k" / "report.html").read_text(encoding="utf-8")
    assert sweep["pareto"][0][f"served_{NAME}"] > 0.0
    assert "Energy per request [J], served" in (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    (claim,) = evaluation["claims"]
    assert claim["metric"] == NAME and claim["predicted"] > 0.0 and claim["decision"] == "accept"
    assert f"{claim['predicted']:,.4g}" in (tmp_path / "e.html").read_text(encoding="utf-8")


def test_a_row_without_a_function_stops_the_start(tmp_path: Path) -> None:
    steps = blocks((ROOT / "docs" / "extending.md").read_text(encoding="utf-8"))
    patched = applied(tmp_path / "patched", steps[:1])
    told = run_with(patched, RUN)
    code, _ = json.loads(told.stdout)
    assert code == 1 and f"no function named {NAME}" in told.stderr
