"""A public class, function or type has one meaning: no second module of the package defines its name.

Names that modules share on purpose are those of a contract: what each module of a plug-in folder defines, what computes
a metric of the table, and a command with the function of the Python interface that it calls.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import npusim
from npusim.metrics import ESTIMATES, METRICS

PACKAGE = Path(npusim.__file__).parent
PLUGINS = ("kernels/unit.py", "kernels/units/", "hardware/units/", "lab/files/formats/")
COMPUTED = {row.name for row in (*METRICS, *ESTIMATES)} | {"area_proxy_mm2"}


def _defined(tree: ast.Module) -> Iterator[str]:
    """Public classes, functions and types of a module; codes and limits, which are constants, are not among them."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            targets = (target for target in node.targets if isinstance(target, ast.Name))
            yield from (target.id for target in targets if not target.id.isupper())
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.isupper():
            yield node.target.id


def _is_contract(name: str, modules: list[str]) -> bool:
    if name in COMPUTED or all(module.startswith(PLUGINS) for module in modules):
        return True
    return sorted(module.partition("/")[0] for module in modules) == ["api", "cli"]


def doubles(sources: dict[str, str]) -> dict[str, list[str]]:
    """Names with more than one meaning, and the modules that define them. sources: by path in the package."""
    modules = defaultdict(list)
    for path, source in sources.items():
        for name in _defined(ast.parse(source)):
            modules[name].append(path)
    shared = {name: paths for name, paths in modules.items() if len(paths) > 1 and not name.startswith("_")}
    return {name: sorted(paths) for name, paths in shared.items() if not _is_contract(name, paths)}


def test_a_public_name_has_one_meaning() -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert doubles({path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in paths}) == {}


def test_a_second_meaning_would_be_found() -> None:
    assert doubles({"a.py": "class Plan: ...", "b.py": "Plan = tuple[int, int]"}) == {"Plan": ["a.py", "b.py"]}
    assert doubles({"cli/run.py": "def run(): ...", "api/runs.py": "def run(): ..."}) == {}
    assert doubles({"a.py": "def _run(): ...", "b.py": "def _run(): ..."}) == {}
