"""Predictions that are registered before silicon is measured, and how they fared."""

from __future__ import annotations

import datetime
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer, plain_answer, records
from npusim.api.function import asked_by
from npusim.api.grids import GridOptions, grid_conditions, predicted_grids
from npusim.api.options import Argument, Option, Options
from npusim.errors import UserError
from npusim.publish import OutFile

if TYPE_CHECKING:
    from npusim.kperf.runner import GridResult


@dataclass(frozen=True)
class PredictOptions(GridOptions):
    """What `npusim predict` is asked."""

    _: KW_ONLY
    register: Annotated[bool, Option("Write a stamped pack of the predictions to --out.")] = False
    out: Annotated[
        Path | None,
        Option(
            "File of the pack, which must not be there yet.",
            metavar="PACK.json",
            only_with=("register", True),
            writes=OutFile({"": None}),
        ),
    ] = None
    date: Annotated[
        str | None,
        Option("Date written into the pack.", metavar="YYYY-MM-DD", default="today", only_with=("register", True)),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.register and self.out is None:
            raise UserError("--register", "", "--register and --out PACK.json go together")


@dataclass(frozen=True)
class PredictResult:
    """cells: those of all grids as plain values; pack: what is stamped; day: that it bears, None unregistered."""

    grids: list[GridResult]
    cells: list[Answer]
    pack: Answer
    day: str | None
    files: list[str]

    @property
    def conditions(self) -> list[Answer]:
        """Of each model on each architecture, what was told and what was assumed."""
        return list(self.pack["manifest"]["conditions"])  # type: ignore[index, call-overload, arg-type]

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it, its manifest among it."""
        return {**self.pack, "conditions": self.conditions, "registered": self.day, "files": self.files}


@asked_by(PredictOptions)
def predict(asked: PredictOptions) -> PredictResult:
    """The cells of a grid with their 90 % intervals; with `register`, stamped and written. Raises UserError."""
    from npusim.lab.registered.pack import stamped, write_pack

    day = day_of(asked.date)
    results = predicted_grids(asked, intervals=True)
    cells = [plain_answer(row) for result in results for row in records(result.cells)]
    record = asked.manifest("predict", conditions=grid_conditions(asked, results))
    pack = stamped(cells, day, plain_answer(record))
    if asked.out is not None:
        write_pack(pack, asked.out)
    files = [] if asked.out is None else [str(asked.out)]
    return PredictResult(results, cells, pack, day if asked.register else None, files)


def day_of(text: str | None) -> str:
    """A date as it was given, today's without one. Raises UserError."""
    if text is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError("--date", "", f"'{text}' is no date; write it as YYYY-MM-DD") from error


@dataclass(frozen=True)
class ScoreOptions(Options):
    """What `npusim score` is asked."""

    pack: Annotated[Path, Argument("The pack as it was registered.", metavar="PACK.json")]
    measured: Annotated[Path, Argument("What was measured since.", metavar="FILE|FOLDER")]
    _: KW_ONLY
    stamp: Annotated[str | None, Option("Stamp of the pack as it was published.", metavar="SHA256")] = None
    arch: Annotated[
        str | None, Option("Architecture that was measured.", metavar="ARCH", default="what the files say")
    ] = None
    model: Annotated[str | None, Option("Model that was measured.", metavar="MODEL", default="what the files say")] = (
        None
    )
    precision: Annotated[
        str | None, Option("Number format that was measured.", metavar="SCHEME", default="what the files say")
    ] = None
    cards: Annotated[
        int | None, Option("Cards that worked together.", metavar="N", default="what the files say", least=1)
    ] = None


@dataclass(frozen=True)
class ScoreResult:
    """answer: everything, as the command line's JSON has it; errors are fractions."""

    answer: Answer
    asked: ScoreOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("score")


@asked_by(ScoreOptions)
def score(asked: ScoreOptions) -> ScoreResult:
    """A registered pack against measured results; an edited pack is refused. Raises UserError."""
    from npusim.lab.files.lab_run import RunConditions
    from npusim.lab.registered.pack import read_pack
    from npusim.lab.registered.score import score_pack as compare

    registered = read_pack(asked.pack, asked.stamp)
    given = RunConditions(device=asked.arch, model=asked.model, precision=asked.precision, cards=asked.cards)
    answer = compare(registered, asked.measured, given).as_dict()
    return ScoreResult({**answer, "registered": registered["registered"], "sha256": registered["sha256"]}, asked)
