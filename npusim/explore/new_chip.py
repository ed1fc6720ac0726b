"""A description to begin a new chip from: another one's keys and numbers, each with what it means."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from npusim.errors import UserError
from npusim.hardware.catalog import calibration_of, load_system, shipped_systems, system_path
from npusim.hardware.description import EXTENDS, completed, read_yaml
from npusim.hardware.field_docs import field_docs
from npusim.hardware.system import System
from npusim.ledger import Domain, domain_of
from npusim.publish import publish_file, require_file

_OWN = ("name", "title", "vendor", "silicon", "note", "aliases", EXTENDS)
_WIDTH = 110
_INDENT = 2


def write_new_chip(name: str, like: str, folder: Path) -> Path:
    """Writes NAME.yaml into `folder`: all that `like` says, to be changed. Raises UserError; replaces nothing."""
    if not name.isidentifier() and not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise UserError("NAME", name, "must be letters, digits, -, _ and ., such as my-chip")
    if name.lower() in shipped_systems():
        raise UserError("NAME", name, "is the name of a shipped architecture; give another")
    path = folder / f"{name}.yaml"
    require_file(path, {".yaml": None}, "NAME")
    publish_file(path, chip_text(name, like, folder), "NAME")
    return path


def chip_text(name: str, like: str, folder: Path) -> str:
    """The text of that description. It inherits from `like`: numbers that stay as they are stay calibrated."""
    source = system_path(like)
    with completed(System.FOLDER, read_yaml(source), source) as tree:
        described = System.model_validate(tree)
    shown = load_system(like)
    known = calibration_of(like)
    fitted = {each.path: each.value for each in known.numbers if each.owner == shown.name} if known else {}
    base = like if like.strip().lower() in shipped_systems() else os.path.relpath(source, folder)
    own = {
        "name": name,
        "title": f"{name}, after {described.title}",
        "vendor": described.vendor,
        "silicon": False,
        "inherits": base,
    }
    rest = {key: value for key, value in tree.items() if key not in _OWN}
    whole = CommentedMap(own)
    whole.yaml_set_start_comment(_head(described, bool(fitted)))
    for key, value in _commented(rest, described, "", 0, fitted).items():
        whole[key] = value
    for key in own:
        _comment(whole, key, field_docs(System).get(key, "Description that it changes; what is equal stays."), 0)
    for key in rest:
        _comment(whole, key, field_docs(System)[key], 0)
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=_INDENT, sequence=_INDENT, offset=0)
    text = io.StringIO()
    yaml.dump(whole, text)
    return text.getvalue()


def _head(described: System, calibrated: bool) -> str:
    told = (
        f"Begun from {described.title}. Change what differs, and say for each number where it comes from: kind is "
        "measured, datasheet, derived, or assumed with low and high. What stays as it is may be deleted: it is "
        "inherited. npusim lint tells what is odd."
    )
    if calibrated:
        told += " A comment 'fitted' gives the value to which silicon was calibrated; it holds while a number is equal."
    return "\n".join(textwrap.wrap(told, _WIDTH)) + "\n"


def _commented(value: Any, described: Any, path: str, depth: int, fitted: dict[str, str]) -> Any:
    """The tree with a comment before each key; `described` is the checked model of it."""
    if isinstance(value, dict) and "value" in value:
        flat = CommentedMap(value)
        flat.fa.set_flow_style()
        return flat
    if isinstance(value, dict) and isinstance(described, BaseModel):
        made, told = CommentedMap(), field_docs(type(described))
        for key, inner in value.items():
            where = f"{path}.{key}" if path else key
            made[key] = _commented(inner, getattr(described, key, None), where, depth + 1, fitted)
            if depth and key in told:
                field = type(described).model_fields[key]
                _comment(made, key, told[key] + _takes(domain_of(field)) + _fitted(fitted.get(where)), depth)
        return made
    if isinstance(value, list):
        parts = described if isinstance(described, tuple) and len(described) == len(value) else [None] * len(value)
        items = [
            _commented(item, part, f"{path}.{getattr(part, 'name', index)}", depth + 1, fitted)
            for index, (item, part) in enumerate(zip(value, parts, strict=True))
        ]
        made_list = CommentedSeq(items)
        if not any(isinstance(item, dict | list) for item in value):
            made_list.fa.set_flow_style()
        return made_list
    return value


def _takes(domain: Domain | None) -> str:
    if domain is None:
        return ""
    least, most = domain.ends()
    return f" [{domain.unit or ('count' if domain.whole else 'number')}, {least:g} to {most:g}]"


def _fitted(value: str | None) -> str:
    return "" if value is None else f" Fitted: {value}."


def _comment(into: CommentedMap, key: str, text: str, depth: int) -> None:
    lines = "\n".join(textwrap.wrap(text, _WIDTH - _INDENT * depth))
    into.yaml_set_comment_before_after_key(key, before=lines, indent=_INDENT * depth)
