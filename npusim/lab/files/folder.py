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
    """A file that was skipped, and why. broken: it is of a known kind, and cannot be read."""

    location: str
    reason: str
    broken: bool = False


@dataclass(frozen=True)
class HandedIn:
    """files: that were read; runs: of them; tables: those of npusim's own measured kinds; unread: other files."""

    files: tuple[Path, ...]
    runs: tuple[LabRun, ...]
    tables: tuple[Path, ...]
    unread: tuple[Unread, ...]


def hand_in(path: Path) -> HandedIn:
    """Every run of a file, or of the files of a folder and its folders. A broken file of a folder is named and passed
    over. Raises UserError."""
    if is_file(path):
        found = _content(path, path)
        if isinstance(found, str):
            raise UserError(str(path), "", f"is of no known kind; {_known()}")
        return HandedIn((path,), tuple(found or ()), () if found is not None else (path,), ())
    if not is_folder(path):
        raise UserError(str(path), "", "no such file or folder; give what the lab handed over")
    files: list[Path] = []
    runs: list[LabRun] = []
    tables: list[Path] = []
    unread: list[Unread] = []
    for file in _files(path):
        try:
            found = _content(file, path)
        except UserError as error:
            unread.append(Unread(str(file), f"not read: {error}", broken=True))
            continue
        if isinstance(found, str):
            unread.append(Unread(str(file), found))
            continue
        files.append(file)
        runs += found or ()
        tables += [file] if found is None else []
    if not files:
        broken = next((each.reason for each in unread if each.broken), "")
        raise UserError(str(path), "", f"holds no file of a known kind; {broken or _known()}")
    return HandedIn(tuple(files), tuple(runs), tuple(tables), tuple(unread))


def _content(file: Path, handed: Path) -> list[LabRun] | str | None:
    """The runs of a file of what was handed in, None for one of npusim's own tables, or why it is skipped. Raises
    UserError."""
    if file != handed and _leads_out(file, handed):
        return "a link out of the folder; hand in the file itself"
    if file.suffix.lower() == ".csv" and _is_table(read_lab_text(file)):
        return None
    return _runs(file, alone=file == handed)


def _known() -> str:
    return f"known: {', '.join(each.says for each in all_formats())}, and npusim's measured tables"


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
