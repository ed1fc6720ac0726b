"""Runs of a lab by cell of a measuring table: which of them repeat each other, and which files tell of one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from npusim.bounds.reading import Reading
from npusim.lab.files.lab_run import LabRun
from npusim.lab.files.naming import shipped_arch
from npusim.lab.rules.copies import alike_runs, file_of_run, twin_pairs
from npusim.metric_names import resolve
from npusim.workload.model_names import shipped_model


@dataclass(frozen=True)
class Cell:
    """A cell of a measuring table; None: nothing tells. users: most requests in flight."""

    chip: str | None
    model: str | None
    precision: str | None
    cards: int | None
    isl: int | None
    osl: int | None
    users: int | None

    @property
    def text(self) -> str:
        """The cell in a line."""
        chip, model, precision, cards, isl, osl, users = (
            "?" if value is None else value for value in vars(self).values()
        )
        return f"{model} {precision} on {cards} x {chip}, {isl}/{osl} x {users}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, where users are called the concurrency."""
        told = dict(vars(self))
        return {**told, "concurrency": told.pop("users")}


@dataclass(frozen=True)
class Repeat:
    """One run, in every file that tells of it; the first is the one that tells most."""

    runs: tuple[LabRun, ...]

    @property
    def run(self) -> LabRun:
        return self.runs[0]

    @property
    def files(self) -> tuple[str, ...]:
        """Files, each once, without lines."""
        return tuple(dict.fromkeys(file_of_run(run) for run in self.runs))

    @cached_property
    def figures(self) -> Mapping[str, Reading]:
        """Figures by npusim's names, each from the file that prints most digits of it."""
        found: dict[str, Reading] = {}
        for run in self.runs:
            for name, reading in run.figures.items():
                known = found.get(resolve(name))
                if known is None or reading.high - reading.low < known.high - known.low:
                    found[resolve(name)] = reading
        return found


def cells_of(runs: Sequence[LabRun]) -> dict[Cell, tuple[Repeat, ...]]:
    """The repeats of every cell, in the order of the runs, whose settings hold what was told beside the files."""
    cells = _cells(runs)
    first: list[int] = list(range(len(runs)))
    for one, other in (*alike_runs(runs), *twin_pairs(runs)):
        if cells[one] == cells[other]:
            mine, its = _root(first, one), _root(first, other)
            first[max(mine, its)] = min(mine, its)
    members: dict[Cell, dict[int, list[LabRun]]] = defaultdict(lambda: defaultdict(list))
    for place, run in enumerate(runs):
        members[cells[place]][_root(first, place)].append(run)
    return {
        cell: tuple(Repeat(tuple(sorted(each, key=lambda run: -len(run.figures)))) for each in found.values())
        for cell, found in members.items()
    }


def _root(first: list[int], place: int) -> int:
    while first[place] != place:
        place = first[place]
    return place


def _cells(runs: Sequence[LabRun]) -> list[Cell]:
    """The cell of each run; a format or a number of cards that one file leaves out is that of the others at the same
    load, where these agree."""
    plain = [_plain(run) for run in runs]
    known: dict[tuple[Any, ...], dict[str, set[Any]]] = defaultdict(lambda: {"precision": set(), "cards": set()})
    for cell in plain:
        for name, values in known[_load(cell)].items():
            values.add(getattr(cell, name))
    return [replace(cell, **_completed(cell, known[_load(cell)])) for cell in plain]


def _completed(cell: Cell, known: Mapping[str, set[Any]]) -> dict[str, Any]:
    return {name: _told(getattr(cell, name), values) for name, values in known.items()}


def _load(cell: Cell) -> tuple[Any, ...]:
    return cell.chip, cell.model, cell.isl, cell.osl, cell.users


def _told(own: Any, values: set[Any]) -> Any:
    others = values - {None}
    return next(iter(others)) if own is None and len(others) == 1 else own


def _plain(run: LabRun) -> Cell:
    setting = run.setting
    chip = None if setting.device is None else shipped_arch(setting.device) or setting.device
    model = None if setting.model is None else shipped_model(setting.model) or setting.model
    lengths = [None if each is None else round(each) for each in (setting.isl, setting.osl, setting.users)]
    return Cell(chip, model, setting.precision, setting.cards, *lengths)
