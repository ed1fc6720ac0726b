"""Long text files line by line, in memory that does not grow with them: the file is recorded as whole files are."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from npusim.errors import UserError
from npusim.inputs.files import opened_file
from npusim.inputs.record import noted_digest

_MOST_BYTES = 8 * 2**30
_LONGEST_LINE = 64 * 2**20
_BOM = b"\xef\xbb\xbf"
_PART = 2**20


class TextLines:
    """The lines of a UTF-8 text file, from the first on; use it in a `with` block.

    number: of the line that was read last, from 1. Lines that are not asked for are hashed and not decoded. Raises
    UserError for what is no regular file, no UTF-8 text, has NUL characters, is larger than 8 GiB, or has a line of
    more than 64 MiB.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._bytes = 0

    def __enter__(self) -> TextLines:
        self._file = opened_file(self.path)
        if os.fstat(self._file.fileno()).st_size > _MOST_BYTES:
            self._file.close()
            raise UserError(str(self.path), "", f"is larger than {_MOST_BYTES // 2**30} GiB; give a part of it")
        return self

    def __exit__(self, error: object, *_: object) -> None:
        file = self._file
        assert file is not None
        with file:
            if error is None:
                while part := file.read(_PART):
                    self._digest.update(part)
                    self._bytes += len(part)
                noted_digest(self.path, self._digest.hexdigest(), self._bytes, os.fstat(file.fileno()))

    def __iter__(self) -> Iterator[str]:
        assert self._file is not None
        while line := self._file.readline(_LONGEST_LINE + 1):
            self.number += 1
            if len(line) > _LONGEST_LINE:
                raise self.mistake("", f"the line is longer than {_LONGEST_LINE // 2**20} MiB; give one row a line")
            self._digest.update(line)
            self._bytes += len(line)
            yield self._text(line)

    def mistake(self, key: str, message: str) -> UserError:
        """The UserError of the line that was read last."""
        return UserError(f"{self.path}:{self.number}", key, message)

    def _text(self, line: bytes) -> str:
        if self.number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(str(self.path), "", "is UTF-16 text; save it as UTF-8")
            line = line.removeprefix(_BOM)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.mistake("", f"is not UTF-8 text (byte {error.start} of the line); save it as UTF-8") from error
        if "\0" in text:
            raise self.mistake("", "holds NUL characters, which no text does; give a text file")
        return text


def csv_rows(lines: TextLines, text: Iterator[str]) -> Iterator[list[str]]:
    """The cells of each row of `text`, lines of `lines`, that is not blank, the header first.

    Raises UserError for text that is cut or broken.
    """
    reader = csv.reader(text, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error as error:
        raise lines.mistake("", f"is not a CSV file: {error}; it is cut or broken") from error
