"""Templates of proposals: the criteria of calls as files to begin from."""

from __future__ import annotations

import difflib
from pathlib import Path

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.inputs import read_text
from npusim.publish import publish_file


def proposal_templates() -> dict[str, Path]:
    """The shipped templates by name."""
    folder = data_root("validation") / "proposals" / "templates"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def write_template(name: str, out: Path) -> Path:
    """Writes a template to `out`, which replaces nothing. Raises UserError."""
    known = proposal_templates()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError("TEMPLATE", name, f"is no template{meant} Known: {', '.join(known)}")
    publish_file(out, read_text(known[name]))
    return out
