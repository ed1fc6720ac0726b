"""No module but `npusim.inputs` opens a file to read it: limits and the record of files hang on that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import npusim

PACKAGE = Path(npusim.__file__).parent
INPUTS = PACKAGE / "inputs"

READS = {
    "read_text", "read_bytes", "read_csv", "read_excel", "read_parquet", "read_table", "read_json", "open", "YAML",
    "load_workbook", "ZipFile", "fromfile", "loadtxt", "genfromtxt", "safe_load", "full_load",
}  # fmt: skip
"""Functions and methods that read a file, of whatever library."""
PARSERS = {("json", "load"), ("json", "loads"), ("yaml", "load"), ("yaml", "parse"), ("csv", "reader"),
           ("csv", "DictReader"), ("tomllib", "load"), ("np", "load"), ("pickle", "load")}  # fmt: skip

EXEMPT = {
    ("kernel_folder.py", "read_bytes"): "hashes npusim's own sources",
    ("manifest.py", "read_bytes"): "hashes npusim's own sources",
    ("publish.py", "open"): "writes",
    ("cache_folder.py", "open"): "writes",
    ("explore/sweep/tables.py", "open"): "writes",
    ("hardware/changes.py", "json.loads"): "reads back the text that `as_changes` made",
    ("explore/sweep/store.py", "json.loads"): "makes a specification plain, as its file will have it",
    ("cli/failures.py", "open"): "opens the null device",
    ("evidence/calibration/calibration_file.py", "YAML"): "writes",
    ("explore/new_chip.py", "YAML"): "writes",
    ("lab/verify_run.py", "open"): "writes",
    ("lab/evidence/keys.py", "open"): "writes",
}
"""Calls that read no input, by module and function, and what they do."""


def _from_inputs(tree: ast.AST) -> set[str]:
    """Names that a module imports from `npusim.inputs`, or that its own functions have."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("npusim"):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _reads(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every call that reads a file or parses its text by a library's own parser."""
    tree = ast.parse(source)
    own = _from_inputs(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in READS - own:
            yield node.lineno, called.id
        elif isinstance(called, ast.Attribute):
            holder = called.value.id if isinstance(called.value, ast.Name) else ""
            if called.attr in READS and holder != "inputs":
                yield node.lineno, called.attr
            elif (holder, called.attr) in PARSERS:
                yield node.lineno, f"{holder}.{called.attr}"


def _unallowed(path: Path) -> list[str]:
    name = path.relative_to(PACKAGE).as_posix()
    found = _reads(path.read_text(encoding="utf-8"))
    return [f"{name}:{line}: {call}" for line, call in found if (name, call) not in EXEMPT]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if INPUTS not in path.parents],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_files_are_read_by_the_inputs_alone(path: Path) -> None:
    assert _unallowed(path) == []


ASKS = {"is_file", "is_dir", "exists"}
"""Methods of a path that fail where a folder above may not be entered; `inputs.is_file` and os.path's say no."""
OWN_FILES = {"compilation.py", "kernel_folder.py", "manifest.py", "hardware/data.py"}
"""Modules that ask for npusim's own files."""


def test_a_folder_that_may_not_be_entered_is_no_failure() -> None:
    asked = {
        f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() not in OWN_FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "inputs")
    }
    assert asked == set()


def test_every_exemption_is_needed() -> None:
    for name, call in EXEMPT:
        calls = {found for _, found in _reads((PACKAGE / name).read_text(encoding="utf-8"))}
        assert call in calls, f"{name} no longer calls {call}"


def test_a_file_that_is_read_elsewhere_would_be_found() -> None:
    source = "import json\nfrom pathlib import Path\ntext = Path('x').read_text()\nopen('x')\njson.load(x)\n"
    assert list(_reads(source)) == [(3, "read_text"), (4, "open"), (5, "json.load")]
    assert list(_reads("from npusim.inputs import read_text\nread_text(path)\n")) == []
