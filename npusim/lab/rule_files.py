"""The shipped rules by which npusim decides: of certification, of plans of measurements, of scores of proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from npusim.explore.evaluate.scoring import ScoringRule
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.description import read_yaml
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.lab.certify.rules_file import Rules
from npusim.lab.planning.sampling_file import Sampling


class _Kind(NamedTuple):
    """read_by: the option that reads such files; folder: of the shipped ones."""

    read_by: str
    schema: type[Part]
    folder: Callable[[], Path]


_KINDS = (
    _Kind("certify --rules", Rules, lambda: data_root("rules")),
    _Kind("plan-tests --sampling", Sampling, lambda: data_root("rules") / "sampling"),
    _Kind("evaluate --rule", ScoringRule, lambda: data_root("validation") / "proposals" / "rules"),
)


def list_rules() -> list[dict[str, Any]]:
    """A short record of every shipped file of rules: name, title, what reads it, source, numbers that are assumed."""
    return [_record(kind, path) for kind in _KINDS for path in _shipped(kind)]


def is_rules(name_or_path: str) -> bool:
    """Whether that is the name of a shipped file of rules, or a YAML file with keys of rules alone."""
    return _found(name_or_path) is not None


def show_rules(name_or_path: str) -> dict[str, Any]:
    """What a file of rules says, each number with its source. Raises UserError."""
    found = _found(name_or_path)
    assert found is not None, name_or_path
    kind, path = found
    told = load_yaml(path, kind.schema).model_dump(mode="json")
    return {"kind": "rules", **_record(kind, path), "config": told}


def _found(name_or_path: str) -> tuple[_Kind, Path] | None:
    own = Path(name_or_path).expanduser()
    if own.suffix in {".yaml", ".yml"} and is_file(own):
        told = read_yaml(own).keys()
        kind = next((each for each in _KINDS if _speaks(told, each.schema)), None)
        return None if kind is None else (kind, own)
    named = ((kind, path) for kind in _KINDS for path in _shipped(kind) if path.stem == name_or_path.strip().lower())
    return next(named, None)


def _speaks(keys: Any, schema: type[Part]) -> bool:
    """Whether keys are all of that schema, with those that it cannot do without."""
    fields = schema.model_fields
    return keys <= fields.keys() and keys >= {name for name, field in fields.items() if field.is_required()}


def _shipped(kind: _Kind) -> Iterator[Path]:
    yield from sorted(kind.folder().glob("*.yaml"))


def _record(kind: _Kind, path: Path) -> dict[str, Any]:
    told = load_yaml(path, kind.schema).model_dump(mode="json")
    numbers = list(_kinds_of(told))
    return {
        "name": told["name"],
        "title": told["title"],
        "read_by": kind.read_by,
        "source": told["source"],
        "numbers": len(numbers),
        "assumed": numbers.count("assumed"),
    }


def _kinds_of(node: Any) -> Iterator[str]:
    """The kinds of all numbers with a provenance."""
    if isinstance(node, dict) and {"value", "kind", "source"} <= node.keys():
        yield node["kind"]
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _kinds_of(each)
