"""A filled row of a K-Perf table, under the conditions that are told above it, as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.limits import MOST, MOST_USERS
from npusim.kperf.measuring import ARRIVALS, NO, SCOPES, YES
from npusim.lab.files.files import count, reading
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import told_precision
from npusim.metric_names import metric
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.workload.arrivals import STAGGERED, TOGETHER
from npusim.workload.formats import kv_of_label
from npusim.workload.lengths import FIXED, parse_spreads, spreads_text

TOOL = "K-Perf workbook"
FIGURES = tuple(row.name for row in shown(Shown.FOLDED))
JUDGED = tuple(row.name for row in shown(Shown.FOLDED) if not row.exact and row.better)
"""Figures that a sheet holds, and those of them that verdicts are given on."""
_CARDS = SCOPES[0]
_SAID = {
    YES: (YES, "on", "true", "y", "예", "켬"),
    NO: (NO, "off", "false", "n", "아니오", "끔"),
    "different": ("different", "random", "다름"),
    "alike": ("alike", "same", "identical", "같음"),
}
"""How people write the words that may be chosen."""

Told = dict[str, tuple[str, Any]]
"""Location and cell of what is told, by its name in `measuring.ASKED`."""


@dataclass(frozen=True)
class SheetRow:
    """location: sheet and line; cells: what it holds, by column."""

    location: str
    cells: Mapping[str, Any]

    @property
    def shape(self) -> tuple[Any, ...]:
        """Lengths and users as they stand there."""
        return tuple(self.cells.get(name) for name in ("isl", "osl", "users"))

    def renamed(self, prefix: str) -> SheetRow:
        """The row under the names without the prefix; of a name that stands there with and without it, the former."""
        mine = {name.removeprefix(prefix): cell for name, cell in self.cells.items() if name.startswith(prefix)}
        return replace(self, cells={**self.cells, **mine})

    def numbers(self) -> dict[str, float]:
        """Its figures that are numbers."""
        found = {name: self.cells.get(name) for name in FIGURES}
        return {name: cell for name, cell in found.items() if isinstance(cell, int | float)}

    def require(self, names: Iterable[str]) -> None:
        """Raises UserError where one of these cells is empty."""
        for name in names:
            if name not in self.cells:
                raise UserError(self.location, name, "is empty beside measured values; fill it in, or clear the row")


def run_of(row: SheetRow, told: Told | None, remarks: tuple[str, ...], notes: tuple[str, ...]) -> LabRun:
    """The row as a run. told: above its table; None of a table of predictions, whose own columns tell it and which
    follows the protocol of `npusim kperf`. Raises UserError."""
    reader = _Reader(_by_columns(row) if told is None else told)
    scope = reader.choice("power_scope", SCOPES)
    figures: dict[str, Reading] = {
        name: reading(row.location, name, row.cells[name]) for name in JUDGED if name in row.cells
    }
    aside = [] if scope == _CARDS else [name for name in figures if _is_of_power(name)]
    fixed = reader.yes("ignore_eos")
    if fixed is None:
        remarks = (*remarks, "whether outputs have the asked length (end of sequence ignored) is not told")
    told_of = [f"{name.replace('_', ' ')}: {value}" for name in _NOTED if (value := reader.text(name))]
    told_of += [
        f"{name} {row.cells[name]}" for name in ("accuracy_task", "accuracy_score", "remark") if name in row.cells
    ]
    told_of += [
        f"{name} {figures[name].value:,.6g} is not judged: npusim predicts the watts of cards" for name in aside
    ]
    setting = _setting(reader)
    return LabRun(
        row.location,
        TOOL,
        replace(
            setting,
            isl=count(row.location, "isl", row.cells["isl"], 1),
            osl=count(row.location, "osl", row.cells["osl"], 1),
            users=count(row.location, "users", row.cells["users"], 1, MOST_USERS),
        ),
        {name: figure for name, figure in figures.items() if name not in aside},
        Conduct(
            arrival=reader.choice("arrival", ARRIVALS),
            requests=count(row.location, "requests", row.cells["requests"], 1) if "requests" in row.cells else None,
            failed=count(row.location, "refused", row.cells["refused"]) if "refused" in row.cells else None,
            lengths_fixed=fixed is True and setting.lengths in (None, FIXED.text),
            power_scope=scope,
            warm_up=reader.text("warm_up"),
            firmware=reader.text("firmware"),
            sdk=reader.text("sdk"),
            date=reader.text("date"),
            labels=tuple(str(cell) for cell in (row.cells.get("remark"), reader.text("repeats")) if cell),
            remarks=remarks,
            notes=(*told_of, *notes),
        ),
    )


_NOTED = ("artifact", "dataset", "dataset_seed", "repeats", "power_meter")
_OF_ROW = ("accuracy_task", "accuracy_score", "remark")


def _is_of_power(name: str) -> bool:
    row = metric(name)
    return row is not None and row.unit in ("W", "tokens/J")


def _setting(reader: _Reader) -> RunConditions:
    cached, prompts = reader.yes("prefix_caching"), reader.choice("prompts", ("different", "alike"))
    return RunConditions(
        model=reader.text("model"),
        device=reader.text("device"),
        runtime=reader.text("runtime"),
        precision=reader.parsed("precision", _scheme),
        kv_precision=reader.parsed("kv_precision", lambda text: kv_of_label(text) or _scheme(text)),
        cards=reader.count("cards"),
        tensor_parallel=reader.count("tensor_parallel"),
        plan=reader.text("plan"),
        max_sequences=reader.count("max_sequences"),
        prefix_caching=cached,
        prompts=prompts,  # type: ignore[arg-type]
        lengths=reader.spread("lengths"),
        start=reader.choice("start", (TOGETHER, STAGGERED)),  # type: ignore[arg-type]
        speculation=reader.text("speculation"),
    )


def _scheme(text: str) -> str:
    """A number format by npusim's name, or as it stands there."""
    return told_precision(text) or text


def _by_columns(row: SheetRow) -> Told:
    """What the columns of a table of predictions tell of a row."""
    columns = {"device": "chip", "tensor_parallel": "chips"}
    columns_alike = ("model", "device", "runtime", "precision", "kv_precision", "cards", "tensor_parallel", "plan")
    names = (*columns_alike, "speculation")
    found = {name: row.cells.get(columns.get(name, name)) for name in names}
    found["model"] = found["model"] or row.cells.get("model_title")
    found |= {"arrival": BURST, "ignore_eos": YES, "prompts": "different", "lengths": row.cells.get("lengths")}
    found["power_scope"] = str(row.cells.get("power_scope", _CARDS)).split(" ")[0]
    return {name: (row.location, value) for name, value in found.items() if value is not None}


class _Reader:
    """What is told, each in its own form; a cell that has another is one line with its place."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def text(self, name: str) -> str | None:
        return str(self._told[name][1]).strip() if name in self._told else None

    def parsed(self, name: str, parse: Callable[[str], str]) -> str | None:
        text = self.text(name)
        return None if text is None else parse(text)

    def spread(self, name: str) -> str | None:
        """A spread of lengths in its one spelling. Raises UserError."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return spreads_text(*parse_spreads(text, name))
        except UserError as error:
            raise UserError(self._told[name][0], name, error.message) from error

    def count(self, name: str) -> int | None:
        return count(self._told[name][0], name, self._told[name][1], 1, MOST) if name in self._told else None

    def choice(self, name: str, words: tuple[str, ...]) -> str | None:
        """The word of `words` that is meant. Raises UserError."""
        text = self.text(name)
        if text is None:
            return None
        found = next((word for word in words if text.lower() in _SAID.get(word, (word,))), None)
        if found is None:
            raise UserError(self._told[name][0], name, f"'{text}' is not known; write one of: {', '.join(words)}")
        return found

    def yes(self, name: str) -> bool | None:
        found = self.choice(name, (YES, NO))
        return None if found is None else found == YES
