"""Which requests a serving run is asked for: by their lengths and arrival, by a trace, or by a described load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Json
from npusim.api.deploying import Seed
from npusim.api.options import Given, Option, Options
from npusim.errors import UserError
from npusim.inputs.limits import MOST, MOST_REQUESTS, MOST_USERS

if TYPE_CHECKING:
    from npusim.serving.load import Load

_SHAPE = ("isl", "osl", "concurrency")
_OF_A_TRACE, _OF_A_LOAD = "trace", "load"
"""How lengths are spread that a trace gives, or a load."""
_OF_SESSIONS = {"start": "at times of their own", "prompts": "shared"}
"""How users of sessions start, and that the prompts of a session begin with those before them."""
_FASTEST, _SLOWEST = 1e6, 1e-6
"""Times as fast as it was recorded."""


@dataclass(frozen=True, kw_only=True)
class Loading(Options):
    """The requests of a run."""

    isl: Annotated[
        int | str | None,
        Option(
            "Prompt tokens of a request: one number, or spread evenly about it (1024±20%), or evenly or lognormally "
            "between others (uniform:512-2048, lognormal:mean=1024,cv=0.6).",
            metavar="I|I±20%|KIND:...",
            default="of a trace its own",
            least=1,
            most=MOST,
        ),
    ] = None
    osl: Annotated[
        int | str | None,
        Option(
            "Output tokens of a request, written as --isl is.",
            metavar="O|O±20%|KIND:...",
            default="of a trace its own",
            least=1,
            most=MOST,
        ),
    ] = None
    concurrency: Annotated[
        int | None,
        Option(
            "Users, each of whom has one request in flight at most.",
            metavar="C",
            default="of a trace that has times as many as come",
            least=1,
            most=MOST_USERS,
        ),
    ] = None
    requests: Annotated[
        int | None,
        Option(
            "Requests of the whole run, the first ones of a trace.",
            metavar="N",
            default="3 per user; of a trace or a load all",
            least=1,
            most=MOST_REQUESTS,
        ),
    ] = None
    arrival: Annotated[
        str | None,
        Option(
            "When requests arrive: closed, each user waits for the answer; burst, all are due at once; poisson:R, R "
            "requests/s on average. closed:start=staggered cuts the first answers, so that users of equal lengths do "
            "not move in step.",
            metavar="closed|burst|poisson:R",
            default="closed; of a trace its own times",
        ),
    ] = None
    trace: Annotated[
        Path | None,
        Option(
            "Recorded requests in place of --isl and --osl: Azure LLM inference CSV, BurstGPT CSV, Mooncake, Bailian, "
            "vLLM bench or AIPerf JSONL, what npusim generate wrote, or pairs of lengths (CSV or JSONL).",
            metavar="FILE",
        ),
    ] = None
    load: Annotated[
        str | None,
        Option(
            "Sessions drawn by the seed in place of --isl and --osl, as a shipped load or a YAML file describes them "
            "(npusim list loads): bursts, the course of a day, turns that wait for the answer before them.",
            metavar="LOAD",
        ),
    ] = None
    trace_speed: Annotated[
        float,
        Option(
            "How many times as fast as recorded a trace comes.",
            metavar="X",
            least=_SLOWEST,
            most=_FASTEST,
            only_with=("trace", Given),
        ),
    ] = 1.0
    shared_prefix: Annotated[
        int, Option("First tokens that all prompts share, for a runtime with a prefix cache.", metavar="P", least=0)
    ] = 0
    warm_up: Annotated[
        int,
        Option(
            "Requests at the beginning whose latencies do not count; rates and power are of the whole run.",
            metavar="N",
            least=0,
            most=MOST_REQUESTS,
        ),
    ] = 0

    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_kind()
        missing = next((name for name in _SHAPE if getattr(self, name) is None), None)
        if self.trace is None and self.load is None and missing is not None:
            raise UserError(
                f"--{missing}", "", "is missing; give it, or --trace for recorded requests, --load for sessions"
            )

    def _check_one_kind(self) -> None:
        """Raises UserError where lengths, a trace or a load are told beside each other."""
        given = [name for name in ("isl", "osl") if getattr(self, name) is not None]
        given += ["shared-prefix"] if self.shared_prefix else []
        if self.trace is not None and given:
            raise UserError(f"--{given[0]}", "", "a trace has its own lengths and prompts; leave it out, or --trace")
        if self.load is None:
            return
        given += [name for name in ("trace", "concurrency", "arrival") if getattr(self, name) is not None]
        if given:
            message = "a load has its own requests and their times; leave it out, or --load"
            raise UserError(f"--{given[0]}", "", message)

    def load_of(self, users: int) -> Load:
        """What the run serves with so many users, each of whom has as many requests. Raises UserError."""
        requests = self.requests
        if requests is not None and self.concurrency is not None and self.trace is None:
            requests = -(-requests * users // self.concurrency)
        return replace(self, concurrency=users, warm_up=0, requests=requests).asked_load.load

    @property
    def asked_load(self) -> AskedLoad:
        """What the run serves. Raises UserError."""
        if self.load is not None:
            return _of_description(self, self.load)
        return _of_trace(self, self.trace) if self.trace is not None else _of_shape(self)


@dataclass(frozen=True)
class AskedLoad:
    """load: what is served; text: in a few words; drawn: whether a seed draws anything of it; told: the conditions that
    it tells, by name; trace: what a trace was, described: what a described load was, None without one."""

    load: Load
    text: str
    drawn: bool
    told: Mapping[str, str] = field(default_factory=dict)
    trace: Mapping[str, Json] | None = None
    described: Mapping[str, Json] | None = None


def _of_shape(asked: Loading) -> AskedLoad:
    from npusim.answers.predict import run_load
    from npusim.workload.arrivals import CLOSED, TOGETHER, start_of, users_of
    from npusim.workload.lengths import FIXED, parse_lengths, spreads_text

    assert asked.isl is not None and asked.osl is not None and asked.concurrency is not None
    isl, osl = parse_lengths(asked.isl, "--isl"), parse_lengths(asked.osl, "--osl")
    arrival = asked.arrival or CLOSED
    load = run_load(
        isl=asked.isl,
        osl=asked.osl,
        concurrency=asked.concurrency,
        requests=asked.requests,
        arrival=arrival,
        shared_prefix=asked.shared_prefix,
        warm_up=asked.warm_up,
        seed=asked.seed,
    )
    lengths, start = spreads_text(isl.spread, osl.spread), start_of(load.arrival)
    usual = {"lengths": FIXED.text, "start": TOGETHER}
    shown = (f"{each.stated:,}" if each.spread == FIXED else each.text for each in (isl, osl))
    text = "prompts of {} and outputs of {} tokens, {:,} users, {}".format(*shown, asked.concurrency, arrival)
    told = {name: value for name, value in (("lengths", lengths), ("start", start)) if value != usual[name]}
    return AskedLoad(load, text, lengths != FIXED.text or users_of(load.arrival) is None, told)


def _of_trace(asked: Loading, path: Path) -> AskedLoad:
    from npusim.serving.load import trace_load
    from npusim.workload.arrivals import parse_arrival, users_of
    from npusim.workload.traces.read import read_trace

    trace = read_trace(Path(path), asked.requests)
    arrival = None if asked.arrival is None else parse_arrival(asked.arrival, asked.concurrency)
    if arrival is not None and trace.before is not None:
        raise UserError("--arrival", "", "turns of this trace wait for the answers before them; leave it out")
    load = trace_load(trace, asked.trace_speed, arrival, asked.warm_up)
    told: dict[str, Json] = {
        "file": str(path),
        "format": trace.format,
        "requests": len(trace),
        "skipped": dict(trace.skipped),
        "speed": asked.trace_speed,
        "seconds": trace.seconds,
        "isl_mean": float(trace.tokens[:, 0].mean()),
        "osl_mean": float(trace.tokens[:, 1].mean()),
    }
    left_out = "".join(f", {count:,} of {reason} left out" for reason, count in trace.skipped.items())
    text = f"{len(trace):,} requests of {Path(path).name} ({trace.format}{left_out})"
    drawn = arrival is not None and users_of(arrival) is None
    conditions = {"lengths": _OF_A_TRACE} | ({} if trace.before is None else _OF_SESSIONS)
    return AskedLoad(load, text, drawn, conditions, told)


def _of_description(asked: Loading, name: str) -> AskedLoad:
    from npusim.serving.load import trace_load
    from npusim.workload.loads.catalog import described_load, load_path
    from npusim.workload.loads.draw import draw_trace
    from npusim.workload.loads.facts import facts_of

    path = load_path(name, "--load")
    told = described_load(path)
    trace = draw_trace(told, path, asked.seed, asked.requests)
    facts = facts_of(told, trace)
    text = f"{len(trace):,} requests of {facts['sessions']:,} sessions of {told.name}"
    load = trace_load(trace, warm_up=asked.warm_up)
    return AskedLoad(load, text, True, {"lengths": _OF_A_LOAD} | _OF_SESSIONS, described=facts)
