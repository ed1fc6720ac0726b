"""A file or a folder that a lab hands over: runs, and npusim's own measured tables; what is of no kind is named."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.evidence.measured.kinds import table_kinds
from npusim.inputs import is_file, is_folder
from npusim.lab.files.files import read_lab_text
from npusim.lab.files.format import Form, all_formats
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.files.told_twice import differences
from npusim.lab.files.trees import from_names

MOST_FILES = 10_000
"""Files and folders of a folder that is handed in."""


@dataclass(frozen=True)
class Unread:
    """A file that was skipped, and why."""

    location: str
    reason: str


@dataclass(frozen=True)
class HandedIn:
    """files: that were read; runs: of them; tables: those of npusim's own measured kinds; unread: other files."""

    files: tuple[Path, ...]
    runs: tuple[LabRun, ...]
    tables: tuple[Path, ...]
    unread: tuple[Unread, ...]


def hand_in(path: Path) -> HandedIn:
    """Every run of a file, or of the files of a folder and its folders. Raises UserError."""
    if not (is_file(path) or is_folder(path)):
        raise UserError(str(path), "", "no such file or folder; give what the lab handed over")
    files, runs, tables, unread = [], [], [], []
    for file in [path] if is_file(path) else _files(path):
        if file != path and _leads_out(file, path):
            unread.append(Unread(str(file), "a link out of the folder; hand in the file itself"))
            continue
        if file.suffix.lower() == ".csv" and _is_table(read_lab_text(file)):
            files.append(file)
            tables.append(file)
            continue
        found = _runs(file, alone=is_file(path))
        if isinstance(found, str):
            unread.append(Unread(str(file), found))
        else:
            files.append(file)
            runs += found
    if not files:
        what = "is of no known kind" if is_file(path) else "holds no file of a known kind"
        known = ", ".join(each.says for each in all_formats())
        raise UserError(str(path), "", f"{what}; known: {known}, and npusim's measured tables")
    return HandedIn(tuple(files), tuple(runs), tuple(tables), tuple(unread))


def _files(folder: Path) -> Iterator[Path]:
    found = list(itertools.islice(folder.rglob("*"), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise UserError(str(folder), "", f"holds more than {MOST_FILES:,} files; give the folder of the results alone")
    for path in sorted(found):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if is_file(path) and not hidden:
            yield path


def _leads_out(file: Path, folder: Path) -> bool:
    """Whether a file of the folder is a link to one that nobody handed in."""
    return not file.resolve().is_relative_to(folder.resolve())


def _is_table(text: str) -> bool:
    columns = {name.strip() for name in text.split("\n", 1)[0].split(",")}
    return any(kind.describes(columns) for kind in table_kinds().values())


def _runs(path: Path, alone: bool) -> list[LabRun] | str:
    """The runs of a file, or why it is skipped. alone: the file itself was handed in, not its folder."""
    contents: dict[Form, Any] = {}
    for each in all_formats():
        if path.suffix.lower() not in each.form.suffixes:
            continue
        if each.form not in contents:
            contents[each.form] = each.form.read(path)
        reason = None if alone else each.left_out(path, contents[each.form])
        if reason is not None:
            return reason
        if each.recognises(contents[each.form]):
            named = from_names(path)
            return [_under(run, named) for run in each.runs(path, contents[each.form])]
    return "of no known kind"


def _under(run: LabRun, named: RunConditions) -> LabRun:
    """The run with what names tell where its file does not, and where they contradict it."""
    wrong = (*run.conduct.contradictions, *differences(run.setting, named))
    return replace(run, setting=run.setting.told_or(named), conduct=replace(run.conduct, contradictions=wrong))
