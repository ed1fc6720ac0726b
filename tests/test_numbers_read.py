"""Every number of the shipped chips and runtimes is read: it moves a figure, or code beside the estimates names it."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from cli_support import tell

import npusim
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.field_docs import sentence_at
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.shared import read_by, shared_numbers, with_shared
from npusim.serving.uncertainty import drawn_engines

PACKAGE = Path(npusim.__file__).parent
CASES = (
    ("llama-3.1-8b", "w8a16", 2, 64, 16),
    ("llama-3.1-8b", "fp8", 1, 2048, 64),
    ("qwen3-30b-a3b", "fp8", 4, 512, 32),
    ("deepseek-v3", "fp8", 8, 512, 32),
    ("llama-3.1-8b", "bf16", 1, 8192, 256),
)
"""Model, precision, cards, prompt tokens and users under which numbers are moved."""
SHOWN = {"tdp": "only shown"}
"""Numbers that only stand in what is shown, by the last word of their path, and what their sentences say of it."""


@cache
def _names_in_code() -> frozenset[str]:
    """Attributes and words of all modules but the models of descriptions themselves."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found.add(node.value)
    return frozenset(found)


def _field(deployment: Deployment, number: RangedNumber) -> tuple[bool, str]:
    return number.owner == deployment.system.name, number.name


def _moving(deployment: Deployment, numbers: list[RangedNumber], isl: int, users: int) -> Iterator[RangedNumber]:
    """Those that move an estimated figure at half of their value or at three times of it, each alone."""
    count = 1 + 2 * len(numbers)
    records = Records(np.repeat(deployment.machine, count), np.repeat(deployment.runtime_record, count))
    for index, number in enumerate(numbers):
        target = records.machines if number.owner == deployment.system.name else records.runtimes
        column = target[number.name] if number.position is None else target[number.name][:, number.position]
        value = number.quantity.value
        column[1 + 2 * index : 3 + 2 * index] = (value * 0.5, value * 3.0) if value else (0.1, 1.0)
    figures = np.nan_to_num(estimate_designs(deployment, records, isl, 32, users).to_numpy(float), nan=-1.0)
    moved = (figures[1:] != figures[0]).any(axis=1).reshape(-1, 2).any(axis=1)
    yield from (number for number, moves in zip(numbers, moved, strict=True) if moves)


def test_every_number_is_read_or_says_what_it_is_for() -> None:
    moved: set[tuple[bool, str]] = set()
    known: dict[tuple[bool, str], tuple[Deployment, RangedNumber]] = {}
    for name in shipped_systems():
        cards = load_system(name, uncalibrated=True).max_cards
        for model, precision, wanted, isl, users in CASES:
            with contextlib.suppress(UserError):
                where = deploy(name, model, precision=precision, cards=min(wanted, cards), uncalibrated=True)
                numbers = list(all_numbers(where.system, where.runtime))
                known |= {_field(where, number): (where, number) for number in numbers}
                left = [number for number in numbers if _field(where, number) not in moved]
                moved |= {_field(where, number) for number in _moving(where, left, isl, users)} if left else set()
    assert len(known) > 200
    assert len(moved) > len(known) / 2
    unread = {field: told for field, told in known.items() if field not in moved and not _is_read(*told)}
    assert [number.label for _, number in unread.values()] == []


def _is_read(where: Deployment, number: RangedNumber) -> bool:
    """Whether code reads the number from its record or its description; of what is only shown its sentence says so."""
    last = number.label.rpartition(".")[2]
    described = where.system if number.owner == where.system.name else where.runtime
    if last in SHOWN:
        return SHOWN[last] in sentence_at(described, number.label)
    return not {number.name, last}.isdisjoint(_names_in_code())


def test_a_number_that_nobody_reads_would_be_found() -> None:
    where = deploy("rngd", "llama-3.1-8b")
    number = next(each for each in all_numbers(where.system, where.runtime) if each.label == "chip.unit.clock")
    assert _is_read(where, number)
    assert {"idle_chatter", "unit_idle_chatter"}.isdisjoint(_names_in_code())


SWEEP = """name: one
arch: {arch}
models: [{model}]
precisions: [{precision}]
workloads: [{{isl: 64, osl: 8, users: [8]}}]
vary:
{vary}
objectives: {{output_tokens_per_s: max}}
{more}
"""


def _sweep(folder: Path, *vary: str, arch: str = "rngd", model: str = "qwen2.5-0.5b", **how: str) -> list[str]:
    """The warnings of a sweep."""
    told = {"precision": "bf16", "more": ""} | how
    (folder / "s.yaml").write_text(
        SWEEP.format(arch=arch, model=model, vary="\n".join(f"  {line}" for line in vary), **told)
    )
    done = tell("sweep", folder / "s.yaml", "--out", folder / "out", "--workers", "1", "--json")
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if line.startswith("warning: ")]


def test_an_axis_that_moves_nothing_is_named_with_what_it_is_for(tmp_path: Path) -> None:
    idle, tdp = "chip.power.idle", "chip.power.tdp"
    lines = _sweep(tmp_path, f"{idle}: {{values: [40 W, 48 W]}}", f"{tdp}: {{values: [180 W, 240 W]}}")
    assert [line.partition("vary.")[2].partition(":")[0] for line in lines] == [tdp]
    assert "moves no figure of this sweep by itself; Thermal design power" in lines[0]
    assert "it is only shown" in lines[0]
    recorded = json.loads((tmp_path / "out" / "manifest.json").read_text())["unmoved"]
    assert [f"vary.{tdp}"] == list(recorded) and recorded[f"vary.{tdp}"] in lines[0]
    assert f"vary.{tdp} moves no figure of this sweep" in (tmp_path / "out" / "report.html").read_text()


def test_what_moves_nothing_here_is_told_with_where_it_would(tmp_path: Path) -> None:
    (line,) = _sweep(tmp_path, "chip.unit.matrix_switch: {values: [3 us, 9 us]}")
    assert "vary.chip.unit.matrix_switch" in line and "such as that of the next expert" in line


def test_what_serving_reads_moves_a_served_sweep(tmp_path: Path) -> None:
    axis = "runtime.host.request_time: {values: [1 ms, 9 ms]}"
    (line,) = _sweep(tmp_path, axis)
    assert "vary.runtime.host.request_time" in line
    served = tmp_path / "served"
    served.mkdir()
    assert _sweep(served, axis, more="serving: {}") == []


def test_shared_assumptions_are_swept(tmp_path: Path) -> None:
    axes = ("routing.popularity.span: {values: [1, 100]}", "formats.element.fp8: {values: [8 bit, 8.25 bit]}")
    lines = _sweep(tmp_path, *axes, arch="h200", model="qwen3-30b-a3b", precision="fp8")
    assert lines == []
    points = pd.read_parquet(tmp_path / "out" / "points.parquet").set_index([axis.partition(":")[0] for axis in axes])
    rate = points["output_tokens_per_s"]
    assert rate[100.0, 8.0] > rate[1.0, 8.0], "fewer experts are touched where few are popular"
    assert rate[1.0, 8.0] > rate[1.0, 8.25], "more bytes take longer"
    (line,) = _sweep(tmp_path / "out", "routing.popularity.span: {values: [1, 100]}")
    assert "the models of this sweep do not read it" in line


def test_shared_assumptions_are_drawn() -> None:
    where = deploy("h200", "qwen3-30b-a3b", precision="fp8")
    assert {number.label for number in read_by(where)} >= {"popularity.span", "popularity.exponent", "element.fp8"}
    drawn = [engine.template for _, engine in drawn_engines(where, seed=0, draws=4, max_sequences=1)]
    own = AnalyticEngine(where, max_sequences=1).template
    assert all(template.tobytes() != own.tobytes() for template in drawn)
    assert len({template.tobytes() for template in drawn}) == len(drawn)
    dense = deploy("h200", "llama-3.1-8b")
    assert [number.label for number in read_by(dense)] == ["element.bf16", "kv.bf16"]


def test_a_deployment_under_the_shipped_values_is_the_same() -> None:
    where = deploy("h200", "qwen3-30b-a3b", precision="fp8")
    same = with_shared(where, {number: number.quantity.value for number in shared_numbers()})
    assert AnalyticEngine(same, max_sequences=1).template.tobytes() == AnalyticEngine(where, 1).template.tobytes()
    assert with_shared(where, {}) is where


def test_an_unknown_shared_assumption_is_named(tmp_path: Path) -> None:
    vary = "  routing.popularity.spam: {values: [1]}"
    text = SWEEP.format(arch="rngd", model="qwen2.5-0.5b", precision="bf16", more="", vary=vary)
    (tmp_path / "s.yaml").write_text(text)
    told = tell("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert told.code == 2
    assert "did you mean 'routing.popularity.span'" in told.err
