"""The K-Perf grid of architectures: predicted as frames, written as a workbook, charts and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer, Json, Progress, records
from npusim.api.deploying import Deploying, Seed, asked_plan, conditions_of, warn_without_calibration
from npusim.api.function import asked_by
from npusim.api.options import Argument, Given, Option
from npusim.errors import UserError
from npusim.publish import MANIFEST, OutFolder
from npusim.words import Language
from npusim.workers import MOST_WORKERS

if TYPE_CHECKING:
    from npusim.kperf.runner import GridResult

KPERF_FILES = ("kperf.xlsx", "kperf.csv", "comparison.xlsx", "comparison.csv", "report.html", MANIFEST)
ArchList = Annotated[
    str | Sequence[str], Argument("Architectures: shipped names, aliases or paths.", metavar="ARCH...")
]
ModelList = Annotated[
    Sequence[str] | None,
    Option("Models, with commas between them.", metavar="A,B,C", default="those of the measuring table"),
]
GridName = Annotated[
    str | None,
    Option("Shapes and users, one of npusim list grids or a file.", metavar="NAME|FILE", default="furiosa-perf-32k"),
]
GridCards = Annotated[
    int | str | None,
    Option(
        "Cards that serve one instance; auto takes the smallest power of two that holds the model.", metavar="N|auto"
    ),
]


@dataclass(frozen=True)
class GridOptions(Deploying):
    """What a grid is predicted for."""

    archs: ArchList
    models: ModelList = None
    grid: GridName = None
    _: KW_ONLY
    cards: GridCards = "auto"
    seed: Seed = 0
    progress: Progress | None = None

    @property
    def chips(self) -> list[str]:
        """The architectures, each once."""
        return [self.archs] if isinstance(self.archs, str) else list(dict.fromkeys(self.archs))


@dataclass(frozen=True)
class KPerfOptions(GridOptions):
    """What `npusim kperf` is asked."""

    _: KW_ONLY
    interval: Annotated[
        bool, Option("Give the figures with their 90 % intervals, or only the figures, several times faster.")
    ] = True
    out: Annotated[
        Path | None, Option("Folder of the results.", metavar="DIR", required=True, writes=OutFolder(KPERF_FILES))
    ] = None
    report: Annotated[
        bool,
        Option(
            "Write report.html too, one file that needs no network, with hover values and log axes.",
            only_with=("out", Given),
        ),
    ] = False
    lang: Annotated[
        Language, Option("Language of what is printed, of workbooks, charts and the report.", only_with=("out", Given))
    ] = "en"
    slo: Annotated[
        str | None,
        Option(
            "Limits of latencies, for which the most users of each shape who keep them are sought.",
            metavar="ttft_p99=2s,tpot_p99=50ms",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            "Highest number of processes; the results do not depend on it.",
            metavar="N",
            default="one for each processor",
            least=1,
            most=MOST_WORKERS,
            replayed=False,
        ),
    ] = None


class GridAnswer(list["GridResult"]):
    """A result for each architecture; answer: as --json prints it; manifest: what made them; files: written ones."""

    def __init__(self, results: Sequence[GridResult], manifest: Answer, files: Sequence[str]) -> None:
        super().__init__(results)
        self.manifest, self.files = manifest, list(files)
        self.conditions: list[Answer] = list(manifest["conditions"])  # type: ignore[arg-type]

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        cells = [row for result in self for row in records(result.cells)]
        seconds = sum(result.sim_seconds for result in self)
        return {"cells": cells, "conditions": self.conditions, "files": self.files, "sim_seconds": seconds}


@asked_by(KPerfOptions)
def kperf(asked: KPerfOptions) -> GridAnswer:
    """The K-Perf grid of each architecture, `cells` and `provenances` as frames. Raises UserError.

    out: a folder to write (a folder in it for each of several architectures); cards: "auto" by default.
    """
    from npusim.api.grid_files import write_grids

    results = predicted_grids(asked, asked.interval, asked.workers, asked.slo)
    record = asked.manifest("kperf", conditions=grid_conditions(asked, results))
    if asked.out is None:
        return GridAnswer(results, record, ())
    _require_a_prediction(results)
    return GridAnswer(results, record, write_grids(results, record, asked.out, asked.lang, asked.report))


def grid_conditions(asked: GridOptions, results: Sequence[GridResult]) -> list[Json]:
    """Of each model on each architecture, the conditions that were told and those that were assumed."""
    return [
        {"arch": where.system.name, "model": where.model.name, **conditions_of(asked, where, _told_of_load(result))}
        for result in results
        for where in result.deployments
    ]


def _told_of_load(result: GridResult) -> dict[str, str]:
    """The spreads of lengths that the grid states, where it states any."""
    spreads = list(dict.fromkeys(map(str, result.cells["lengths"])))
    return {} if spreads == ["fixed"] else {"lengths": ", ".join(spreads)}


def predicted_grids(
    asked: GridOptions, intervals: bool, workers: int | None = None, slo: str | None = None
) -> list[GridResult]:
    """The grid on every architecture, by at most `workers` processes. slo: as `parse_slo` reads it. UserError."""
    from npusim.kperf.runner import run_grid
    from npusim.serving.slo import parse_slo

    if asked.models is not None and not asked.models:
        raise UserError("--models", "", "names no model; give some with commas between them (npusim list models)")
    for chip in asked.chips if asked.uncalibrated else ():
        warn_without_calibration(chip)
    return run_grid(
        asked.chips,
        None if asked.models is None else list(dict.fromkeys(asked.models)),
        asked.grid,
        precision=asked.precision,
        kv_precision=asked.kv_precision,
        cards=asked.cards,
        tensor_parallel=asked.tensor_parallel,
        plan=asked_plan(asked),
        wish=asked.wish,
        runtime=asked.runtime,
        seed=asked.seed,
        intervals=intervals,
        uncalibrated=asked.uncalibrated,
        offload=asked.offload,
        software=asked.software,
        drafting=asked.speculation,
        slo=None if slo is None else parse_slo(slo),
        progress=asked.progress,
        workers=workers,
    )


def _require_a_prediction(results: Sequence[GridResult]) -> None:
    if any(result.cells["output_tokens_per_s"].notna().any() for result in results):
        return
    first = results[0].cells.iloc[0]
    raise UserError(str(first["model"]), "", str(first["status"]))
