"""A serving run of one shape and load: latencies, throughput and power."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, NumberOrRange, NumbersOrRanges
from npusim.api.deploying import Arch, Deploying, Interval, ModelName, Seed, deployed, told_beside
from npusim.api.function import asked_by
from npusim.api.options import Given, Option, warn_of
from npusim.errors import UserError
from npusim.inputs.limits import MOST, MOST_INSTANCES, MOST_REQUESTS, MOST_USERS

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment
    from npusim.serving.planning import Found
    from npusim.workload.lengths import Lengths

_LOAD = ("isl", "osl", "concurrency", "requests", "arrival", "shared_prefix", "warm_up")


@dataclass(frozen=True)
class RunOptions(Deploying):
    """What `npusim run` is asked."""

    arch: Arch
    model: ModelName
    _: KW_ONLY
    isl: Annotated[
        int | str,
        Option(
            "Prompt tokens of a request: one number, or spread evenly about it (1024±20%), or evenly or lognormally "
            "between others (uniform:512-2048, lognormal:mean=1024,cv=0.6).",
            metavar="I|I±20%|KIND:...",
            least=1,
            most=MOST,
        ),
    ]
    osl: Annotated[
        int | str,
        Option("Output tokens of a request, written as --isl is.", metavar="O|O±20%|KIND:...", least=1, most=MOST),
    ]
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
            "requests/s on average. closed:start=staggered cuts the first answers, so that users of equal lengths do "
            "not move in step.",
            metavar="closed|burst|poisson:R",
        ),
    ] = "closed"
    warm_up: Annotated[
        int,
        Option(
            "Requests at the beginning whose latencies do not count; rates and power are of the whole run.",
            metavar="N",
            least=0,
            most=MOST_REQUESTS,
        ),
    ] = 0
    shared_prefix: Annotated[
        int, Option("First tokens that all prompts share, for a runtime with a prefix cache.", metavar="P", least=0)
    ] = 0
    instances: Annotated[
        int, Option("Servers of the same kind that share the requests.", metavar="N", least=1, most=MOST_INSTANCES)
    ] = 1
    routing: Annotated[
        Literal["round_robin", "least_loaded", "prefix_aware"],
        Option("To which of them a request is sent.", only_with=("instances", Given)),
    ] = "round_robin"
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
        for option, given in (("--engine event", self.engine == "event"), ("--interval", self.interval)):
            if given and self.instances > 1:
                raise UserError("--instances", "", f"does not go with {option}; leave one of them out")

    @property
    def lengths(self) -> tuple[Lengths, Lengths]:
        """Of prompts and outputs. Raises UserError."""
        from npusim.workload.lengths import parse_lengths

        return parse_lengths(self.isl, "--isl"), parse_lengths(self.osl, "--osl")

    @property
    def told_of_load(self) -> dict[str, str]:
        """The conditions that the load tells, by name. Raises UserError."""
        from npusim.workload.arrivals import TOGETHER, parse_arrival, start_of
        from npusim.workload.lengths import FIXED, spreads_text

        lengths = spreads_text(*(each.spread for each in self.lengths))
        start = start_of(parse_arrival(self.arrival, self.concurrency))
        usual = {"lengths": FIXED.text, "start": TOGETHER}
        return {name: told for name, told in (("lengths", lengths), ("start", start)) if told != usual[name]}


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
    from npusim.answers.instances import predict_instances
    from npusim.answers.predict import predict_run, run_load
    from npusim.engine.event.engine import Detail
    from npusim.serving.layout import for_load
    from npusim.serving.planning import best_for_run

    wish, found = asked.wish, None
    isl, osl = asked.lengths
    deployment = deployed(asked, asked.arch, asked.model, tokens=isl.longest + osl.longest)
    load = {name: getattr(asked, name) for name in _LOAD}
    if wish is not None:
        share = run_load(**load, seed=asked.seed).of_replica(asked.instances)
        users = -(-asked.concurrency // asked.instances)
        found = best_for_run(deployment, share, users, wish, asked.seed)
        deployment = found.best
    if asked.instances > 1:
        whole = run_load(**load, seed=asked.seed)
        answer = predict_instances(deployment, whole, asked.instances, asked.routing, asked.seed)
    else:
        answer = predict_run(
            deployment,
            **load,
            seed=asked.seed,
            interval_wanted=asked.interval,
            engine=asked.engine,
            detail=Detail(asked.memory_depth),
        )
    _warn(asked, deployment)
    served = -(-answer["users_in_service"] // asked.instances)
    servers = deployment.plan.data_parallel * asked.instances
    laid = for_load(deployment, isl.stated, osl.stated, -(-asked.concurrency // servers))
    answer |= {"bottleneck": bottleneck(laid, served, isl.stated, osl.stated) if served else None}
    answer |= _layout(laid)
    answer |= told_beside(asked, deployment, found, asked.interval, asked.told_of_load)
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
    from npusim.workload.lengths import FIXED

    if asked.shared_prefix and not deployment.runtime.kv.prefix_caching:
        warn_of("--shared-prefix", f"{deployment.runtime.name} keeps no prefixes; the run is that without it")
    stalls = deployment.runtime.host.stall_probability.value > 0.0
    drawn = asked.arrival.strip().lower().startswith("poisson") or any(each.spread != FIXED for each in asked.lengths)
    if asked.seed and not (asked.interval or stalls or drawn):
        warn_of("--seed", "nothing is drawn in this run; add --interval or --arrival poisson:R, or leave --seed out")
