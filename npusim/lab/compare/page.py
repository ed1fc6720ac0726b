"""The comparison of two labs as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import plotly.graph_objects as go

from npusim.lab.compare.compare import Compared, Pair
from npusim.metric_names import metric
from npusim.report.charts import COLOURS, layout
from npusim.report.page import Block, Chart, Page, Section, Table, Text
from npusim.words import Say

_MOST_CHARTS = 8
"""Figures that are drawn."""


def comparison_page(found: Compared, manifest: Mapping[str, Any], say: Say, language: str) -> Page:
    """The page in the language that `say` speaks."""
    names = [lab.name for lab in found.labs]
    summary = [
        say("Laboratory A: {name}", name=names[0]),
        say("Laboratory B: {name}", name=names[1]),
        *_of_factor(found, say),
    ]
    sections = [
        Section(say("Common factor"), list(_factors(found, say))),
        Section(say("Agreement"), list(_agreement(found, say))),
        Section(say("Pairs"), [_pairs(found, say)]),
        Section(say("Unpaired cells"), [_unpaired(found, say)]),
    ]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    return Page(say("Comparison of two laboratories"), summary, sections, manifest, language, words)


def _of_factor(found: Compared, say: Say) -> Iterator[str]:
    factor = found.factors.get(found.main)
    if factor is None:
        yield say("No cell is in both, so there is no common factor.")
        return
    values = {"metric": _heading(found.main, say), "value": f"{factor.value:.4g}", "cells": factor.cells}
    if factor.low is None or factor.high is None:
        yield say("{metric} of B over that of A: {value}, over {cells} cells; no uncertainty is known.", **values)
        return
    ends = {"low": f"{factor.low:.4g}", "high": f"{factor.high:.4g}"}
    yield say("{metric} of B over that of A: {value} ({low} to {high}, 95 %), over {cells} cells.", **values, **ends)


def _heading(name: str, say: Say) -> str:
    row = metric(name)
    return name if row is None else say(row.label)


def _factors(found: Compared, say: Say) -> Iterator[Block]:
    headings = [say(word) for word in ("Figure", "Cells", "B / A", "Low", "High")]
    rows = [
        [_heading(name, say), str(each.cells), *(_text(value) for value in (each.value, each.low, each.high))]
        for name, each in found.factors.items()
    ]
    caption = "Robust mean of the ratios over all paired cells and its 95 % interval (ISO 13528:2022, Algorithm A)."
    yield Table(say(caption), headings, rows, frozenset({1, 2, 3, 4}))


def _agreement(found: Compared, say: Say) -> Iterator[Block]:
    scored = [pair for pair in found.pairs if pair.en is not None]
    agreeing = sum(1 for pair in scored if pair.en is not None and pair.en <= 1.0)
    yield Text(say("{agreeing} of {scored} scored pairs have an E_n of 1 or less; {others} have none.",
                   agreeing=agreeing, scored=len(scored), others=len(found.pairs) - len(scored)))  # fmt: skip
    names = list(dict.fromkeys(pair.metric for pair in found.pairs if pair.ratio is not None))
    for name in ([found.main] if found.main else []) + [name for name in names if name != found.main]:
        if names.index(name) < _MOST_CHARTS:
            own = [pair for pair in found.pairs if pair.metric == name and pair.ratio is not None]
            caption = say("{metric}: B over A by cell; bars: expanded uncertainty.", metric=_heading(name, say))
            yield Chart(caption, _ratios(own, found.k, say))
    if scored:
        yield Chart(say("E_n by cell and figure; beyond the line the labs disagree."), _scores(scored, say))


def _ratios(pairs: list[Pair], k: float, say: Say) -> go.Figure:
    figure = go.Figure()
    ratios = [pair.ratio or 0.0 for pair in pairs]
    far = [k * (pair.relative or 0.0) * ratio for pair, ratio in zip(pairs, ratios, strict=True)]
    cells = [say(pair.cell.text) for pair in pairs]
    figure.add_scatter(x=ratios, y=cells, mode="markers", error_x={"type": "data", "array": far}, marker={"size": 9})
    figure.add_vline(x=1.0, line={"color": COLOURS[6], "dash": "dot"})
    figure.update_layout(height=160 + 30 * len(pairs))
    layout(figure, say("B / A"), "")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _scores(pairs: list[Pair], say: Say) -> go.Figure:
    figure = go.Figure()
    for name in dict.fromkeys(pair.metric for pair in pairs):
        own = [pair for pair in pairs if pair.metric == name]
        texts = [say(pair.cell.text) for pair in own]
        figure.add_scatter(x=[pair.en for pair in own], y=texts, mode="markers", name=_heading(name, say))
    figure.add_vline(x=1.0, line={"color": COLOURS[1]})
    figure.update_layout(height=220 + 30 * len({pair.cell for pair in pairs}))
    layout(figure, "E_n", "")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _pairs(found: Compared, say: Say) -> Table:
    words = ("Cell", "Figure", "A", "U(A)", "B", "U(B)", "B / A", "E_n", "s_r", "s_R", "Remark")
    rows = []
    for pair in found.pairs:
        spread = pair.precision
        expanded = [None if each.standard is None else found.k * each.standard for each in (pair.one, pair.other)]
        figures = (pair.one.mean, expanded[0], pair.other.mean, expanded[1], pair.ratio, pair.en)
        both = (spread.repeatability, spread.reproducibility) if spread else (None, None)
        remark = "; ".join(filter(None, (pair.reason, *pair.differ)))
        rows.append([say(pair.cell.text), _heading(pair.metric, say), *map(_text, (*figures, *both)), remark or "-"])
    caption = say(
        "U = {k} u of the mean; E_n by ISO/IEC 17043; s_r and s_R by ISO 5725-2, one-way analysis of variance.",
        k=f"{found.k:g}",
    )
    return Table(caption, [say(word) for word in words], rows, frozenset(range(2, 10)))


def _unpaired(found: Compared, say: Say) -> Table:
    rows = [[lab, say(cell.text), say(reason)] for lab, cell, reason in found.unpaired]
    headings = [say(word) for word in ("Laboratory", "Cell", "Reason")]
    return Table(say("Cells that one laboratory alone measured."), headings, rows)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"
