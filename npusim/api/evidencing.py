"""An evidence folder: adding to it, sealing, signing and verifying it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.api.registering import day_of

if TYPE_CHECKING:
    from npusim.lab.evidence.verify import VerifiedEvidence

Folder = Annotated[Path, Argument("The evidence folder.", metavar="FOLDER")]
EntryDate = Annotated[str | None, Option("Date written into the entries.", metavar="YYYY-MM-DD", default="today")]


@dataclass(frozen=True)
class AddOptions(Options):
    """What `npusim evidence add` is asked."""

    folder: Folder
    files: Annotated[Sequence[Path], Argument("Raw files, or folders of them.", metavar="FILE...")] = ()
    _: KW_ONLY
    environment: Annotated[
        Path | None,
        Option("YAML file of the environment: serial number, firmware, SDK, power limit, clocks, ambient.",
               metavar="FILE"),
    ] = None  # fmt: skip
    date: EntryDate = None


@dataclass(frozen=True)
class SealOptions(Options):
    """What `npusim evidence seal` is asked."""

    folder: Folder
    _: KW_ONLY
    date: EntryDate = None


@dataclass(frozen=True)
class KeyOptions(Options):
    """What `npusim evidence key` is asked."""

    key: Annotated[Path, Argument("File of the private key, which must not be there yet.", metavar="KEY")]


@dataclass(frozen=True)
class SignOptions(Options):
    """What `npusim evidence sign` is asked."""

    folder: Folder
    _: KW_ONLY
    key: Annotated[Path, Option("File of the private key.", metavar="KEY", required=True)]


@dataclass(frozen=True)
class VerifyEvidenceOptions(Options):
    """What `npusim evidence verify` is asked."""

    folder: Folder
    _: KW_ONLY
    public: Annotated[
        Path | None,
        Option("Public key of who must have signed.", metavar="KEY.pub", default="the key that the signature names"),
    ] = None


@dataclass(frozen=True)
class EvidenceAnswer:
    """answer: everything, as the command line's JSON has it; manifest: what made it."""

    answer: Answer
    manifest: Answer


@dataclass(frozen=True)
class VerifyEvidenceAnswer:
    """found: what is not as it was sealed; manifest: what made it."""

    found: VerifiedEvidence
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return self.found.as_dict()


@asked_by(AddOptions)
def evidence_add(asked: AddOptions) -> EvidenceAnswer:
    """Copies raw files into the evidence and tells of them in its chain. Raises UserError."""
    from npusim.hardware.yaml_file import load_yaml
    from npusim.lab.environment import Environment
    from npusim.lab.evidence.folder import add_files

    environment = None
    if asked.environment is not None:
        told = load_yaml(asked.environment, Environment).model_dump()
        environment = {name: "unknown" if value is None else value for name, value in told.items()}
    new = add_files(Path(asked.folder), [Path(each) for each in asked.files], environment, day_of(asked.date))
    added = [{**entry.content, "entry_sha256": entry.sha256} for entry in new]
    return EvidenceAnswer({"added": added, "head": new[-1].sha256}, asked.manifest("evidence add"))


@asked_by(SealOptions)
def evidence_seal(asked: SealOptions) -> EvidenceAnswer:
    """Ends the chain of the evidence: nothing can be added after it. Raises UserError."""
    from npusim.lab.evidence.folder import seal_folder

    last = seal_folder(Path(asked.folder), day_of(asked.date))
    answer: Answer = {"entries": last.content["entries"], "head": last.sha256}
    return EvidenceAnswer(answer, asked.manifest("evidence seal"))


@asked_by(KeyOptions)
def evidence_key(asked: KeyOptions) -> EvidenceAnswer:
    """A new Ed25519 key pair; the private key is its owner's alone. Raises UserError."""
    from npusim.lab.evidence.keys import new_key

    public = new_key(Path(asked.key))
    return EvidenceAnswer({"private": str(asked.key), "public": str(public)}, asked.manifest("evidence key"))


@asked_by(SignOptions)
def evidence_sign(asked: SignOptions) -> EvidenceAnswer:
    """Signs the head of a sealed chain; the signature lies beside it. Raises UserError."""
    from npusim.lab.evidence.keys import fingerprint, sign_folder

    told = sign_folder(Path(asked.folder), Path(asked.key))
    answer: Answer = {**told, "key_sha256": fingerprint(told["public_key"])}
    return EvidenceAnswer(answer, asked.manifest("evidence sign"))


@asked_by(VerifyEvidenceOptions)
def evidence_verify(asked: VerifyEvidenceOptions) -> VerifyEvidenceAnswer:
    """Names every byte of an evidence folder that is not as it was sealed. Raises UserError."""
    from npusim.lab.evidence.verify import verify_folder

    return VerifyEvidenceAnswer(verify_folder(Path(asked.folder), asked.public), asked.manifest("evidence verify"))
