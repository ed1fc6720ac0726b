"""`npusim evidence`: a folder of raw files to which entries are only ever added, and which anyone can verify."""

from __future__ import annotations

import click

from npusim import api
from npusim.api.evidencing import (
    AddOptions,
    EvidenceAnswer,
    KeyOptions,
    SealOptions,
    SignOptions,
    VerifyEvidenceOptions,
)
from npusim.cli.options import command
from npusim.cli.output import print_json, say, stdout_console


@click.group("evidence")
def evidence() -> None:
    """Keep raw files as evidence: add them, seal the folder, sign it, verify it.

    Each entry of the folder's chain has the SHA-256 of the one before; a signature is that of the sealed chain's head.
    """


@command(AddOptions)
def add(asked: AddOptions, as_json: bool) -> None:
    """Copy raw FILEs, and those of folders, into FOLDER and tell of them in its chain; nothing is ever replaced."""
    found = api.evidence_add.of(asked)
    _print(found, as_json, f"{len(found.answer['added'])} entries added; head {found.answer['head']}")  # type: ignore[arg-type]


@command(SealOptions)
def seal(asked: SealOptions, as_json: bool) -> None:
    """End the chain of FOLDER: its last entry tells how many there are, and nothing can be added after it."""
    found = api.evidence_seal.of(asked)
    _print(found, as_json, f"sealed after {found.answer['entries']} entries; head {found.answer['head']}")


@command(KeyOptions)
def key(asked: KeyOptions, as_json: bool) -> None:
    """Make an Ed25519 key pair: KEY for its owner alone (mode 0600), KEY.pub for everyone. None is ever overwritten."""
    found = api.evidence_key.of(asked)
    _print(found, as_json, f"wrote {found.answer['private']} and {found.answer['public']}")


@command(SignOptions)
def sign(asked: SignOptions, as_json: bool) -> None:
    """Sign the sealed FOLDER; signature.json lies in it, apart from the chain."""
    found = api.evidence_sign.of(asked)
    _print(found, as_json, f"signed by the key of SHA-256 {found.answer['key_sha256']}; head {found.answer['head']}")


@command(VerifyEvidenceOptions)
def verify(asked: VerifyEvidenceOptions, as_json: bool) -> None:
    """Verify FOLDER: every file that was changed, removed or added is named. Exits with 1 where any was."""
    found = api.evidence_verify.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        console, told = stdout_console(), found.found
        for each in told.wrong:
            console.print(f"{each.place}: {each.reason}", soft_wrap=True)
        state = "as it was written" if told.holds else "NOT as it was written"
        console.print(f"{len(told.entries):,} entries, {state}; {_signed(asked, told.sealed, told.signed)}.")
    if not found.found.holds:
        say("the evidence is not as it was written")
        click.get_current_context().exit(1)


def _signed(asked: VerifyEvidenceOptions, sealed: bool, signed: bool) -> str:
    if not sealed:
        return "not sealed: whether entries were cut off its end cannot be seen"
    if not signed:
        return "not signed: whoever changes it can seal it anew"
    return f"signed by {asked.public}" if asked.public else "signed, but by whom was not checked: give --public"


for _command in (add, seal, key, sign, verify):
    evidence.add_command(_command)


def _print(found: EvidenceAnswer, as_json: bool, line: str) -> None:
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        stdout_console().print(line, soft_wrap=True)
