"""There is one table of metrics: no second list in the code, every alias leads back to it, and the docs tell it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import npusim
from npusim.bounds.unit_readings import slips
from npusim.metric_names import figure_of, figures_in, metric, named_by, resolve, siblings, statistic, told_as
from npusim.metric_row import Metric, Shown
from npusim.metrics import ESTIMATES, METRICS, PASSES, UNIT_NAMES, shown

PACKAGE = Path(npusim.__file__).parent
DOCS = Path(__file__).resolve().parents[1] / "docs"
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "metrics.py"]
EVERY = (*PASSES, *ESTIMATES, *METRICS)
COMMON = {"requests", "refused"}
"""Names of figures that are plain words elsewhere."""
NAMES = {name for row in EVERY for name in (row.name, row.quantity, row.label)} - COMMON
NAMES |= {alias.text for row in METRICS for alias in row.aliases}
MOST = 2
"""Names that may stand in one collection: two are a pair, more are a list."""


def _named(node: ast.AST) -> Iterator[str]:
    """Names of metrics in a collection and in whatever is in it, but not those that it looks something up by."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Constant) and child.value in NAMES:
            yield child.value
        elif not isinstance(child, ast.Subscript):
            yield from _named(child)


def lists(source: str) -> list[tuple[int, list[str]]]:
    """Line and names of every collection of a module that names more than MOST metrics."""
    collections = (ast.List, ast.Tuple, ast.Set, ast.Dict)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, collections)]
    found = ((node.lineno, sorted(set(_named(node)))) for node in nodes)
    return [(line, names) for line, names in found if len(names) > MOST]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_lists_metrics(path: Path) -> None:
    assert lists(path.read_text(encoding="utf-8")) == []


def test_a_list_of_metrics_would_be_found() -> None:
    assert lists('A = ("ttft_ms_mean", "tpot_ms_mean", "power_w_mean")') != []
    assert lists('A = {"x": Chart("ttft_ms"), "y": [Chart("TPOT p50")], "output_throughput": 1}') != []
    assert lists('A = ("ttft_ms_mean", "tpot_ms_mean", row["power_w_mean"], "cards")') == []


def test_names_tell_quantity_statistic_and_unit() -> None:
    for row in METRICS:
        assert row.name == (f"{row.quantity}_{row.statistic}" if row.statistic else row.quantity)
        assert row.unit != "ms" or row.quantity.endswith("_ms")
        assert row.better in ("less", "more", "") and (row.definition or row.shown < Shown.FOLDED)
        assert all(metric(name) is not None for name in (*row.error_from, row.inverse_of, row.compared_with) if name)
        assert row.follows is None or row.follows.estimate in {each.name for each in ESTIMATES}
    assert len({row.name for row in METRICS}) == len(METRICS)


def test_every_alias_leads_to_its_row() -> None:
    for row in METRICS:
        for alias in row.aliases:
            text = alias.text.replace("{}", "p99")
            wanted = f"{row.quantity}_p99" if "{}" in alias.text else metric(resolve(row.quantity))
            found = figure_of(alias.tool, text)
            assert found is not None and found[1] == alias.factor
            assert found[0] == (wanted if isinstance(wanted, str) else wanted and wanted.name), alias
    told = {(alias.tool, alias.text) for row in METRICS for alias in row.aliases}
    for tool in {tool for tool, _ in told}:
        assert set(named_by(tool)) == {text for own, text in told if own == tool}


def test_former_spellings_are_resolved() -> None:
    spelled = {"power_w": "power_w_mean", "ttft_ms": "ttft_ms_mean", "speed_mean": "tokens_per_s_per_user"}
    assert {name: resolve(name) for name in spelled} == spelled
    assert resolve("us") == "us" and metric("us") is None
    assert told_as("columns of measured tables", "power_w_mean") == "power_w"
    assert told_as("columns of measured tables", "power_w_p99") == "power_w_p99"


def test_a_percentile_without_a_row_has_its_quantitys() -> None:
    found = metric("ttft_ms_p99.9")
    assert found is not None and (found.unit, found.quantity, found.statistic) == ("ms", "ttft_ms", "p99.9")
    assert found.shown == Shown.LAB and siblings("ttft_ms_p99.9")[0] == "ttft_ms_mean"
    assert [statistic(word) for word in ("avg", "Median", "99.90_percentile", "P25", "std")] == [
        "mean", "p50", "p99.9", "p25", None,
    ]  # fmt: skip


def test_figures_of_a_file_come_in_the_order_of_the_table() -> None:
    keys = ["p99_tpot_ms", "mean_ttft_ms", "std_ttft_ms", "output_throughput", "mean_tpot_ms"]
    assert [name for _, name, _ in figures_in("vLLM bench", keys)] == [
        "output_tokens_per_s", "ttft_ms_mean", "tpot_ms_p99", "tpot_ms_mean",
    ]  # fmt: skip


def test_every_unit_of_a_figure_that_labs_tell_has_its_slips() -> None:
    for row in METRICS:
        if row.aliases:
            assert UNIT_NAMES[row.unit]
            assert slips(row.name) or row.unit in ("tokens/J", "tokens/s/user")


def documented() -> Iterator[str]:
    """The lines of the table of metrics in docs/kperf.md."""
    yield "| metric | in files | unit | better | definition |"
    yield "|---|---|---|---|---|"
    for quantity in dict.fromkeys(row.quantity for row in shown(Shown.FOLDED)):
        rows = [row for row in shown(Shown.FOLDED) if row.quantity == quantity]
        first: Metric = rows[0]
        names = ", ".join(f"`{row.name}`" if row is first else f"`_{row.statistic}`" for row in rows)
        heading = first.label.removesuffix(" mean")
        yield f"| {heading} | {names} | {first.unit} | {first.better} | {first.definition} |"


def test_the_docs_tell_metrics_as_the_table_does() -> None:
    text, known = (DOCS / "kperf.md").read_text(encoding="utf-8"), list(documented())
    told = text[text.index(known[0]) :].split("\n\n")[0].splitlines()
    assert [line for line in told if line not in known] == []
    assert len(told) > len(known) // 2
