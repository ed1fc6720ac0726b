"""Fitting the ranged numbers of an architecture and its runtimes to measured tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Given, Option, Options, warn_of
from npusim.api.registering import day_of
from npusim.errors import UserError
from npusim.publish import OutFile
from npusim.words import Tell

if TYPE_CHECKING:
    from npusim.evidence.calibration.calibrate import FittedCalibration
    from npusim.evidence.measured.step_table import StepTable


_STEPS = ("steps", Given)
_MARK = b"# low to high holds 90 % of the posterior"
CALIBRATION = OutFile({".yaml": _MARK, ".yml": _MARK})


@dataclass(frozen=True)
class CalibrateOptions(Options):
    """What `npusim calibrate` is asked."""

    tables: Annotated[
        Sequence[str | Path],
        Argument("Measured tables; with --steps also the architecture alone, in place of --arch.", "TABLE.csv..."),
    ] = ()
    _: KW_ONLY
    arch: Annotated[
        str | None, Option("Architecture that was measured.", metavar="ARCH", default="with --steps the only argument")
    ] = None
    out: Annotated[Path | str, Option("File of the calibration.", metavar="F.yaml", writes=CALIBRATION)]
    steps: Annotated[
        Path | None,
        Option(
            "A step table of any lab and chip, known by its columns: batch, context, chunk, and a time named by its "
            "unit; or LLMServingSim's.",
            metavar="STEPS.csv",
        ),
    ] = None
    model: Annotated[
        str | None, Option("Model of the steps, where their table does not tell it.", metavar="MODEL", only_with=_STEPS)
    ] = None
    precision: Annotated[
        str | None,
        Option(
            "Number format of the steps' weights and activations, where their table does not tell it.",
            metavar="SCHEME",
            only_with=_STEPS,
        ),
    ] = None
    kv_precision: Annotated[
        str | None,
        Option(
            "Number format of the steps' KV cache: bf16, fp8 or int8.",
            metavar="FORMAT",
            default="of the table, else the checkpoint's, else the runtime's",
            only_with=_STEPS,
        ),
    ] = None
    tensor_parallel: Annotated[
        int | None,
        Option(
            "Chips that shared every layer of the steps, where their table does not tell it.",
            names=("--tp",),
            metavar="N",
            least=1,
            only_with=_STEPS,
        ),
    ] = None
    runtime: Annotated[
        str | None,
        Option(
            "Runtime under which the steps ran: a shipped one.",
            metavar="NAME",
            default="the architecture's",
            only_with=_STEPS,
        ),
    ] = None
    with_host: Annotated[
        bool,
        Option("The steps' times hold the host's around each pass, as those of an engine do.", only_with=_STEPS),
    ] = False
    seed: Seed = 0
    shared: Annotated[
        bool,
        Option("Fit the assumptions too that all chips share (experts' popularity, bits of formats)."),
    ] = False
    date: Annotated[str | None, Option("Date written into the calibration.", metavar="YYYY-MM-DD", default="today")] = (
        None
    )
    say: Tell | None = None

    @property
    def measured(self) -> tuple[str, list[Path]]:
        """The architecture and the tables beside the steps. Raises UserError."""
        told = [Path(path) for path in dict.fromkeys(self.tables)]
        if self.arch is None:
            if self.steps is None or len(told) != 1:
                raise UserError("--arch", "", "is missing; name the architecture that was measured")
            return str(self.tables[0]), []
        if self.steps is not None and Path(self.steps) in told:
            raise UserError("--steps", str(self.steps), "is among the tables too, and would count twice; give it once")
        if not told and self.steps is None:
            raise UserError("TABLE.csv", "", "is missing; give measured tables, or a step table by --steps")
        return self.arch, told

    @property
    def step_table(self) -> StepTable | None:
        """The table of --steps, with what is told beside it."""
        if self.steps is None:
            return None
        from npusim.evidence.measured.step_table import StepTable

        return StepTable(
            Path(self.steps),
            self.model,
            self.precision,
            self.kv_precision,
            self.tensor_parallel,
            self.runtime,
            self.with_host,
        )


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
            "unmoved": list(found.unmoved),
            "misfits": [vars(each) for each in found.misfits],
            "stretched": [vars(each) for each in found.stretched],
            "left_out": [part.model_dump() for part in found.calibration.left_out],
            "residuals": [part.model_dump() for part in found.calibration.residuals],
        }


@asked_by(CalibrateOptions)
def calibrate(asked: CalibrateOptions) -> CalibrateResult:
    """Fits an architecture's ranged numbers to measured tables, and writes them to a file. Raises UserError."""
    from npusim.evidence.calibration.calibrate import fit_calibration as fit
    from npusim.evidence.calibration.calibration_file import write_calibration
    from npusim.hardware.catalog import load_system
    from npusim.mapping.shared import SHARED

    target, day = Path(asked.out), day_of(asked.date)
    arch, tables = asked.measured
    found = fit(tables, arch, target.stem, day, asked.seed, asked.say, asked.shared, asked.step_table)
    if asked.shared and not any(number.owner in SHARED for number in found.calibration.numbers):
        warn_of("--shared", "the tables say nothing about the assumptions that all chips share; none of them is fitted")
    if asked.steps is not None and not load_system(arch, uncalibrated=True).silicon:
        told = (
            f"{arch} is described as a projection, predicted with software that may be tuned, and fitted as labs ran it"
        )
        warn_of("--steps", f"{told}; write `silicon: true` where it was measured")
    write_calibration(found.calibration, target)
    return CalibrateResult(found, target, asked.manifest("calibrate"))
