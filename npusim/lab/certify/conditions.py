"""Whether what the rules ask for is told, by files or submission, and whether these agree; untold is not decidable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from npusim.kperf.measuring import ARRIVALS, SCOPES
from npusim.lab.cells import Cell
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause
from npusim.lab.certify.handed import Handed
from npusim.lab.certify.submission import FILE
from npusim.lab.certify.told_of import OF_CONDUCT
from npusim.lab.environment import UNKNOWN
from npusim.lab.evidence.chain import CHAIN
from npusim.lab.files.lab_run import LabRun
from npusim.lab.files.naming import shipped_arch, shipped_runtime, told_kv, told_precision
from npusim.lab.rules.copies import file_of_run
from npusim.words import Phrase
from npusim.workload.model_names import shipped_model

_SPELLED: Mapping[str, Callable[[str], str | None]] = {
    "device": shipped_arch,
    "model": shipped_model,
    "runtime": shipped_runtime,
    "precision": told_precision,
    "kv_precision": told_kv,
}
"""How npusim spells a value that files write in several ways."""
_IN_FILES = ("firmware", "sdk")
"""Of the environment, what files of runs may tell too, by the field of Conduct."""


def conditions(handed: Handed) -> Iterator[Clause]:
    """A clause for each condition of each cell, and one for each part of the environment."""
    told = handed.submission.conditions
    for cell in handed.cells:
        for name in handed.rules.conditions:
            yield _condition(handed, cell, name, getattr(told, name, None))
    environment = handed.submission.environment.told()
    for name in handed.rules.environment:
        yield _environment(handed, name, environment.get(name))


def _condition(handed: Handed, cell: Cell, name: str, stated: Any) -> Clause:
    title, files = f"conditions.{name}", handed.files(cell)
    found: dict[str, Any] = {}
    untold = []
    for repeat in handed.cells[cell]:
        values = {file_of_run(run): value for run in repeat.runs if (value := _own(handed, run, name)) is not None}
        found |= values
        if not values and stated is None:
            untold.append(repeat.run.location)
    if stated is not None:
        found[FILE] = stated
    if len({_spelled(name, value) for value in found.values()}) > 1:
        values_text = ", ".join(f"{value} ({_short(place)})" for place, value in found.items())
        return Clause(
            title, cell, FAIL, Phrase("Told in several ways: {values}.", {"values": values_text}), files, found
        )
    if untold:
        says = Phrase("Not told by {files}.", {"files": ", ".join(_short(place) for place in untold)})
        return Clause(title, cell, NOT_DECIDABLE, says, tuple(untold), found)
    value = next(iter(found.values()))
    return Clause(title, cell, PASS, Phrase("Told: {value}.", {"value": _in_words(value)}), files, found)


def _own(handed: Handed, run: LabRun, name: str) -> Any:
    """What the files of a run say themselves."""
    return getattr(run.conduct if name in OF_CONDUCT else handed.told.get(run.location, run.setting), name)


def _spelled(name: str, value: Any) -> Any:
    known = _SPELLED.get(name)
    return value if known is None else known(str(value)) or str(value).strip().lower()


def _environment(handed: Handed, name: str, stated: str | None) -> Clause:
    title = f"environment.{name}"
    found: dict[str, str] = {}
    for repeats in handed.cells.values():
        for run in (run for repeat in repeats for run in repeat.runs):
            value = getattr(run.conduct, name) if name in _IN_FILES else None
            if value is not None:
                found[file_of_run(run)] = str(value)
    for told in [] if handed.evidence is None else handed.evidence.environments:
        if told.get(name, "unknown") not in UNKNOWN:
            found[CHAIN] = told[name]
    files = (FILE, *found) if stated is not None else tuple(found)
    if stated is not None:
        found[FILE] = stated
    if not found:
        says = Phrase("Told neither by {file} nor by a file of a run.", {"file": FILE})
        return Clause(title, None, NOT_DECIDABLE, says)
    others = sorted(set(found.values()))
    if len(others) > 1 and not _one_in_all(others):
        says = Phrase("Told in several ways: {values}.", {"values": ", ".join(others)})
        return Clause(title, None, FAIL, says, files, found)
    return Clause(title, None, PASS, Phrase("Told: {value}.", {"value": max(others, key=len)}), files, found)


def _one_in_all(values: list[str]) -> bool:
    """Whether the shortest stands in each of the others: a version, with or without the name of its software."""
    shortest = min(values, key=len).lower()
    return all(shortest in value.lower() for value in values)


def _in_words(value: Any) -> Any:
    """A value as a reader's language has it; what is no word of npusim stays as it is."""
    if isinstance(value, bool):
        return Phrase("yes" if value else "no")
    return Phrase(value) if value in _WORDS else value


_WORDS = ("different", "alike", *ARRIVALS, *SCOPES)
"""Values that are words of npusim."""


def _short(place: str) -> str:
    return place.rsplit("/", 1)[-1]
