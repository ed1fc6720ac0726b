"""A submission that is kept as evidence: where its files are, and whether the folder is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from npusim.inputs import is_file, is_folder
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause
from npusim.lab.certify.handed import Handed
from npusim.lab.certify.submission import FILE
from npusim.lab.evidence.chain import CHAIN, FILES
from npusim.lab.evidence.keys import fingerprint, signer
from npusim.lab.evidence.verify import VerifiedEvidence, verify_folder
from npusim.words import Phrase


def opened_folder(folder: Path) -> tuple[Path, VerifiedEvidence | None]:
    """The folder of the raw results, and what verifying says where it is an evidence folder. Raises UserError."""
    if not is_file(folder / CHAIN):
        return folder, None
    files = folder / FILES
    inner = [each for each in sorted(files.iterdir()) if is_file(each / FILE)] if is_folder(files) else []
    return (inner[0] if len(inner) == 1 else files), verify_folder(folder, None)


def kept(handed: Handed) -> Iterator[Clause]:
    """One clause of an evidence folder, none of any other."""
    found = handed.evidence
    if found is None:
        return
    places = tuple(dict.fromkeys(each.place for each in found.wrong))
    if places:
        says = Phrase("Not as it was written: {places}.", {"places": ", ".join(places)})
        yield Clause("evidence", None, FAIL, says, places, {each.place: each.reason for each in found.wrong})
        return
    state = Phrase("{state}; head of the chain {head}", {"state": _state(found), "head": found.head})
    yield Clause("evidence", None, PASS if found.sealed else NOT_DECIDABLE, state, (CHAIN,))


def _state(found: VerifiedEvidence) -> Phrase:
    if not found.sealed:
        return Phrase("not sealed")
    if not found.signed:
        return Phrase("sealed, not signed")
    return Phrase("sealed and signed by the key {key}", {"key": fingerprint(signer(found.folder))})
