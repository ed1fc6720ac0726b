"""Reports: one file each, drawn by a browser without the network and without a word on its console."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import pandas as pd
import pytest
from browser_support import see

from npusim.cli.main import main
from npusim.errors import UserError
from npusim.report.charts import Axis, layout, line_chart, tornado
from npusim.report.page import Chart, Page, Section, Table, Text, render, table_of, write_page
from npusim.scales import grid_ticks

SWEEP = """
name: drawn
arch: rngd
models: [llama-3.1-8b]
workloads: [{isl: 256, osl: 32, users: [1, 4]}]
vary:
  chip.memory.channel_bandwidth: {low: 40 GB/s, high: 80 GB/s, count: 3}
  chip.unit.clock: {values: [1 GHz, 1.5 GHz]}
objectives: {output_tokens_per_s: max, power_w: min}
"""
GRID = """name: tiny
title: one shape
source: this test
arrival: burst
requests_per_user: 2
points:
  - {isl: 64, osl: 8, users: [1, 2]}
"""


def page() -> Page:
    frame = pd.DataFrame({"users": [1, 2, 4], "speed": [1.0, 2.0, 3.5], "kind": ["a", "a", "a"]})
    blocks = [
        Text("a <b>bold</b> claim", "warning"),
        table_of("rows", frame),
        Chart(
            "speed",
            line_chart(frame, "users", "speed", ["kind"], (Axis("users", True, [1.0, 2.0, 4.0]), Axis("speed"))),
        ),
        Chart("what moves it", tornado(["x</script>", "y"], [1.0, 2.0], [3.0, 2.5], 2.2, "speed")),
    ]
    return Page("A page", ["one line"], [Section("First", blocks)], {"seed": 0})


def test_a_page_is_the_same_bytes_and_escapes_what_it_is_given() -> None:
    html = render(page())
    assert html == render(page())
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "x</script>" not in html
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', html)


def test_a_page_without_charts_carries_no_library() -> None:
    plain = Page("A page", [], [Section("First", [Table("rows", ["a"], [["1"]])])], {})
    assert len(render(plain)) < 10_000


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_page(page(), tmp_path / "absent" / "page.html")
    assert not list(tmp_path.iterdir())


def test_axes_of_names_stay_names() -> None:
    assert layout(tornado(["a"], [1.0], [2.0], 1.5, "x"), "x", "").layout.yaxis.type is None


def _drawn(path: Path, folder: Path, charts: int) -> None:
    seen = see(path, folder)
    assert seen.console == []
    assert seen.charts == charts
    assert 'id="manifest"' in seen.html
    width, height = struct.unpack(">II", seen.picture.read_bytes()[16:24])
    assert (width, height) == (1200, 1600) and seen.picture.stat().st_size > 30_000


def test_a_browser_draws_every_chart(tmp_path: Path) -> None:
    write_page(page(), tmp_path / "page.html")
    _drawn(tmp_path / "page.html", tmp_path, 2)


def test_a_browser_draws_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    assert main(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    effects = pd.read_csv(tmp_path / "out" / "effects.csv")
    drawn = effects[~effects["noise"]].groupby(["users", "objective"]).ngroups
    assert drawn >= 2
    _drawn(tmp_path / "out" / "report.html", tmp_path, 2 + drawn)


@pytest.mark.parametrize(("language", "word"), [("en", "Headlines"), ("ko", "주요 결과")])
def test_a_browser_draws_a_grid(tmp_path: Path, language: str, word: str) -> None:
    (tmp_path / "tiny.yaml").write_text(GRID, encoding="utf-8")
    words = ["kperf", "rngd", "--models", "llama-3.1-8b", "--grid", str(tmp_path / "tiny.yaml"), "--no-interval"]
    assert main([*words, "--report", "--lang", language, "--out", str(tmp_path / "out")]) == 0
    report = tmp_path / "out" / "report.html"
    assert f">{word}<" in report.read_text(encoding="utf-8")
    _drawn(report, tmp_path, 6)


_WIDE_PX = 703
"""What A4 has between margins of 12 mm, in CSS pixels."""
_MEASURE = f"""<script>addEventListener("load", () => setTimeout(() => {{
  const out = [...document.querySelectorAll("body *")].filter((each) =>
    !each.closest(".chart") && each.getBoundingClientRect().right > {_WIDE_PX} + 1).map((each) => each.tagName);
  document.body.setAttribute("data-beyond", out.join(" ") || "nothing"); }}, 500));</script>"""


def test_an_a4_page_holds_wide_tables_and_long_names(tmp_path: Path) -> None:
    """The rules for print, put on the screen at the width of the paper: no part of the page reaches beyond it."""
    figures = pd.DataFrame({f"Figure number {number} [tokens/s/user]": [12_345.678] for number in range(13)})
    keys = pd.DataFrame({"key": ["server.fabric.levels.root.link.bandwidth_bytes_per_s" * 2], "why": ["word " * 60]})
    blocks = [table_of("wide", figures), table_of("long", keys)]
    shown = Page("A page", ["one line"], [Section("First", blocks)], {"argv": ["x" * 300]}, details=["more"])
    html = render(shown)
    assert "@page { size: A4;" in html and "table-header-group" in html
    at_width = f"<style>html {{ width: {_WIDE_PX}px; }}</style>{_MEASURE}</body>"
    page = tmp_path / "page.html"
    page.write_text(html.replace("@media print", "@media all").replace("</body>", at_width), encoding="utf-8")
    assert 'data-beyond="nothing"' in see(page, tmp_path).html


def test_what_is_folded_away_is_told_to_be(tmp_path: Path) -> None:
    shown = Page("A page", ["one line"], [], {}, details=["what few readers want"])
    assert "<details>\n<summary>Details</summary>" in render(shown)
    assert "<details>" not in render(Page("A page", ["one line"], [], {}))


def test_axes_have_their_ticks_at_the_values_of_a_grid_or_at_round_numbers() -> None:
    assert grid_ticks([1, 4, 16, 64]) == [1, 4, 16, 64]
    assert grid_ticks([1000, *range(2, 100)])[-1] == 1000 and len(grid_ticks(range(1, 4096))) <= 26
    narrow = Axis.holding("TPOT [ms]", [17.4, 35.1]).ticks
    assert {20.0, 30.0} <= set(narrow) and min(narrow) <= 17.4 and max(narrow) >= 35.1
    assert set(Axis.holding("x", [0.03, 400.0]).ticks) >= {0.1, 1.0, 10.0, 100.0}
    assert Axis.holding("x", [math.nan, -1.0]).ticks == ()
