"""YAML text as a plain tree. It takes a second to parse a megabyte, so trees are kept under the SHA-256 of their text.

They are kept as JSON: what is read back can be wrong at worst, never run. Where a mistake is reported, the text is
parsed anew for its line marks.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from npusim.cache_folder import cache_folder, keep
from npusim.errors import UserError

_MOST_KEPT = 256
_MOST_NODES = 1 << 20


def marked_tree(text: str, path: Path) -> Any:
    """The content of the file at `path` with ruamel's line marks on its maps and lists. Raises UserError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(f"{path}{line}", "", f"YAML syntax: {error.problem or error}") from error
    except YAMLError as error:
        raise UserError(str(path), "", f"YAML syntax: {error}") from error


def plain_tree(text: str, path: Path) -> Any:
    """The content as plain dicts, lists and values, read from the cache or parsed and kept. Raises UserError.

    What JSON cannot hold (dates, sets, keys that are no text) comes as `marked_tree` gives it.
    """
    kept = _folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    try:
        return json.loads(kept.read_bytes())
    except (OSError, ValueError):
        tree = marked_tree(text, path)
    if _nodes(tree, {}) > _MOST_NODES:
        return tree
    content = json.dumps(tree)
    if keep(kept, content):
        _drop_oldest(kept.parent)
    return json.loads(content)


@cache
def _folder() -> Path:
    """Named after this module's source: another version of the reader begins anew."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return cache_folder() / f"descriptions-{version}"


def _nodes(node: Any, known: dict[int, float]) -> float:
    """Nodes of a tree with each alias written out; infinite where JSON cannot hold it as it is."""
    if not isinstance(node, dict | list):
        return 1 if node is None or isinstance(node, str | int | float) else math.inf
    if id(node) not in known:
        known[id(node)] = math.inf
        if isinstance(node, list) or all(isinstance(key, str) for key in node):
            inner = node.values() if isinstance(node, dict) else node
            known[id(node)] = 1 + sum(_nodes(item, known) for item in inner)
    return known[id(node)]


def _drop_oldest(folder: Path) -> None:
    """Keeps the newest; a file that another process took away first is gone all the same."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_MOST_KEPT:]:
        file.unlink(missing_ok=True)
