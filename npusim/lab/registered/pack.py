"""A pack of predictions that is stamped before silicon is measured, so that no later edit goes unseen.

The stamp is the SHA-256 of the pack's canonical JSON without the stamp. Whoever edits a pack can stamp it anew: what
proves the date is the stamp, published or sent to others when the pack is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs import read_text
from npusim.publish import publish_file, require_file

FORMAT = "npusim predictions 1"
STAMP = "sha256"


def stamped(cells: list[dict[str, Any]], date: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The pack with its stamp; cells: plain JSON values, as the K-Perf table has them."""
    content = {"format": FORMAT, "registered": date, "cells": cells, "manifest": dict(manifest)}
    return {**content, STAMP: stamp_of(content)}


def stamp_of(pack: Mapping[str, Any]) -> str:
    """The stamp that the content of a pack has."""
    content = {key: value for key, value in pack.items() if key != STAMP}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def write_pack(pack: Mapping[str, Any], path: Path) -> None:
    """Write a pack where there is none yet. Raises UserError: a registered pack is never overwritten."""
    require_file(path, {"": None})
    publish_file(path, json.dumps(pack, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_pack(path: Path, published: str | None = None) -> dict[str, Any]:
    """A pack whose stamp holds. published: the stamp as it was published. Raises UserError for any edit."""
    try:
        pack = json.loads(read_text(path))
    except ValueError as error:
        raise UserError(str(path), "", f"is no JSON ({error}); give the pack as npusim wrote it") from error
    if not isinstance(pack, dict) or pack.get("format") != FORMAT or not isinstance(pack.get("cells"), list):
        raise UserError(str(path), "format", f"is no pack; `npusim predict --register` writes '{FORMAT}'")
    own = stamp_of(pack)
    if pack.get(STAMP) != own:
        raise UserError(str(path), STAMP, f"the pack was edited: its content has the stamp {own}; give the original")
    if published is not None and published.strip().lower() != own:
        raise UserError(str(path), STAMP, f"is not the published pack: its stamp is {own}, not {published}")
    return pack
