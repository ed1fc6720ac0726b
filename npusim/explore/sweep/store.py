"""The folder of a sweep: parts that are whole or absent, so that a killed sweep goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from npusim.errors import UserError
from npusim.inputs import is_file, read_text
from npusim.inputs.parquet import read_parquet

PARTS = "parts"
_MARK = "sweep.json"


class Store:
    """out: the folder; identity: what made its parts (specification, version, files), compared with what is there."""

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.out = out
        self._parts = out / PARTS
        mark = self._parts / _MARK
        text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            known = read_text(mark) if is_file(mark) else None
        except OSError as error:
            raise UserError("--out", "", f"{out} cannot be written ({error.strerror}); give another folder") from error
        if known is None:
            self._replace(mark, text.encode())
        elif known != text:
            raise UserError(
                "--out", "", f"{out} holds parts of another sweep, or of one made with other files; give another folder"
            )

    def has(self, name: str) -> bool:
        """True where that part is whole."""
        return self._path(name).is_file()

    def put(self, name: str, part: pd.DataFrame) -> None:
        """Write a part; it appears whole or not at all."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), sink)
        self._replace(self._path(name), sink.getvalue().to_pybytes())

    def get(self, name: str) -> pd.DataFrame:
        """A part that is whole. Raises UserError where it was damaged since."""
        return read_parquet(self._path(name))

    def names(self, kind: str) -> Iterator[str]:
        """Names of the whole parts of a kind, in order."""
        for path in sorted(self._parts.glob(f"{kind}-*.parquet")):
            yield path.stem

    def _path(self, name: str) -> Path:
        return self._parts / f"{name}.parquet"

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        os.replace(draft, path)
