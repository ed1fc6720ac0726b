"""The folder of a sweep: parts that are whole or absent, so that a killed sweep goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from npusim import __version__
from npusim.errors import UserError
from npusim.inputs import InputFile, aside, is_file
from npusim.inputs.json_text import read_json
from npusim.inputs.parquet import read_parquet
from npusim.manifest import code_sha256, told_files
from npusim.publish import publish_file, require_folder

PARTS = "parts"
_TABLES = ("points.parquet", "points.csv", "pareto.csv", "effects.csv", "report.html", "manifest.json")
_MARK = "sweep.json"


class Store:
    """out: the folder; spec: the specification; files: those that its parts depend on.

    Parts of another specification, version or content of a file are never joined: UserError names what differs.
    """

    def __init__(self, out: Path, spec: Mapping[str, Any], files: Iterable[InputFile]) -> None:
        self.out = out
        self._parts = require_folder(out, _TABLES) / PARTS
        self._files = told_files(files)
        self._mark = {"npusim": __version__, "code_sha256": code_sha256(), "spec": json.loads(json.dumps(spec))}
        require_folder(self._parts)
        self._parts.mkdir(parents=True, exist_ok=True)
        known = self._known()
        if known is not None:
            self._require_same(known)
        self._write_mark()

    def note(self, files: Iterable[InputFile]) -> None:
        """Remember files that were read for a part. Raises UserError where one was changed since the sweep began."""
        more = [file for file in told_files(files) if file not in self._files]
        if more:
            _require_unchanged(more, self._files, self.out)
            self._files = [*self._files, *more]
            self._write_mark()

    def has(self, name: str) -> bool:
        """True where that part is whole."""
        return is_file(self._path(name))

    def put(self, name: str, part: pd.DataFrame) -> None:
        """Write a part; it appears whole or not at all."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), sink)
        publish_file(self._path(name), sink.getvalue().to_pybytes())

    def get(self, name: str) -> pd.DataFrame:
        """A part that is whole. Raises UserError where it was damaged since."""
        return read_parquet(self._path(name))

    def names(self, kind: str) -> Iterator[str]:
        """Names of the whole parts of a kind, in order."""
        for path in sorted(self._parts.glob(f"{kind}-*.parquet")):
            yield path.stem

    def _path(self, name: str) -> Path:
        return self._parts / f"{name}.parquet"

    def _known(self) -> dict[str, Any] | None:
        """What made the parts that are there, None where there are none."""
        mark = self._parts / _MARK
        if not is_file(mark):
            return None
        try:
            with aside():
                known = read_json(mark)
            return {key: known[key] for key in (*self._mark, "configs")}
        except (UserError, KeyError, TypeError) as error:
            reason = f"{mark} does not say what made the parts beside it; give another folder"
            raise UserError("--out", "", reason) from error

    def _require_same(self, known: Mapping[str, Any]) -> None:
        if known["spec"] != self._mark["spec"]:
            keys = [key for key, value in self._mark["spec"].items() if known["spec"].get(key) != value]
            told_keys = f" ({', '.join(keys)} differ)" if keys else ""
            raise UserError("--out", "", f"{self.out} holds parts of another sweep{told_keys}; give another folder")
        _require_unchanged(self._files, known["configs"], self.out)
        if any(known[key] != self._mark[key] for key in ("npusim", "code_sha256")):
            reason = f"{self.out} holds parts that other code made (npusim {known['npusim']}); give another folder"
            raise UserError("--out", "", reason)
        self._files += [file for file in known["configs"] if file not in self._files]

    def _write_mark(self) -> None:
        text = json.dumps({**self._mark, "configs": self._files}, indent=2, sort_keys=True)
        publish_file(self._parts / _MARK, text + "\n")


def _require_unchanged(files: list[dict[str, str]], known: list[dict[str, str]], out: Path) -> None:
    """No file has one content here and another there under the same name."""
    before = [_name(file) for file in known if file not in files]
    for file in files:
        if file not in known and _name(file) in before:
            reason = f"was changed since the parts in {out} were made; put it back, or give another --out"
            raise UserError(_name(file), "", reason)


def _name(file: Mapping[str, str]) -> str:
    return f"{file['folder']}/{file['file']}" if "folder" in file else file["file"]
