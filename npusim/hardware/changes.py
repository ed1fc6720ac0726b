"""Words of a description put in place of its own: a DRAM standard, a policy, a topology, a part by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

RUNTIME = "runtime."
"""Before the paths of a runtime, where those of an architecture stand beside them."""
Changes = tuple[tuple[str, str], ...]
"""Dotted paths, each with its new value as JSON, so that the same changes are found again."""


def as_changes(told: Mapping[str, Any]) -> Changes:
    """Changes from plain values by path."""
    return tuple((path, json.dumps(value, sort_keys=True)) for path, value in sorted(told.items()))


def of_system(changes: Changes) -> Changes:
    """Those of the architecture."""
    return tuple(each for each in changes if not each[0].startswith(RUNTIME))


def of_runtime(changes: Changes) -> Changes:
    """Those of the runtime, by paths in its own description."""
    return tuple((path.removeprefix(RUNTIME), value) for path, value in changes if path.startswith(RUNTIME))


def changed(tree: Any, changes: Changes) -> Any:
    """A description as a plain tree with its changes; the tree itself stays as it is."""
    for path, value in changes:
        tree = _put(tree, path.split("."), json.loads(value))
    return tree


def _put(node: Any, keys: list[str], value: Any) -> Any:
    first, *rest = keys
    if isinstance(node, list):
        return [_put(item, rest, value) if rest and _name(item) == first else item for item in node]
    inner = node.get(first) if isinstance(node, dict) else None
    return {**(node if isinstance(node, dict) else {}), first: _put(inner, rest, value) if rest else value}


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else None


def holds(description: Any, path: Iterable[str]) -> bool:
    """Whether a checked description has something at that path."""
    for key in path:
        if isinstance(description, tuple):
            description = next((item for item in description if getattr(item, "name", None) == key), None)
        elif key in getattr(type(description), "model_fields", {}):
            description = getattr(description, key)
        else:
            return False
    return True
