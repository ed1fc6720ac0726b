"""Which cells of a grid to measure in so many hours."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.grids import ModelList
from npusim.api.options import Argument, Option, Options, warn_of

if TYPE_CHECKING:
    from npusim.lab.planning.plan import TestPlan


@dataclass(frozen=True)
class PlanTestsOptions(Options):
    """What `npusim plan-tests` is asked."""

    grid: Annotated[str, Argument("Shapes and users, one of npusim list grids or a file.", metavar="GRID")]
    _: KW_ONLY
    budget: Annotated[
        float, Option("Hours that the measurements may take.", metavar="HOURS", required=True, least=0.01, most=10_000)
    ]
    arch: Annotated[str, Option("Architecture that is measured.", metavar="ARCH")] = "rngd"
    models: ModelList = None
    precision: Annotated[
        str | None, Option("Number format of weights and activations.", metavar="SCHEME", default="the runtime's")
    ] = None
    uncertainty: Annotated[
        float | None,
        Option(
            "Relative expanded uncertainty that each median is to have.",
            metavar="U",
            default="that of the plan's file",
            least=0.001,
            most=1.0,
        ),
    ] = None
    hidden: Annotated[
        float | None,
        Option(
            "Part of the budget for hidden cells.",
            metavar="PART",
            default="that of the plan's file",
            least=0.0,
            most=1.0,
        ),
    ] = None
    sampling: Annotated[Path | None, Option("File of the plan's numbers.", metavar="FILE", default="npusim's own")] = (
        None
    )
    seed: Seed = 0


@dataclass(frozen=True)
class PlanTestsAnswer:
    """found: the cells of the plan; manifest: what made them."""

    found: TestPlan
    assumed: list[str]
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {**self.found.as_dict(), "assumed": self.assumed}


@asked_by(PlanTestsOptions)
def plan_tests(asked: PlanTestsOptions) -> PlanTestsAnswer:
    """The cells that tell most within the budget, and how long each takes. Raises UserError."""
    from npusim.kperf.runner import KPERF_MODELS
    from npusim.lab.planning.candidates import candidates, runs_needed
    from npusim.lab.planning.plan import plan_cells
    from npusim.lab.planning.sampling_file import load_sampling
    from npusim.mapping.deployment import deploy
    from npusim.workload.grid import load_grid

    grid, sampling = load_grid(asked.grid), load_sampling(asked.sampling)
    runs = runs_needed(sampling, asked.uncertainty or sampling.uncertainty.value)
    hidden = sampling.hidden.value if asked.hidden is None else asked.hidden
    models = list(dict.fromkeys(asked.models or KPERF_MODELS))
    placed = [deploy(asked.arch, name, precision=asked.precision, cards="auto", tokens=grid.longest) for name in models]
    found = [each for where in placed for each in candidates(where, grid, sampling, runs, asked.seed)]
    plan = plan_cells(found, placed[0], sampling, asked.budget, hidden, asked.seed)
    if hidden and not any(each.hidden for each in plan.cells):
        warn_of("--hidden", f"{hidden:.0%} of {asked.budget:g} hours are too few for any cell: none is hidden")
    assumed = [] if any(word.startswith("--arch") for word in asked.words) else [f"the chip is {asked.arch}"]
    return PlanTestsAnswer(plan, assumed, asked.manifest("plan-tests"))
