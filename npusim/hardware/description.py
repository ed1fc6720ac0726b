"""Descriptions in files: which file a name means, and what a description says that extends another one.

A description with `extends: NAME` (or `based_on`, or `inherits`) takes from that one whatever it does not say itself:
maps are joined key by key; numbers with their provenance, lists and plain values are replaced as a whole. An item of a
list may say `inherits: NAME`, too: it is the item of that name of the list that it replaces, with its own keys over it.
Name, title, aliases and note are never taken over; what is of the place of a chip (the server that houses its card, the
device around it) is not by one that says anything of chip or card itself: it is another chip's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.inputs import is_file, read_tree

EXTENDS = "extends"
_SPELLINGS = (EXTENDS, "based_on", "inherits")
_OWN = ("name", "title", "aliases", "note", *_SPELLINGS)
_CHIP, _PLACE = ("chip", "card"), ("housing", "device")
_BARE_NAME = r"\w[\w.+-]{0,99}"
_YAML = {".yaml", ".yml"}


class Description(Part):
    """A description that may extend another one of its kind, which is shipped in `FOLDER` of arch_configs."""

    FOLDER: ClassVar[str]

    extends: str | None = None
    """Name or path of the description of the same kind that it changes, also spelt `based_on` or `inherits`; none if
    omitted."""


def named(schema: type[Description]) -> WrapValidator:
    """Reads a part that is given by the name of a shipped file of its kind, by a file's path, or as a map.

    A relative path counts from the folder of the description that names it, or from the working folder.
    """

    def resolve(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, dict | str):
            return check(value)
        file = part_file(schema.FOLDER, value) if isinstance(value, str) else None
        with completed(schema.FOLDER, value if file is None else read_yaml(file), file) as whole:
            return check(whole)

    return WrapValidator(resolve)


_FOLDERS: ContextVar[tuple[Path, ...]] = ContextVar("_FOLDERS", default=())


@contextmanager
def _reading_from(*folders: Path) -> Iterator[None]:
    """Meanwhile, files that a description names are looked for in these folders first."""
    token = _FOLDERS.set((*folders, *_FOLDERS.get()))
    try:
        yield
    finally:
        _FOLDERS.reset(token)


def part_file(folder: str, name_or_path: str) -> Path:
    """The file of a shipped part in that folder of arch_configs, or a user's own. Raises UserError with the names."""
    if Path(name_or_path).suffix in _YAML:
        beside = (each / name_or_path for each in _FOLDERS.get())
        return next((path for path in beside if is_file(path)), Path(name_or_path))
    files = {path.stem: path for path in sorted((data_root("arch_configs") / folder).glob("*.yaml"))}
    if name_or_path not in files:
        raise UserError(
            folder, name_or_path, f"no such file; known: {', '.join(files)}, or give a path ending in .yaml"
        )
    return files[name_or_path]


@contextmanager
def completed(folder: str, data: Any, file: Path | None) -> Iterator[Any]:
    """As `extended`; meanwhile, files that it names are looked for beside it, then beside those that it extends."""
    bases = lineage(folder, data, file)
    with _reading_from(*(path.parent for path in (file, *(base for base, _ in bases)) if path is not None)):
        yield extended(folder, data, file)


def extended(folder: str, data: Any, file: Path | None = None) -> Any:
    """A description of that folder's kind, in a file or in place, completed by what it extends.

    Raises UserError for an unknown name and for a circle.
    """
    bases = lineage(folder, data, file)
    if not bases:
        return data
    known: Any = {}
    for _, base in reversed(bases):
        known = _laid_over(_taken_over(known, base), {key: value for key, value in base.items() if key not in _OWN})
    own = {key: value for key, value in data.items() if key not in _SPELLINGS}
    return _laid_over(_taken_over(known, own), own | {EXTENDS: _base_name(data, file)})


def _taken_over(known: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What a description takes over of all that those which it extends say."""
    is_other = any(own.get(key) is not None for key in _CHIP)
    return {key: value for key, value in known.items() if key not in _PLACE} if is_other else known


def lineage(folder: str, data: Any, file: Path | None = None) -> list[tuple[Path, dict[str, Any]]]:
    """File and content of the description that this one extends, of the one that that extends, and so on."""
    bases: list[tuple[Path, dict[str, Any]]] = []
    seen = set() if file is None else {file.resolve()}
    while (name := _base_name(data, file)) is not None:
        base = _base_file(folder, name, file)
        if base.resolve() in seen:
            raise UserError(str(file), EXTENDS, f"{base.name} extends itself in a circle; take the key out of one file")
        seen.add(base.resolve())
        data, file = read_yaml(base), base
        bases.append((base, data))
    return bases


def _base_name(data: Any, file: Path | None) -> str | None:
    """The name or path under `extends`, however it is spelt; None without one."""
    given = [key for key in _SPELLINGS if key in data] if isinstance(data, dict) else []
    if not given:
        return None
    name = data[given[0]]
    location = str(file) if file is not None else "description"
    if len(given) > 1:
        raise UserError(location, given[1], f"means the same as {given[0]}; give one of them")
    if not isinstance(name, str) or not (Path(name).suffix in _YAML or re.fullmatch(_BARE_NAME, name)):
        raise UserError(
            location, given[0], "must be the name of a description, such as rngd, or a path ending in .yaml"
        )
    return name


def _base_file(folder: str, name: str, file: Path | None) -> Path:
    """A bare name means another file beside this one, else the shipped one."""
    if file is None:
        return part_file(folder, name)
    if Path(name).suffix not in _YAML:
        beside = file.with_name(f"{name}.yaml")
        if is_file(beside) and beside.resolve() != file.resolve():
            return beside
    try:
        with _reading_from(file.parent):
            found = part_file(folder, name)
    except UserError as error:
        raise UserError(str(file), EXTENDS, f"'{name}': {error.message}") from error
    if not is_file(found):
        raise UserError(str(file), EXTENDS, f"'{name}': no such file; give a path from the folder of this description")
    return found


def _laid_over(base: Any, changes: Any) -> Any:
    if isinstance(base, list) and isinstance(changes, list):
        return [_item_over(base, item) for item in changes]
    both = isinstance(base, dict) and isinstance(changes, dict)
    if not both or "value" in base or "value" in changes:
        return changes
    if "kind" in base and changes.get("kind", base["kind"]) != base["kind"]:
        return changes
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in changes.items()}}


def _item_over(base: list[Any], item: Any) -> Any:
    """An item of a list; one that says `inherits: NAME` is the base's item of that name with its own keys over it."""
    spelling = next((key for key in _SPELLINGS if isinstance(item, dict) and key in item), None)
    known = {each["name"]: each for each in base if isinstance(each, dict) and isinstance(each.get("name"), str)}
    if spelling is None or not known:
        return item
    if item[spelling] not in known:
        raise UserError("description", spelling, f"'{item[spelling]}' is none of {', '.join(known)}")
    return _laid_over(known[item[spelling]], {key: value for key, value in item.items() if key != spelling})


def read_yaml(path: Path) -> Any:
    """The content of a YAML file as a plain tree."""
    data = read_tree(path)
    if not isinstance(data, dict):
        raise UserError(str(path), "", "must be a map of keys to values")
    return data
