"""Whether a submission keeps the rules of a test procedure, clause by clause."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.publish import PAGE, OutFile
from npusim.words import Language, Tell

if TYPE_CHECKING:
    from npusim.lab.certify.certify import Certified


@dataclass(frozen=True)
class CertifyOptions(Options):
    """What `npusim certify` is asked."""

    folder: Annotated[Path, Argument("Raw results, and submission.yaml where there is one.", metavar="FOLDER")]
    _: KW_ONLY
    rules: Annotated[
        str, Option("Rules of the test procedure: those that npusim ships, or a file.", metavar="NAME|FILE")
    ] = "npusim-1"
    declared: Annotated[
        Path | None,
        Option("File of the declared figures.", metavar="FILE", default="those of submission.yaml"),
    ] = None
    out: Annotated[
        Path | None,
        Option("Write the certificate to this file.", metavar="CERT.html", writes=OutFile({".html": PAGE})),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of the certificate.")] = "en"
    seed: Seed = 0
    say: Tell | None = None


@dataclass(frozen=True)
class CertifyAnswer:
    """found: clauses, cells and files; manifest: what made them."""

    found: Certified
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return self.found.as_dict()


@asked_by(CertifyOptions)
def certify(asked: CertifyOptions) -> CertifyAnswer:
    """The verdict of every clause of the rules on a folder of raw results. Raises UserError."""
    from npusim.lab.certify.certify import certify_folder
    from npusim.lab.certify.page import certificate
    from npusim.lab.certify.rules_file import load_rules
    from npusim.lab.certify.submission import load_declared
    from npusim.publish import publish_file
    from npusim.words import speaker

    rules = load_rules(asked.rules)
    declared = None if asked.declared is None else load_declared(asked.declared)
    found = certify_folder(Path(asked.folder), rules, declared, asked.seed, asked.say or (lambda _: None))
    record = asked.manifest("certify")
    if asked.out is not None:
        publish_file(asked.out, certificate(found, record, speaker(asked.lang), asked.lang))
    return CertifyAnswer(found, record)
