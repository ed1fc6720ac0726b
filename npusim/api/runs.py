"""A serving run of one shape and load: latencies, throughput and power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, NumberOrRange, NumbersOrRanges
from npusim.api.deploying import Arch, Deploying, Interval, ModelName, TakenFor, deployed, told_beside
from npusim.api.function import asked_by
from npusim.api.loading import AskedLoad, Loading
from npusim.api.options import Option, warn_of
from npusim.api.spreading import Spreading, pools_of, predict_spread
from npusim.errors import UserError

if TYPE_CHECKING:
    from npusim.answers.pools import Pool
    from npusim.answers.predict import PlainFigures
    from npusim.mapping.deployment import Deployment
    from npusim.serving.load import Load
    from npusim.serving.planning import Found


@dataclass(frozen=True)
class RunOptions(Loading, Spreading, Deploying):
    """What `npusim run` is asked."""

    arch: Arch
    model: ModelName
    _: KW_ONLY
    kv_tiers: Annotated[
        Sequence[str] | None,
        Option(
            "Memories to which the prefix cache lets go, the quickest first, of arch_configs/tiers or by path, with "
            "another size if told.",
            metavar="NAME[=SIZE],...",
            default="the runtime's",
        ),
    ] = None
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
    taken_for: TakenFor = None
    interval: Interval = False
    explain: Annotated[bool, Option("Show where the time to the first token went.")] = False
    slo: Annotated[
        str | None,
        Option(
            "Limits of latencies, for which the most users who keep them are sought: ttft, tpot, itl or e2e, with "
            "_mean, _p50, _p90 or _p99.",
            metavar="ttft_p99=2s,tpot_p99=50ms",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval and self.engine == "event":
            raise UserError("--interval", "", "applies to --engine analytic alone; leave one of them out")
        several = "--prefill" if self.prefill is not None else "--instances" if self.instances > 1 else None
        for option, given in (
            ("--engine event", self.engine == "event"),
            ("--plan auto", self.plan == "auto" and self.prefill is not None),
            ("--slo", self.slo is not None),
            ("--explain", self.explain),
        ):
            if given and several is not None:
                raise UserError(several, "", f"does not go with {option}; leave one of them out")


@dataclass(frozen=True)
class RunResult:
    """A serving run. Latencies by statistic (mean, p50, p90, p99); figures, or {value, low, high} with an interval.

    found: the plans that --plan auto chose from; answer: everything, as the command line's JSON has it; load_text:
    what was served, in a few words.
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
    load_text: str

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("run")


@asked_by(RunOptions)
def run(asked: RunOptions) -> RunResult:
    """What a serving run scores. Raises UserError."""
    from npusim.answers.bottleneck import bottleneck
    from npusim.serving.layout import for_load
    from npusim.serving.planning import best_for_run

    wish, found, served = asked.wish, None, asked.asked_load
    load = served.load
    isl = int(load.tokens[:, 0].max())
    pools = pools_of(asked, asked, asked.arch, asked.model, isl, load.longest - isl)
    if pools is None:
        deployment = deployed(asked, asked.arch, asked.model, tokens=load.longest, family=asked.taken_for)
        count = asked.instances
    else:
        deployment, count = pools[1].deployment, pools[1].count
    if asked.kv_tiers:
        deployment = _tiered(deployment, asked)
        pools = None if pools is None else (replace(pools[0], deployment=_tiered(pools[0].deployment, asked)), pools[1])
    if wish is not None:
        share, users = load.of_replica(count), _users(asked, deployment, load, count)
        found = best_for_run(deployment, share, users, wish, asked.seed)
        deployment = found.best
    answer = _served(asked, deployment, load, pools)
    _warn(asked, deployment, served)
    answer |= _at_slo(asked, deployment, load)
    answer |= {} if served.trace is None else {"trace": dict(served.trace)}
    answer |= {} if served.described is None else {"load": dict(served.described)}
    in_service = -(-answer["users_in_service"] // count)
    users = _users(asked, deployment, load, deployment.plan.data_parallel * count)
    laid = for_load(deployment, load.isl, load.osl, users)
    answer |= {"bottleneck": bottleneck(laid, in_service, load.isl, load.osl) if in_service else None}
    answer |= _layout(laid)
    answer |= told_beside(asked, deployment, found, asked.interval, served.told)
    names = RunResult.__dataclass_fields__.keys() & answer.keys()
    figures = {name: answer[name] for name in names}
    return RunResult(**figures, deployment=deployment, found=found, answer=answer, asked=asked, load_text=served.text)


def _at_slo(asked: RunOptions, deployment: Deployment, load: Load) -> Answer:
    """The most users within the limits of --slo, and these; nothing without. Raises UserError."""
    from npusim.serving.slo import most_of_requests, parse_slo, users_at_slo
    from npusim.workload.arrivals import Turns, users_of

    if asked.slo is None:
        return {}
    slo = parse_slo(asked.slo)
    users = users_of(load.arrival)
    if users is None:
        message = "counts users, which these requests have not; give --arrival closed or burst with --concurrency"
        if asked.load is not None or isinstance(load.arrival, Turns):
            message = "counts users, which sessions that come at their times have not; give --isl, --osl, --concurrency"
        raise UserError("--slo", "", message)
    most = most_of_requests(len(load.prompts), users)
    found = users_at_slo(slo, asked.load_of, deployment, users, most, asked.seed, asked.interval)
    return {"users_at_slo": found.as_json, "slo": {"limits_ms": slo.as_dict(), "at_least": found.least}}


def _users(asked: RunOptions, deployment: Deployment, load: Load, servers: int) -> int:
    """Users of one of so many servers."""
    from npusim.serving.simulate import users_within

    if asked.concurrency is not None:
        return -(-asked.concurrency // servers)
    return users_within(deployment, load.of_replica(servers))


def _tiered(deployment: Deployment, asked: RunOptions) -> Deployment:
    """The deployment with the lower tiers that are asked for."""
    if not deployment.runtime.kv.prefix_caching:
        warn_of("--kv-tiers", f"{deployment.runtime.name} keeps no prefixes; the run is that without them")
    return replace(deployment, runtime=deployment.runtime.keeping_in(tuple(asked.kv_tiers or ())))


def _served(asked: RunOptions, deployment: Deployment, load: Load, pools: tuple[Pool, Pool] | None) -> PlainFigures:
    """The figures of a run on one server, on several, or on two pools of them."""
    from npusim.answers.instances import predict_instances
    from npusim.answers.predict import predict_load
    from npusim.engine.event.engine import Detail

    if pools is not None:
        return predict_spread(asked, *pools, load, asked.seed, asked.interval)
    if asked.instances > 1:
        return predict_instances(deployment, load, asked.instances, asked.routing, asked.seed, asked.interval)
    detail = Detail(asked.memory_depth)
    return predict_load(deployment, load, asked.seed, asked.interval, asked.engine, detail, asked.explain)


def _layout(deployment: Deployment) -> Answer:
    """For whom weights and KV lie in a memory with PIM units, as `pim_layout`; nothing without units."""
    from dataclasses import asdict

    from npusim.mapping.memory_layout import layout_of

    layout = None if deployment.system.chip.pim is None else layout_of(deployment.runtime_record)
    return {} if layout is None else {"pim_layout": asdict(layout)}


def _warn(asked: RunOptions, deployment: Deployment, served: AskedLoad) -> None:
    """Tells which options changed nothing in this run."""
    if asked.shared_prefix and not deployment.runtime.kv.prefix_caching:
        warn_of("--shared-prefix", f"{deployment.runtime.name} keeps no prefixes; the run is that without it")
    stalls = deployment.runtime.host.stall_probability.value > 0.0
    if asked.seed and not (asked.interval or stalls or served.drawn):
        warn_of("--seed", "nothing is drawn in this run; add --interval or --arrival poisson:R, or leave --seed out")
