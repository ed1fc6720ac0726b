"""The rules of the house: imports go down the floors only, and no physical number stands bare."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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
    "cache_folder": 0,
    "words": 0,
    "manifest": 0,
    "inputs": 0,
    "publish": 0,
    "safe_text": 0,
    "metric_row": 0,
    "metrics": 0,
    "hardware": 1,
    "workload": 2,
    "mapping": 3,
    "kernels": 4,
    "engine": 5,
    "serving": 6,
    "kperf": 7,
    "bounds": 8,
    "report": 8,
    "answers": 9,
    "evidence": 10,
    "explore": 11,
    "lab": 12,
    "api": 13,
    "cli": 14,
    "__main__": 15,
}

COUNT_KEYS = {"sizes", "contexts", "multiple", "isl", "osl", "users", "requests_per_user"}
"""Keys of shapes and counts that a person chose: they are exact and need no provenance."""

STRUCTURAL = {0, 1, 2, 3, 4, 8, 0.5}
"""Literals of structure: counts of operands, bits of a byte, halves."""

NAMED = {
    ("engine/analytic.py", "_MAX_RUN"): "length of a buffer",
    ("engine/analytic.py", "COARSE"): "how finely a run of steps is costed",
    ("engine/event/repetition.py", "_ALIKE"): "tolerance of a comparison of times",
    ("engine/event/resources.py", "_TOLERANCE"): "tolerance of a comparison of times",
    ("engine/event/timeline.py", "_GIGABYTE"): "a unit of what is shown",
    ("engine/event/timeline.py", "_MEBIBYTE"): "a unit of what is shown",
    ("engine/event/timeline.py", "_US"): "a unit of what is shown",
    ("engine/event/trace_file.py", "_NS_PER_S"): "the unit of the file",
    ("engine/event/trace_file.py", "_US_PER_S"): "the unit of the file",
    ("engine/stepcost.py", "_US_PER_S"): "microseconds of a second",
    ("engine/run.py", "_uniform"): "constants of SplitMix64",
    ("engine/run.py", "steps_alike"): "more steps than any run has",
    ("hardware/dram_channel/addresses.py", "OPS"): "codes",
    ("hardware/dram_channel/addresses.py", "MAX_BITS"): "length of a table",
    ("hardware/dram_channel/addresses.py", "FOLD"): "half the bits of an integer",
    ("hardware/dram_channel/channel.py", "READ_PLACES"): "places of the simulator that predictions are compared with",
    ("hardware/dram_channel/channel.py", "OPS"): "watermarks of the simulator that predictions are compared with",
    ("hardware/dram_channel/measure.py", ""): "defaults of the command line",
    ("hardware/dram_channel/measure.py", "_CLEARLY"): "how clearly one limit must stand out to be named",
    ("hardware/dram_channel/measure.py", "_REMEMBERED"): "size of a cache",
    ("hardware/dram_channel/measure.py", "_WARM_UP"): "share of a run that is not measured",
    ("hardware/dram_channel/scheduler.py", "NEVER"): "bits of the largest tick",
    ("kernels/power.py", "_BISECTIONS"): "steps of a bisection",
    ("mapping/deployment.py", "_PLANNED"): "size of a cache",
    ("mapping/fitting.py", "_gib"): "bytes of a GiB, for messages",
    ("mapping/grouped.py", "_HALF_WIDTH"): "half width of a uniform distribution over its standard deviation, squared",
    ("mapping/rows.py", "_HALF"): "bits of a 16-bit format",
    ("mapping/specialise.py", "_ROUNDING"): "rounding of a sum",
    ("mapping/rows.py", "linear"): "a cast reads 16 bits and writes 8: one and a half 16-bit elements",
    ("mapping/optable.py", "KINDS"): "codes",
    ("mapping/optable.py", "OPS"): "codes",
    ("serving/planning.py", "_MS"): "milliseconds of a second",
    ("serving/planning.py", "_SERVED"): "number of plans that are served",
    ("serving/metrics.py", "_PER_SECOND"): "milliseconds of a second",
    ("serving/metrics.py", "weighted_percentiles"): "percent",
    ("serving/metrics.py", "power_w_p99"): "the percentile that is reported",
    ("serving/uncertainty.py", "DRAWS"): "number of draws",
}
"""Where other literals may stand, by file and by the constant or function that holds them, and what they are."""


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


def _literals(source: str) -> Iterator[tuple[int, str, float]]:
    """Line, holder and value of every number in a module; the holder is a module constant or the nearest function."""

    def walk(node: ast.AST, holder: str) -> Iterator[tuple[int, str, float]]:
        for child in ast.iter_child_nodes(node):
            inside = holder
            if isinstance(child, ast.FunctionDef):
                inside = child.name
            elif isinstance(child, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Module):
                inside = _assigned(child)
            if isinstance(child, ast.Constant) and type(child.value) in (int, float):
                yield child.lineno, inside, child.value
            yield from walk(child, inside)

    yield from walk(ast.parse(source), "")


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Tuple):
        return "KINDS" if getattr(target.elts[0], "id", "") == "LINEAR" else "OPS"
    return getattr(target, "id", "")


def _bare(source: str, place: str) -> list[str]:
    return [
        f"{place}:{line}: {value} in {holder or 'the module'}"
        for line, holder, value in _literals(source)
        if value not in STRUCTURAL and (place, holder) not in NAMED
    ]


@pytest.mark.parametrize("package", ["kernels", "engine", "mapping", "serving"])
def test_no_physical_number_stands_in_code(package: str) -> None:
    found = []
    for path in sorted((PACKAGE / package).rglob("*.py")):
        found += _bare(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
    assert found == []


def test_a_bare_number_in_code_would_be_found() -> None:
    source = "RATE = 0.83\n\ndef cost(x):\n    return 2.0 * x + 1.5e12\n"
    assert _bare(source, "kernels/x.py") == ["kernels/x.py:1: 0.83 in RATE", "kernels/x.py:4: 1500000000000.0 in cost"]


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
    for kind in ("arch_configs", "workloads")
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
