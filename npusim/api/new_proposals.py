"""A proposal to begin from: the criteria of a call as a file."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.publish import OutFile


@dataclass(frozen=True)
class NewProposalOptions(Options):
    """What `npusim new-proposal` is asked."""

    template: Annotated[str, Argument("Name of the template, such as lpddr6-pim-accelerator.", metavar="TEMPLATE")]
    _: KW_ONLY
    out: Annotated[
        Path,
        Option("Write the proposal to this file.", metavar="F.yaml", writes=OutFile({".yaml": None, ".yml": None})),
    ]


@dataclass(frozen=True)
class NewProposalResult:
    """path: the proposal that was written."""

    path: Path
    asked: NewProposalOptions

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {"template": self.asked.template, "files": [str(self.path)]}

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("new-proposal")


@asked_by(NewProposalOptions)
def new_proposal(asked: NewProposalOptions) -> NewProposalResult:
    """Writes a commented proposal with the criteria of a call. Raises UserError."""
    from npusim.explore.evaluate.templates import write_template

    return NewProposalResult(write_template(asked.template, Path(asked.out)), asked)
