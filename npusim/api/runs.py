"""A serving run of one shape and load: latencies, throughput and power."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, NumberOrRange, NumbersOrRanges
from npusim.api.deploying import Arch, Deploying, Interval, ModelName, Seed, deployed, told_beside
from npusim.api.function import asked_by
from npusim.api.options import Option, warn_of
from npusim.errors import UserError
from npusim.inputs.limits import MOST, MOST_REQUESTS, MOST_USERS

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment
    from npusim.serving.planning import Found

_LOAD = ("isl", "osl", "concurrency", "requests", "arrival", "shared_prefix")


@dataclass(frozen=True)
class RunOptions(Deploying):
    """What `npusim run` is asked."""

    arch: Arch
    model: ModelName
    _: KW_ONLY
    isl: Annotated[int, Option("Prompt tokens of every request.", metavar="I", least=1, most=MOST)]
    osl: Annotated[int, Option("Output tokens of every request.", metavar="O", least=1, most=MOST)]
    concurrency: Annotated[
        int, Option("Users, each of whom has one request in flight at most.", metavar="C", least=1, most=MOST_USERS)
    ]
    requests: Annotated[
        int | None, Option("Requests of the whole run.", metavar="N", default="3 per user", least=1, most=MOST_REQUESTS)
    ] = None
    arrival: Annotated[
        str,
        Option(
            "When requests arrive: closed, each user waits for the answer; burst, all are due at once; poisson:R, R "
            "requests/s on average.",
            metavar="closed|burst|poisson:R",
        ),
    ] = "closed"
    shared_prefix: Annotated[
        int, Option("First tokens that all prompts share, for a runtime with a prefix cache.", metavar="P", least=0)
    ] = 0
    engine: Annotated[
        Literal["analytic", "event"],
        Option("Cost steps by closed forms, or simulate each step of a short window event by event."),
    ] = "analytic"
    memory_depth: Annotated[
        Literal["rate", "channel", "command"],
        Option(
            "Simulate memory as one rate, as channels under the address map, or command by command.",
            only_with=("engine", "event"),
        ),
    ] = "rate"
    interval: Interval = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval and self.engine == "event":
            raise UserError("--interval", "", "applies to --engine analytic alone; leave one of them out")


@dataclass(frozen=True)
class RunResult:
    """A serving run. Latencies by statistic (mean, p50, p90, p99); figures, or {value, low, high} with an interval.

    found: the plans that --plan auto chose from; answer: everything, as the command line's JSON has it.
    """

    ttft_ms: NumbersOrRanges
    tpot_ms: NumbersOrRanges
    itl_ms: NumbersOrRanges
    e2e_ms: NumbersOrRanges
    output_tokens_per_s: NumberOrRange
    tokens_per_s_per_user: NumberOrRange
    power_w: NumbersOrRanges
    tokens_per_joule: NumberOrRange
    fits: bool
    deployment: Deployment
    found: Found | None
    answer: Answer
    asked: RunOptions

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("run")


@asked_by(RunOptions)
def run(asked: RunOptions) -> RunResult:
    """What a serving run scores. Raises UserError."""
    from npusim.answers.bottleneck import bottleneck
    from npusim.answers.predict import predict_run, run_load
    from npusim.engine.event.engine import Detail
    from npusim.serving.layout import for_load
    from npusim.serving.planning import best_for_run

    wish, found = asked.wish, None
    deployment = deployed(asked, asked.arch, asked.model, tokens=asked.isl + asked.osl)
    load = {name: getattr(asked, name) for name in _LOAD}
    if wish is not None:
        found = best_for_run(deployment, run_load(**load), asked.concurrency, wish, asked.seed)
        deployment = found.best
    answer = predict_run(
        deployment,
        **load,
        seed=asked.seed,
        interval_wanted=asked.interval,
        engine=asked.engine,
        detail=Detail(asked.memory_depth),
    )
    _warn(asked, deployment)
    served = answer["users_in_service"]
    laid = for_load(deployment, asked.isl, asked.osl, -(-asked.concurrency // deployment.plan.data_parallel))
    answer |= {"bottleneck": bottleneck(laid, served, asked.isl, asked.osl) if served else None}
    answer |= _layout(laid)
    answer |= told_beside(asked, deployment, found, asked.interval)
    names = RunResult.__dataclass_fields__.keys() & answer.keys()
    return RunResult(
        **{name: answer[name] for name in names}, deployment=deployment, found=found, answer=answer, asked=asked
    )


def _layout(deployment: Deployment) -> Answer:
    """For whom weights and KV lie in a memory with PIM units, as `pim_layout`; nothing without units."""
    from dataclasses import asdict

    from npusim.mapping.memory_layout import layout_of

    layout = None if deployment.system.chip.pim is None else layout_of(deployment.runtime_record)
    return {} if layout is None else {"pim_layout": asdict(layout)}


def _warn(asked: RunOptions, deployment: Deployment) -> None:
    """Tells which options changed nothing in this run."""
    if asked.shared_prefix and not deployment.runtime.kv.prefix_caching:
        warn_of("--shared-prefix", f"{deployment.runtime.name} keeps no prefixes; the run is that without it")
    stalls = deployment.runtime.host.stall_probability.value > 0.0
    if asked.seed and not (asked.interval or stalls or asked.arrival.strip().lower().startswith("poisson")):
        warn_of("--seed", "nothing is drawn in this run; add --interval or --arrival poisson:R, or leave --seed out")
