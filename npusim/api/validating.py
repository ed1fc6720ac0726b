"""How far predictions are from measured tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer
from npusim.api.deploying import Uncalibrated
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.errors import UserError
from npusim.publish import MANIFEST, OutFolder
from npusim.words import Language, Tell, speaker

if TYPE_CHECKING:
    from npusim.evidence.validation.folder import BlindAndCalibrated
    from npusim.evidence.validation.validate import ValidationResult


@dataclass(frozen=True)
class ValidateOptions(Options):
    """What `npusim validate` is asked. interval: None for all that the engine can give."""

    tables: Annotated[Sequence[str | Path], Argument("Measured tables.", metavar="TABLE.csv...")]
    _: KW_ONLY
    arch: Annotated[
        str | None,
        Option("Architecture to predict on.", metavar="ARCH", default="the table's chip, or its folder's"),
    ] = None
    report: Annotated[
        Path | None,
        Option(
            "Write Markdown and charts into this folder, blind beside calibrated errors.",
            metavar="DIR",
            writes=OutFolder(("README.md", "report.md", MANIFEST)),
        ),
    ] = None
    seed: Annotated[
        int,
        Option("Seed of all random draws.", metavar="N", least=0, most=2**63 - 1),
    ] = 0
    engine: Annotated[
        Literal["analytic", "event"],
        Option("Predict by closed forms, or simulate a contraction processor's kernels event by event."),
    ] = "analytic"
    interval: Annotated[
        bool | None,
        Option(
            "Say how many measured values lie in the 90 % intervals, or only the errors, tens of times faster.",
            default="with, where the engine is analytic",
        ),
    ] = None
    lengths: Annotated[
        str | None,
        Option(
            "Spread of the lengths of serving runs about those stated, in place of the table's own: fixed, ±20%, "
            "80%-100% or lognormal:cv=0.6; of both, or as PROMPTS/OUTPUTS.",
            metavar="SPREAD",
            default="as the table states, told under its conditions",
        ),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of the report.")] = "en"
    uncalibrated: Uncalibrated = False
    say: Tell | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval and self.engine == "event":
            raise UserError("--interval", "", "applies to --engine analytic alone; leave one of them out")
        if self.lengths is not None:
            from npusim.workload.lengths import parse_spreads

            parse_spreads(self.lengths, "--lengths")

    @property
    def with_intervals(self) -> bool:
        """Whether intervals are predicted."""
        return self.engine == "analytic" if self.interval is None else self.interval


@dataclass(frozen=True)
class ValidateResult:
    """results: one a table; files: of the report; manifest: what made them."""

    results: list[ValidationResult]
    files: list[str]
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        answers = [result.as_dict() for result in self.results]
        return answers[0] if len(answers) == 1 else {"tables": answers}


@asked_by(ValidateOptions)
def validate(asked: ValidateOptions) -> ValidateResult:
    """Predicts every row of measured tables and says how far predictions are from them. Raises UserError."""
    from npusim.evidence.validation.folder import write_folder

    tables = [Path(path) for path in dict.fromkeys(asked.tables)]
    compared = [_compare(path, asked) for path in tables]
    results = [each.best for each in compared]
    record = asked.manifest("validate")
    files: list[str] = []
    if asked.report is not None:
        argv = record["argv"]
        assert isinstance(argv, list)
        command = f"npusim {shlex.join(map(str, argv))}"
        files = [str(file) for file in write_folder(compared, Path(asked.report), command, record, speaker(asked.lang))]
    return ValidateResult(results, files, record)


def _compare(path: Path, asked: ValidateOptions) -> BlindAndCalibrated:
    """The table's result, with the blind one beside a calibrated one where that is wanted."""
    from npusim.evidence.validation.folder import BlindAndCalibrated

    if asked.say is not None:
        asked.say(f"predicting {path.name}")
    found = _predicted(path, asked, asked.uncalibrated)
    if not found.calibrated:
        return BlindAndCalibrated(found, None)
    blind = found if asked.report is None else _predicted(path, asked, uncalibrated=True)
    return BlindAndCalibrated(blind, found)


def _predicted(path: Path, asked: ValidateOptions, uncalibrated: bool) -> ValidationResult:
    from npusim.evidence.validation.validate import validate_table as compare

    return compare(
        path,
        arch=asked.arch,
        seed=asked.seed,
        intervals=asked.with_intervals,
        engine=asked.engine,
        uncalibrated=uncalibrated,
        lengths=asked.lengths,
    )
