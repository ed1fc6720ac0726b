"""The graph in an archive of torch.export (.pt2), as plain JSON: nothing in the archive is unpickled or run."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from npusim.errors import UserError
from npusim.inputs.files import opened_file
from npusim.inputs.record import noted_digest

_MOST_GRAPH = 64 * 2**20
"""Bytes of a graph, unpacked."""
_CHUNK = 2**20
_GRAPHS = ("models/model.json", "serialized_exported_program.json")
"""What the graph is called in archives of PyTorch from 2.8 on, and before."""


def read_exported_program(path: Path) -> dict[str, Any]:
    """The exported program as torch.export's schema has it. Raises UserError."""
    with opened_file(path) as file:
        _record(path, file)
        try:
            program = json.loads(_graph(path, file))
        except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, EOFError) as error:
            raise _broken(path, "is no whole archive of torch.export") from error
        except (ValueError, RecursionError) as error:
            raise _broken(path, "has a graph that is no JSON") from error
    if not isinstance(program, dict):
        raise _broken(path, "has a graph that is no object")
    return program


def _record(path: Path, file: BinaryIO) -> None:
    """Records the whole archive, weights included, without holding it."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    noted_digest(path, digest.hexdigest(), size, os.fstat(file.fileno()))
    file.seek(0)


def _graph(path: Path, file: BinaryIO) -> bytes:
    with zipfile.ZipFile(file) as archive:
        found = [each for each in archive.infolist() if each.filename.endswith(_GRAPHS)]
        if len(found) != 1:
            raise _broken(path, f"holds {len(found)} graphs in place of one")
        with archive.open(found[0]) as packed:
            text = packed.read(_MOST_GRAPH + 1)
    if len(text) > _MOST_GRAPH:
        raise _broken(path, f"has a graph of more than {_MOST_GRAPH // 2**20} MiB")
    return text


def _broken(path: Path, what: str) -> UserError:
    return UserError(str(path), "", f"{what}; write it anew with torch.export.save")
