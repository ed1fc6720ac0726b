"""A description of a chip to begin from, and what is odd in one."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options

if TYPE_CHECKING:
    from npusim.explore.lint import Oddity

FINE, ODD, MISTAKEN = 0, 1, 2
"""Exit codes of `npusim lint`."""


@dataclass(frozen=True)
class NewChipOptions(Options):
    """What `npusim new-chip` is asked."""

    name: Annotated[str, Argument("Name of the new architecture; NAME.yaml is written.", metavar="NAME")]
    _: KW_ONLY
    like: Annotated[str, Option("Architecture that it begins from, by name or path.", metavar="ARCH")]


@dataclass(frozen=True)
class NewChipResult:
    """path: the description that was written."""

    path: Path
    asked: NewChipOptions

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {"name": self.asked.name, "like": self.asked.like, "files": [str(self.path)]}

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("new-chip")


@asked_by(NewChipOptions)
def new_chip(asked: NewChipOptions) -> NewChipResult:
    """Writes a commented description, all of whose numbers are those of another chip. Raises UserError."""
    from npusim.explore.new_chip import write_new_chip

    return NewChipResult(write_new_chip(asked.name, asked.like, Path()), asked)


@dataclass(frozen=True)
class LintOptions(Options):
    """What `npusim lint` is asked."""

    path: Annotated[str, Argument("A description of an architecture, by path or name.", metavar="F")]


@dataclass(frozen=True)
class LintResult:
    """findings: mistakes, of which no prediction can be made, or else what is odd."""

    findings: list[Oddity]
    asked: LintOptions

    @property
    def code(self) -> int:
        """0 where nothing was found, 1 where something is odd, 2 where something is mistaken."""
        levels = {each.level for each in self.findings}
        return MISTAKEN if "mistake" in levels else ODD if levels else FINE

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {"findings": [asdict(each) for each in self.findings], "code": self.code}

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("lint")


@asked_by(LintOptions)
def lint(asked: LintOptions) -> LintResult:
    """What is wrong or odd in a description. Raises UserError where there is no such file."""
    from npusim.explore.lint import oddities as found

    return LintResult(found(asked.path), asked)
