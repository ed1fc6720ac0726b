"""Whether all that was handed in could be read: a run that is not read is in no median."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from npusim.lab.certify.clause import NOT_DECIDABLE, PASS, Clause
from npusim.lab.certify.handed import Handed
from npusim.words import Phrase


def files_read(handed: Handed) -> Iterator[Clause]:
    """One clause: files of a known kind that are broken."""
    if not handed.broken:
        yield Clause("files", None, PASS, Phrase("Every file of a known kind was read."))
        return
    names = ", ".join(Path(place).name for place, _ in handed.broken)
    says = Phrase("{count} files could not be read: {names}.", {"count": len(handed.broken), "names": names})
    yield Clause("files", None, NOT_DECIDABLE, says, tuple(place for place, _ in handed.broken), dict(handed.broken))
