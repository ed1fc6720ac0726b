"""The rules of the code: imports go down the floors only, and every number is named or has a provenance."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest

import npusim
from npusim.hardware.catalog import calibration_path, shipped_systems
from npusim.hardware.data import data_root
from npusim.hardware.description import read_yaml

PACKAGE = Path(npusim.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

FLOORS = {
    "units": 0,
    "ledger": 0,
    "errors": 0,
    "dtypes": 0,
    "compilation": 0,
    "interpreted": 0,
    "kernel_folder": 0,
    "cache_folder": 0,
    "words": 0,
    "phrasebook": 0,
    "scales": 0,
    "manifest": 0,
    "inputs": 0,
    "publish": 0,
    "workers": 0,
    "safe_text": 0,
    "metric_row": 0,
    "metric_names": 0,
    "metrics": 0,
    "hardware": 1,
    "workload": 2,
    "mapping": 3,
    "fidelity": 3,
    "graphs": 3,
    "kernels": 4,
    "engine": 5,
    "bounds": 5,
    "serving": 6,
    "conditions": 6,
    "kperf": 7,
    "report": 8,
    "answers": 9,
    "evidence": 10,
    "explore": 11,
    "lab": 12,
    "api": 13,
    "cli": 14,
    "__main__": 15,
}

COUNT_KEYS = {
    "sizes",
    "contexts",
    "multiple",
    "isl",
    "osl",
    "users",
    "requests_per_user",
    "tokens",
    "features",
    "vocabulary",
    "sessions",
    "begins_at",
    "longest_context",
}
"""Keys of shapes and counts that a person chose: they are exact and need no provenance."""


def _top(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and first part below `npusim` of everything that a module imports from this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, _top(item.name)) for item in node.names if item.name.split(".")[0] == "npusim")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import"
            elif node.module == "npusim":
                yield from ((node.lineno, item.name) for item in node.names if item.name != "__version__")
            elif node.module and node.module.startswith("npusim."):
                yield node.lineno, _top(node.module)


def _upward(source: str, own: str) -> list[str]:
    """Imports of a module of the part `own` that do not go down."""
    return [
        f"line {line}: {own} imports {part}"
        for line, part in _imports(ast.parse(source))
        if part != own and FLOORS.get(part, 99) >= FLOORS[own] > 0
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_floors(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        assert {part for _, part in _imports(ast.parse(path.read_text(encoding="utf-8")))} <= {"api"}
        return
    assert own in FLOORS, f"{own} has no floor"
    assert _upward(path.read_text(encoding="utf-8"), own) == []


def test_the_lowest_floor_imports_nothing_above_it() -> None:
    for path in MODULES:
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if FLOORS.get(name) == 0:
            parts = {part for _, part in _imports(ast.parse(path.read_text(encoding="utf-8")))}
            assert {FLOORS[part] for part in parts} <= {0}, path


def test_an_upward_import_would_be_found() -> None:
    assert _upward("from npusim.serving.server import Server\n", "engine") == ["line 1: engine imports serving"]
    assert _upward("def late():\n    import npusim.cli.main\n", "kperf") == ["line 2: kperf imports cli"]
    assert _upward("from npusim import dtypes\nfrom npusim.units import to_si\n", "hardware") == []


SMALLEST_TOLD = 17
"""Whole numbers below it are structure: operands, bits, bytes of a type, halvings."""
ROOMS = ("hardware", "workload", "mapping", "fidelity", "graphs", "kernels", "engine", "serving", "bounds", "answers")


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _structural(value: float) -> bool:
    return value == 0.5 or (abs(value) < SMALLEST_TOLD and value == round(value))


class _Bare(ast.NodeVisitor):
    """Collects line and text of numbers that nothing explains.

    Explained are a constant of a module or a class that has a docstring below it or a comment above it, small whole
    numbers, and the scales of numbers inside a text. Arithmetic between two numbers is a number that hides.
    """

    def __init__(self, source: str) -> None:
        self.found: list[tuple[int, str]] = []
        self._lines = source.splitlines()
        self.visit(ast.parse(source))

    def visit_Module(self, node: ast.Module | ast.ClassDef) -> None:
        for statement, after in pairwise([*node.body, ast.Pass()]):
            constant = isinstance(statement, ast.Assign | ast.AnnAssign)
            if not (constant and (_is_docstring(after) or self._has_comment(statement.lineno))):
                self.visit(statement)

    visit_ClassDef = visit_Module

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        """Nothing in a text is computed with."""

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if _number(node.left) and _number(node.right):
            self.found.append((node.lineno, ast.unparse(node)))
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, int | float) and _number(node) and not _structural(node.value):
            self.found.append((node.lineno, str(node.value)))

    def _has_comment(self, line: int) -> bool:
        """Whether a comment begins the block of lines that ends with this one."""
        above = takewhile(str.strip, reversed(self._lines[: line - 1]))
        return any(re.match(r" *#(?! *(noqa|type:|fmt:))", text) for text in above)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@pytest.mark.parametrize("room", ROOMS)
def test_every_number_in_code_is_small_or_named_and_explained(room: str) -> None:
    found = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        bare = _Bare(path.read_text(encoding="utf-8")).found
        found += [f"{path.relative_to(PACKAGE).as_posix()}:{line}: {text}" for line, text in bare]
    assert found == []


def test_a_bare_number_in_code_would_be_found() -> None:
    source = '''
BARE = 0.83
TOLD = 0.83
"""What it is."""

# What these are.
FIRST = 1e9
SECOND = 2.0**30

ALONE = 1e9


class Part:
    size: int = 4096
    rate: int = 4096
    """What it is."""


def cost(x):
    hidden = 4.0 + 2.0
    factor = 0.25  # of what
    return 2.0 * x + 1.5e12 + hidden * factor, f"{x / 1e9:g} GB/s"
'''
    assert [text for _, text in _Bare(source).found] == [
        "0.83", "1000000000.0", "4096", "4.0 + 2.0", "0.25", "1500000000000.0"
    ]  # fmt: skip


def _leaves(node: Any, path: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, key and value of every leaf that is not inside a provenance."""
    if isinstance(node, dict):
        if {"value", "kind", "source"} <= node.keys():
            return
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}".lstrip("."), str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}.{index}", key)
    else:
        yield path, key, node


_NUMBER_WITH_UNIT = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?\s*[A-Za-zµ%]*(/[A-Za-z]+)?")


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER_WITH_UNIT.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _uncertified(data: Any) -> list[str]:
    return [f"{path}: {value}" for path, key, value in _leaves(data) if _is_number(value) and key not in COUNT_KEYS]


CALIBRATIONS = {calibration_path(name) for name in shipped_systems()}
"""Their numbers share one source, the fit; `test_calibration.py` reads them."""
DATA_FILES = [
    path
    for kind in ("arch_configs", "workloads", "rules")
    for path in sorted(data_root(kind).rglob("*.yaml"))
    if path not in CALIBRATIONS
]


@pytest.mark.parametrize("path", DATA_FILES, ids=lambda path: path.stem)
def test_every_number_of_a_shipped_description_has_a_provenance(path: Path) -> None:
    assert _uncertified(read_yaml(path)) == []


def test_a_bare_number_in_a_description_would_be_found() -> None:
    data = {
        "chip": {"clock": {"value": "1 GHz", "kind": "datasheet", "source": "x"}, "lanes": 8, "rate": "5 GB/s"},
        "batch": {"sizes": [1, 2], "note": "NVLink 4"},
        "points": [{"isl": 3, "efficiency": 0.5}],
    }
    assert _uncertified(data) == ["chip.lanes: 8", "chip.rate: 5 GB/s", "points.0.efficiency: 0.5"]
