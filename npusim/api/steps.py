"""One decode or prefill step: its time, energy and bound."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, Json, NumberOrRange
from npusim.api.deploying import Arch, Deploying, Interval, ModelName, TakenFor, deployed, told_beside
from npusim.api.function import asked_by
from npusim.api.options import Option
from npusim.inputs.limits import MOST, MOST_BATCH
from npusim.publish import OutFile

if TYPE_CHECKING:
    import pandas as pd

    from npusim.answers.predict import CostedStep
    from npusim.mapping.deployment import Deployment
    from npusim.serving.planning import Found


@dataclass(frozen=True)
class StepOptions(Deploying):
    """What `npusim step` is asked."""

    arch: Arch
    model: ModelName
    _: KW_ONLY
    phase: Annotated[Literal["decode", "prefill"], Option("Whether the step decodes or reads prompts.")]
    batch: Annotated[
        int, Option("Sequences in the step, of all replicas together.", metavar="B", least=1, most=MOST_BATCH)
    ]
    context: Annotated[
        int, Option("Tokens attended by each sequence, new ones included.", metavar="C", least=1, most=MOST)
    ]
    query: Annotated[
        int | None,
        Option(
            "New tokens of each sequence in a prefill.",
            metavar="Q",
            default="the whole context",
            least=1,
            most=MOST,
            only_with=("phase", "prefill"),
        ),
    ] = None
    taken_for: TakenFor = None
    interval: Interval = False
    engine: Annotated[
        Literal["analytic", "event"], Option("Cost the step by closed forms, or simulate the chip event by event.")
    ] = "analytic"
    memory_depth: Annotated[
        Literal["rate", "channel", "command"],
        Option(
            "Simulate memory as one rate, as channels under the address map, or command by command.",
            only_with=("engine", "event"),
        ),
    ] = "rate"
    refresh_rate: Annotated[
        Literal["1", "2", "4"],
        Option(
            "How many times as often DRAM refreshes as at normal temperature (2 above 85 degrees Celsius).",
            only_with=("memory_depth", "command"),
        ),
    ] = "1"
    dies_per_memory: Annotated[
        int,
        Option(
            "Chips of the plan that share one memory, as dies of one package do.",
            metavar="N",
            least=1,
            most=64,
            only_with=("engine", "event"),
        ),
    ] = 1
    trace: Annotated[
        Path | None,
        Option(
            "Write the event engine's timeline for ui.perfetto.dev to this file (.json: Chrome's format).",
            metavar="FILE",
            only_with=("engine", "event"),
            writes=OutFile({".json": b'{"traceEvents"', "": b"\xe2\x03"}),
        ),
    ] = None
    explain: Annotated[bool, Option("Show every operator and every assumed number.")] = False
    seed: Annotated[
        int,
        Option(
            "Seed of the machines that are drawn for --interval.",
            metavar="N",
            least=0,
            most=2**63 - 1,
            only_with=("interval", True),
            softly=True,
        ),
    ] = 0


@dataclass(frozen=True)
class StepResult:
    """One step. time_us, energy_j, power_w: figures, or {value, low, high} where the interval was asked for.

    breakdown_us: microseconds by resource, their sum the step's; found: the plans that --plan auto chose from; costed:
    what the rest is made from, `bound` and `elasticities` once they are asked for.
    """

    time_us: NumberOrRange
    energy_j: NumberOrRange
    power_w: NumberOrRange
    breakdown_us: dict[str, float]
    deployment: Deployment
    found: Found | None
    costed: CostedStep
    asked: StepOptions

    @property
    def bound(self) -> str:
        """The resource of which 10 % more saves most."""
        return self.costed.elasticities.bound

    @property
    def elasticities(self) -> dict[str, float]:
        """d ln time / d ln resource, where it gets better."""
        return self.costed.elasticities.values  # noqa: PD011 (no table)

    @cached_property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        answer = self.costed.as_dict() | told_beside(self.asked, self.deployment, self.found, self.asked.interval)
        return answer | ({"assumptions": _assumptions(self.deployment)} if self.asked.explain else {})

    @cached_property
    def ops(self) -> pd.DataFrame:
        """A row an operator."""
        import pandas as pd

        return pd.DataFrame(self.costed.ops)

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("step")


@asked_by(StepOptions)
def step(asked: StepOptions) -> StepResult:
    """The time, energy and bound of one step. Raises UserError."""
    from npusim.answers.predict import step_costs
    from npusim.engine.event.engine import Detail
    from npusim.serving.planning import best_for_step

    wish, found = asked.wish, None
    deployment = deployed(asked, asked.arch, asked.model, tokens=asked.batch * asked.context, family=asked.taken_for)
    if wish is not None:
        query = asked.query or asked.context
        found = best_for_step(deployment, asked.phase, asked.batch, query, asked.context, wish)
        deployment = found.best
    costed = step_costs(
        deployment,
        asked.phase,
        asked.batch,
        asked.context,
        asked.query,
        seed=asked.seed,
        interval_wanted=asked.interval,
        engine=asked.engine,
        detail=Detail(asked.memory_depth, int(asked.refresh_rate), asked.dies_per_memory),
        explain=asked.explain,
        trace=asked.trace,
    )
    return StepResult(
        **costed.figures,
        breakdown_us=costed.breakdown_us,
        deployment=deployment,
        found=found,
        costed=costed,
        asked=asked,
    )


def _assumptions(deployment: Deployment) -> list[Json]:
    """The assumed numbers that a result of the deployment can depend on."""
    return [
        {"owner": item.owner, "path": item.path, **item.quantity.model_dump(exclude={"sd", "date"})}
        for item in deployment.provenances()
        if item.quantity.is_assumed
    ]
