"""YAML text as a plain tree. Parsing takes time, so trees are kept as JSON under the SHA-256 of their text.

What is read back can be wrong at worst, never run. Where a mistake is reported, the text is parsed anew for its lines.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from npusim.cache_folder import cache_folder, keep
from npusim.inputs.files import read_text

MOST_TEXT = 4 * 2**20
"""Size in bytes beyond which a YAML file is not taken for a description."""
_MOST_KEPT = 256


def read_tree(path: Path) -> Any:
    """The content of a YAML file as plain dicts, lists and values. Raises UserError."""
    return plain_tree(read_text(path, MOST_TEXT), path)


def marked_tree(path: Path) -> Any:
    """The same, parsed now, whose maps and lists know the lines of what they hold (`lines`)."""
    from npusim.inputs.yaml_text import parsed

    return parsed(read_text(path, MOST_TEXT), str(path))


def plain_tree(text: str, path: Path) -> Any:
    """The content as plain dicts, lists and values, read from the cache or parsed and kept. Raises UserError."""
    kept = _folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    try:
        return json.loads(kept.read_bytes())
    except (OSError, ValueError):
        from npusim.inputs.yaml_text import parsed

        tree = parsed(text, str(path))
    if keep(kept, json.dumps(tree)):
        _drop_oldest(kept.parent)
    return tree


@cache
def _folder() -> Path:
    """Named after the sources of the reader: another version begins anew."""
    sources = (Path(__file__), Path(__file__).with_name("yaml_text.py"))
    version = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:16]
    return cache_folder() / f"descriptions-{version}"


def _drop_oldest(folder: Path) -> None:
    """Keeps the newest; a file that another process took away first is gone all the same."""
    files = sorted(folder.glob("*.json"), key=_made, reverse=True)
    for file in files[_MOST_KEPT:]:
        file.unlink(missing_ok=True)


def _made(file: Path) -> float:
    """When a file was last written, 0 where another process has removed it since."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
