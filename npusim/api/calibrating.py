"""Fitting the ranged numbers of an architecture and its runtimes to measured tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options, warn_of
from npusim.api.registering import day_of
from npusim.publish import OutFile
from npusim.words import Tell

if TYPE_CHECKING:
    from npusim.evidence.calibration.calibrate import FittedCalibration


_MARK = b"# low to high holds 90 % of the posterior"
CALIBRATION = OutFile({".yaml": _MARK, ".yml": _MARK})


@dataclass(frozen=True)
class CalibrateOptions(Options):
    """What `npusim calibrate` is asked."""

    tables: Annotated[Sequence[str | Path], Argument("Measured tables.", metavar="TABLE.csv...")]
    _: KW_ONLY
    arch: Annotated[str, Option("Architecture that the tables were measured on.", metavar="ARCH")]
    out: Annotated[Path | str, Option("File of the calibration.", metavar="F.yaml", writes=CALIBRATION)]
    seed: Seed = 0
    shared: Annotated[
        bool,
        Option("Fit the assumptions too that all chips share (experts' popularity, bits of formats)."),
    ] = False
    date: Annotated[str | None, Option("Date written into the calibration.", metavar="YYYY-MM-DD", default="today")] = (
        None
    )
    say: Tell | None = None


@dataclass(frozen=True)
class CalibrateResult:
    """found: the fitted numbers and their errors; target: the file that holds them; manifest: what made it."""

    found: FittedCalibration
    target: Path
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        found = self.found
        return {
            "parameters": found.parameters,
            "mape_before": found.mape_before,
            "mape_after": found.mape_after,
            "left_out_mape": found.left_out_mape,
            "tables": {kind: vars(errors) for kind, errors in found.tables.items()},
            "figures": found.cases,
            "skipped": found.skipped,
            "left_out": [part.model_dump() for part in found.calibration.left_out],
            "residuals": [part.model_dump() for part in found.calibration.residuals],
        }


@asked_by(CalibrateOptions)
def calibrate(asked: CalibrateOptions) -> CalibrateResult:
    """Fits an architecture's ranged numbers to measured tables, and writes them to a file. Raises UserError."""
    from npusim.evidence.calibration.calibrate import fit_calibration as fit
    from npusim.evidence.calibration.calibration_file import write_calibration
    from npusim.mapping.shared import SHARED

    target, day = Path(asked.out), day_of(asked.date)
    tables = [Path(path) for path in dict.fromkeys(asked.tables)]
    found = fit(tables, asked.arch, target.stem, day, asked.seed, asked.say, asked.shared)
    if asked.shared and not any(number.owner in SHARED for number in found.calibration.numbers):
        warn_of("--shared", "the tables say nothing about the assumptions that all chips share; none of them is fitted")
    write_calibration(found.calibration, target)
    return CalibrateResult(found, target, asked.manifest("calibrate"))
