"""A YAML file becomes a checked description, or one line that names file, line, key and the mend."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from npusim.errors import UserError
from npusim.hardware.changes import Changes, changed
from npusim.hardware.description import Description, completed, read_yaml
from npusim.inputs import marked_tree
from npusim.ledger import Quantity, provenances
from npusim.units import is_binary_rate


class BinaryRateWarning(UserWarning):
    """A bandwidth written in GiB/s: datasheets mean GB/s, 7 % less."""


Schema = TypeVar("Schema", bound=BaseModel)


def load_yaml(path: Path, schema: type[Schema], changes: Changes = ()) -> Schema:
    """Read `path` and check it against `schema`, with `changes`; every mistake is a UserError with file and line."""
    data = read_yaml(path)
    if issubclass(schema, Description):
        with completed(schema.FOLDER, data, path) as whole:
            return checked(changed(whole, changes), schema, path)
    return checked(changed(data, changes), schema, path)


def checked(data: Any, schema: type[Schema], path: Path) -> Schema:
    """`data` as an instance of `schema`, or the first mistake as a UserError; warns of rates in binary multiples."""
    try:
        checked = schema.model_validate(data)
    except ValidationError as error:
        raise _first_mistake(error, data, schema, path) from error
    for provenance in provenances("", checked):
        written = provenance.quantity.text
        if is_binary_rate(written):
            line, _ = _locate(data, path, tuple(provenance.path.split(".")))
            warnings.warn(
                f"{path}{f':{line}' if line else ''}: {provenance.path}: '{written}' is taken as written, but "
                f"datasheets give rates in decimal units; write '{written.replace('iB', 'B')}' if that is meant",
                BinaryRateWarning,
                stacklevel=3,
            )
    return checked


def _first_mistake(error: ValidationError, data: Any, schema: type[BaseModel], path: Path) -> UserError:
    mistake = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    line, key, message = _told(mistake, data, schema, path)
    return UserError(f"{path}:{line}" if line else str(path), key, message)


def every_mistake(
    error: ValidationError, data: Any, schema: type[BaseModel], path: Path
) -> list[tuple[int | None, str, str]]:
    """Line in the file, dotted key and mend of all that is wrong with `data`."""
    return list(dict.fromkeys(_told(mistake, data, schema, path) for mistake in error.errors()))


def line_of(data: Any, path: Path, key: str) -> int | None:
    """The line of a dotted key in the file at `path`, None where it is not in it."""
    line, keys = _locate(data, path, tuple(key.split(".")))
    return line if ".".join(keys) == key else None


def _told(mistake: Any, data: Any, schema: type[BaseModel], path: Path) -> tuple[int | None, str, str]:
    absent = mistake["type"] in ("missing", "extra_forbidden")
    line, keys = _locate(data, path, mistake["loc"], absent)
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        known = difflib.get_close_matches(keys[-1], _known_keys(schema), n=1)
        message = "unknown key" + (f"; did you mean '{known[0]}'?" if known else "; remove it")
    elif mistake["type"] == "missing":
        message = "this key is missing; add it"
    return line, ".".join(keys), message


def _locate(
    data: Any, path: Path, location: tuple[int | str, ...], last_is_absent: bool = False
) -> tuple[int | None, list[str]]:
    """Line in the file at `path` and key path in `data` of an error.

    Union tags in pydantic's location, which the file lacks, are left out.
    """
    node, marked, line, keys = data, marked_tree(path), None, []
    for position, part in enumerate(location):
        index = _index(node, part)
        if index is not None:
            line, marked = _marked(marked, index, line)
            node = node[index]
        elif not (last_is_absent and position == len(location) - 1):
            continue
        keys.append(str(part))
    return line, keys


def _marked(marked: Any, index: Any, line: int | None) -> tuple[int | None, Any]:
    """Line of an item of a marked map or list, and the item; the line before it where the file lacks it."""
    if _index(marked, index) is None:
        return line, None
    return marked.lines[index], marked[index]


def _index(node: Any, part: int | str) -> int | str | None:
    """The key of a map, or the index in a list of an item known by its number or its name; None where it is not."""
    if isinstance(node, dict):
        return part if part in node else None
    if not isinstance(node, list):
        return None
    if isinstance(part, int):
        return part if part < len(node) else None
    names = [item.get("name") if isinstance(item, dict) else None for item in node]
    return names.index(part) if part in names else None


def _known_keys(schema: type[BaseModel]) -> list[str]:
    """Every key that a schema and its parts know, for the 'did you mean'."""
    keys = set(Quantity.model_fields).union(*(model.model_fields for model in models_of(schema)))
    return sorted(keys - {"text", "unit"})


def models_of(schema: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and every model that its fields hold, directly or through others, each once, outer ones first."""
    found: dict[type[BaseModel], None] = {}

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            take(annotation)
        for inner in getattr(annotation, "__args__", ()):
            walk(inner)

    def take(model: type[BaseModel]) -> None:
        if model is not Quantity and model not in found:
            found[model] = None
            for field in model.model_fields.values():
                walk(field.annotation)

    take(schema)
    return list(found)
