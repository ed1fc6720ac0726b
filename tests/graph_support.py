"""Archives of torch.export to read: one that PyTorch wrote, and changes of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXPORTED = Path(__file__).parent / "samples" / "graphs" / "attention.pt2"
"""A layer of attention and an MLP, as PyTorch 2.14 wrote it with torch.export.save; weights and traces are left out."""
Change = Callable[[dict[str, Any]], object]


def exported(path: Path, change: Change) -> Path:
    """The archive with a changed graph, at `path`."""
    with zipfile.ZipFile(EXPORTED) as archive:
        program = json.loads(archive.read("net/models/model.json"))
    change(program)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/models/model.json", json.dumps(program))
    return path


def resized(program: dict[str, Any], size: dict[str, Any]) -> None:
    """Gives the first dimension of the input that size."""
    program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = size


def open_dimension(program: dict[str, Any], text: str = "2*Symbol('s0', positive=True, integer=True)") -> None:
    """Leaves that dimension open."""
    resized(program, {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}})
