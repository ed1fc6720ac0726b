"""A sweep over designs of an architecture, or a search of its space, into a folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, Json, records
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.errors import UserError
from npusim.hardware.states import State
from npusim.publish import MANIFEST, OutFolder, publish_file
from npusim.words import Language, Tell, speaker
from npusim.workers import MOST_WORKERS, processors

if TYPE_CHECKING:
    import pandas as pd

    from npusim.explore.sweep.run import SweepResult as Swept
    from npusim.explore.sweep.spec import SweepSpec

SWEEP_FILES = (
    "points.parquet", "points.csv", "pareto.csv", "effects.csv", "optimum.csv", "report.html", MANIFEST,
)  # fmt: skip


@dataclass(frozen=True)
class SweepOptions(Options):
    """What `npusim sweep` is asked; from Python the specification can be its content, too."""

    spec: Annotated[str | Path | Mapping[str, object], Argument("The specification.", metavar="SPEC.yaml")]
    out: Annotated[Path | str, Option("Folder of the results.", metavar="DIR", writes=OutFolder(SWEEP_FILES))]
    _: KW_ONLY
    backend: Annotated[
        Literal["local", "dask", "ray"],
        Option("Processes of this machine, or the workers of an existing cluster.", replayed=False),
    ] = "local"
    workers: Annotated[
        int | None,
        Option(
            "Highest number of processes of this machine; the results do not depend on it.",
            metavar="N",
            default="one for each processor",
            least=1,
            most=MOST_WORKERS,
            only_with=("backend", "local"),
            replayed=False,
        ),
    ] = None
    scheduler: Annotated[
        str | None, Option("Address of the Dask scheduler or the Ray cluster.", metavar="ADDRESS", replayed=False)
    ] = None
    optimize: Annotated[
        int | None,
        Option(
            "Search the space for its front with this many more trials, instead of covering it.",
            metavar="TRIALS",
            least=1,
        ),
    ] = None
    software: Annotated[
        State | None,
        Option("State of the software, in place of those of the specification.", default="the specification's"),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of the report.")] = "en"
    say: Tell | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler is not None and self.backend == "local":
            raise UserError("--scheduler", "", "applies to --backend dask or ray alone; add one, or leave it out")
        for name, given in (("--workers", self.workers is not None), ("--backend", self.backend != "local")):
            if given and self.optimize is not None:
                raise UserError(name, "", f"--optimize runs its trials one after another; leave {name} out")

    @property
    def location(self) -> str:
        """Where the specification was written, for messages."""
        return "the specification" if isinstance(self.spec, Mapping) else str(self.spec)


@dataclass(frozen=True)
class SweepAnswer:
    """front: the Pareto front as a frame; effects: what moves each figure, None of a search; points: designs x loads.

    swept: all that the sweep found, None of a search; files: written ones, as paths from here; manifest: what made
    them; unmoved: axes that move no figure by themselves, and what is to say of each.
    """

    points: int
    front: pd.DataFrame
    effects: pd.DataFrame | None
    swept: Swept | None
    files: list[str]
    manifest: Answer
    unmoved: dict[str, str]

    @property
    def conditions(self) -> list[Answer]:
        """Of each variant, what the specification tells and what was assumed."""
        return list(self.manifest["conditions"])  # type: ignore[arg-type]

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        if self.swept is None:
            counts: Answer = {}
        else:
            refused: list[Json] = [
                {"reason": reason, "points": points} for reason, points in self.swept.refused.items()
            ]
            counts = {"kept": self.swept.kept, "served": self.swept.served, "refused": refused}
        front = records(self.front)
        return {
            "points": self.points,
            **counts,
            "pareto": front,
            "conditions": self.conditions,
            "unmoved": self.unmoved,
            "files": self.files,
        }


@asked_by(SweepOptions)
def sweep(asked: SweepOptions) -> SweepAnswer:
    """Predicts the designs that a specification spans; what was done before in `out` is kept. Raises UserError."""
    from npusim.explore.sweep.backend import Backend
    from npusim.explore.sweep.run import run_sweep
    from npusim.explore.sweep.spec import SweepSpec, load_spec
    from npusim.explore.sweep.unmoved import unmoved_axes

    spec = SweepSpec.model_validate(asked.spec) if isinstance(asked.spec, Mapping) else load_spec(Path(asked.spec))
    if asked.software is not None:
        spec = spec.model_copy(update={"software": (asked.software,)})
    unmoved = unmoved_axes(spec, asked.location)
    for axis, told in unmoved.items():
        warnings.warn(f"{asked.location}: {axis}: {told}", stacklevel=2)
    out = Path(asked.out)
    if asked.optimize is not None:
        return _search(asked, spec, out, unmoved)
    where = Backend(asked.backend, asked.workers or processors(), asked.scheduler)
    found = run_sweep(spec, asked.location, out, where, asked.say)
    record = asked.manifest("sweep", spec.seed, unmoved=unmoved, conditions=_conditions(spec, asked.location))
    files = [*found.files, *_write_report(found, record, unmoved, out, asked.lang)]
    written = [str(out / name) for name in files]
    return SweepAnswer(found.points, found.front, found.effects, found, written, record, unmoved)


def _conditions(spec: SweepSpec, location: str) -> list[Answer]:
    from npusim.conditions.known import told_and_assumed
    from npusim.explore.sweep.tasks import possible_bases

    given = {"precision": "precisions", "cards": "cards", "plan": "plans", "runtime": "runtimes"}
    told = [name for name, key in given.items() if key in spec.model_fields_set]
    deployments = [base.deployment for base in possible_bases(spec, location)[0]]
    return [
        {"arch": where.system.name, "model": where.model.name, **told_and_assumed(where, told)} for where in deployments
    ]


def _search(asked: SweepOptions, spec: SweepSpec, out: Path, unmoved: dict[str, str]) -> SweepAnswer:
    from npusim.explore.sweep.optimize import FRONT, STUDY, optimize
    from npusim.explore.sweep.tables import write_csv

    assert asked.optimize is not None
    front = optimize(spec, asked.location, out, asked.optimize, asked.say or (lambda _: None))
    record = asked.manifest("sweep", spec.seed, unmoved=unmoved, conditions=_conditions(spec, asked.location))
    write_csv(front, out / FRONT)
    _write_manifest(record, out)
    files = [str(out / name) for name in (FRONT, STUDY, MANIFEST)]
    return SweepAnswer(asked.optimize, front, None, None, files, record, unmoved)


def _write_report(found: Swept, record: Answer, unmoved: dict[str, str], out: Path, lang: str) -> list[str]:
    from npusim.api.caveats import caveats
    from npusim.explore.sweep.page import sweep_page
    from npusim.explore.sweep.tasks import possible_bases
    from npusim.report.page import write_page

    notes = caveats([base.deployment for base in possible_bases(found.spec, "")[0]], lang)
    say = speaker(lang)
    notes += [f"{axis} {say(told)}" for axis, told in unmoved.items()]
    write_page(sweep_page(found, notes, record, say, lang), out / "report.html")
    _write_manifest(record, out)
    return ["report.html", MANIFEST]


def _write_manifest(record: Answer, out: Path) -> None:
    publish_file(out / MANIFEST, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
