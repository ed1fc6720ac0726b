"""Whether a recorded command still gives the same tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options

if TYPE_CHECKING:
    from npusim.lab.verify_run import Verified


@dataclass(frozen=True)
class VerifyOptions(Options):
    """What `npusim verify-run` is asked."""

    path: Annotated[
        Path, Argument("A manifest or its folder, or an answer that --json printed.", metavar="MANIFEST.json|FOLDER")
    ]
    _: KW_ONLY
    minutes: Annotated[
        float, Option("Longest time that the recorded command may take, in minutes.", metavar="N", least=0.0)
    ] = 60.0


@dataclass(frozen=True)
class VerifyResult:
    """found: what is the same, and what is not."""

    found: Verified
    asked: VerifyOptions

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return self.found.as_dict()

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("verify-run")


@asked_by(VerifyOptions)
def verify_run(asked: VerifyOptions) -> VerifyResult:
    """Runs a recorded command again and compares its tables and workbooks with the recorded ones. Raises UserError."""
    from npusim.api.replaying import replay
    from npusim.lab.verify_run import verify_recorded

    path = Path(asked.path)

    def replayed(argv: Sequence[str], scratch: Path) -> tuple[Sequence[str], Path | None]:
        again = replay(argv, scratch, str(path))
        return again.words, again.folder

    return VerifyResult(verify_recorded(path, replayed, asked.minutes), asked)
