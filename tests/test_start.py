"""A command starts quickly: it imports what it uses, and reads a description that was read before from the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from npusim import interpreted, units
from npusim.errors import UserError
from npusim.hardware.draws import latin_hypercube
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import plain_tree, yaml_text, yaml_tree
from npusim.workload.grid import Grid, grid_path

SLOW = (
    "scipy.linalg",
    "scipy.stats",
    "scipy.special",
    "networkx",
    "pint",
    "pandas",
    "matplotlib",
    "rich",
    "ruamel",
    "optuna",
    "dask",
    "ray",
)
STEP = ["step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "4", "--context", "1024", "--json"]
PROBE = """
import sys
from npusim.cli.main import main
code = main({words!r})
print(*{slow!r} & sys.modules.keys(), file=sys.stderr)
sys.exit(code)
"""


def _imported(words: list[str]) -> set[str]:
    """Those of the slow libraries that the command imports."""
    probe = PROBE.format(words=words, slow={*SLOW, "numba"})
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [STEP, ["list", "archs", "--json"]], ids=lambda words: words[0])
def test_a_command_imports_no_library_that_it_does_not_use(words: list[str]) -> None:
    assert _imported(words) == {"numba"}


FIRST = """
import sys
from numba.core import event
from numba.core.codegen import JITCodeLibrary
from npusim.cli.main import main
emitted = []
emit = JITCodeLibrary._finalize_specific
JITCodeLibrary._finalize_specific = lambda library: (emitted.append(library.name), emit(library))
with event.install_recorder("numba:compile") as compiled:
    code = main({words!r})
print(sum(happened.is_start for _, happened in compiled.buffer), len(emitted), file=sys.stderr)
sys.exit(code)
"""


def test_a_first_step_compiles_few_kernels(tmp_path: Path) -> None:
    """Each takes a tenth of a second, and one that becomes machine code of its own as much again."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    words = [sys.executable, "-c", FIRST.format(words=STEP)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    compiled, emitted = map(int, done.stderr.splitlines()[-1].split())
    assert 50 < compiled <= 160
    assert emitted <= 25


WITH_LIMIT = """
import sys
from npusim import interpreted
from npusim.cli.main import main
interpreted._LIMIT_S = {limit_s}
sys.exit(main())
"""


def _told(words: list[str], **environment: str) -> dict[str, Any]:
    told = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | environment
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=told)
    answer = json.loads(done.stdout)
    assert answer.pop("manifest")
    assert "Warning" not in done.stderr
    return {"answer": answer, "said": done.stderr}


def test_a_first_step_compiles_nothing_and_a_long_command_begins_anew_compiled(tmp_path: Path) -> None:
    """Plain Python gives the bits that compiled kernels give; of the two the shorter is taken."""
    plain = _told(["-m", "npusim", *STEP], XDG_CACHE_HOME=str(tmp_path))
    assert not list(tmp_path.glob("npusim/kernels-*"))
    compiled = _told(["-c", WITH_LIMIT.format(limit_s=0.05), *STEP])
    assert plain["answer"] == compiled["answer"]
    assert plain["said"] == ""


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (STEP, True),
        ([*STEP, "--engine=event"], False),
        ([*STEP, "--interval"], False),
        (["run", *STEP[1:3]], False),
        (["certify", "folder"], True),
        (["certify", "-"], False),
        ([], False),
    ],
)
def test_short_work_is_known_by_its_words(
    words: list[str], short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreted, "_COMPILED", "no such module")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert interpreted._is_short(words) is short
    (tmp_path / "scheduler_1").mkdir()
    (tmp_path / "scheduler_1" / "loop.go_on-58.py311.nbi").touch()
    assert interpreted._is_short(words) is (short and words[0] == "step"), "kernels are there"
    monkeypatch.setenv(interpreted.COMPILED_VARIABLE, "1")
    assert not interpreted._is_short(words)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which trees are kept."""
    monkeypatch.setattr(yaml_tree, "_folder", lambda: tmp_path / "trees")
    return tmp_path / "trees"


def test_text_is_parsed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1.5e-3\nb: [x, 'y', 012, null]\nc: &c {d: yes}\ne: *c\n"
    first = plain_tree(text, Path("mine.yaml"))
    assert first == {"a": 1.5e-3, "b": ["x", "y", 12, None], "c": {"d": "yes"}, "e": {"d": "yes"}}
    monkeypatch.setattr(yaml_text, "parsed", pytest.fail)
    again = plain_tree(text, Path("mine.yaml"))
    assert again == first
    assert again is not first
    assert len(list(folder.iterdir())) == 1


def test_a_damaged_tree_is_parsed_anew(folder: Path) -> None:
    plain_tree("a: 1\n", Path("mine.yaml"))
    (file,) = folder.iterdir()
    file.write_text("{", encoding="utf-8")
    assert plain_tree("a: 1\n", Path("mine.yaml")) == {"a": 1}
    assert json.loads(file.read_text(encoding="utf-8")) == {"a": 1}


def test_the_oldest_trees_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "_MOST_KEPT", 3)
    for number in range(5):
        plain_tree(f"a: {number}\n", Path("mine.yaml"))
    assert len(list(folder.iterdir())) == 3


def test_a_mistake_in_a_kept_tree_is_told_with_its_line(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(grid_path("furiosa-perf-32k").read_text(encoding="utf-8") + "usrs: 3\n", encoding="utf-8")
    line = len(file.read_text(encoding="utf-8").splitlines())
    for _ in range(2):
        with pytest.raises(UserError, match=rf"mine.yaml:{line}: usrs: unknown key; did you mean 'users'"):
            load_yaml(file, Grid)


@pytest.mark.parametrize(("unit", "wanted"), units.COMMON)
def test_common_units_are_what_pint_makes_of_them(unit: str, wanted: str) -> None:
    assert units.COMMON[unit, wanted] == units.converted(unit, wanted)


@pytest.mark.parametrize(("count", "dimensions"), [(1, 1), (32, 71), (7, 3)])
def test_latin_hypercubes_are_those_of_scipy(count: int, dimensions: int) -> None:
    known = qmc.LatinHypercube(d=dimensions, rng=np.random.default_rng(5)).random(count)
    assert np.array_equal(latin_hypercube(count, dimensions, 5), known)
