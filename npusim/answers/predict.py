"""One prediction: a step, or a serving run, as plain JSON-ready figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import get_ident
from typing import Any, TypeAlias, TypedDict, Unpack

import numpy as np

from npusim.answers.bottleneck import hidden_floor, moved_by
from npusim.answers.energy import energy_breakdown_j, energy_reconciliation
from npusim.answers.engines import working_pes
from npusim.answers.kv_access import kv_access
from npusim.answers.on_device import device_left_out, device_told
from npusim.answers.simulated_step import engines_figures, simulated_figures, write_step_trace
from npusim.answers.ttft import ttft_told
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.elasticity import Elasticities, elasticities, elasticities_by
from npusim.engine.event.engine import RATE_ALONE, Detail, EventEngine
from npusim.engine.event.window import MOST_SIMULATED, WindowEnds, WindowEngine
from npusim.engine.speculation import analytic_engine
from npusim.engine.stepcost import RESOURCES, StepCost, StepEngine
from npusim.errors import DoesNotFit, UserError
from npusim.inputs import remembered_last
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import KIND_NAMES, OP_NAMES
from npusim.metric_row import Shown
from npusim.metrics import METRICS, PASSES, shown
from npusim.serving.joint import JointDraws, run_draws, step_draws
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.on_device import on_device
from npusim.serving.simulate import simulate
from npusim.serving.step_log import StepLog
from npusim.serving.uncertainty import drawn_engines, drawn_metrics
from npusim.units import US_PER_S
from npusim.workload.arrivals import Poisson, parse_arrival
from npusim.workload.lengths import parse_lengths
from npusim.workload.step import Step, prefill

_POWER, _POWER_SCOPE = "power_w", "cards"
_REQUESTS_PER_USER = 3
_LONGEST_RUN_S = 1e9
"""Beyond it a 64-bit clock in seconds no longer resolves tenths of a microsecond."""
_PHASES = ("decode", "prefill")
_ENGINES = 16
"""Engines of one process that are kept."""
ANALYTIC, EVENT = "analytic", "event"
ENGINES = (ANALYTIC, EVENT)

PlainFigures: TypeAlias = dict[str, Any]
"""What an answer tells, by the names of metrics and of what is beside them, in units that the names carry."""


@dataclass(frozen=True)
class CostedStep:
    """A step and what it takes. simulated: what the event engine saw of it, None of the analytic one; drawn: the
    same steps of machines drawn under `seed`, None without an interval; host_us: beside time_us; moved: what the event
    engine says that moves it.

    breakdown_us sums to time_us; memory_bytes (over the memory's pins) and flops are those of one chip.
    """

    deployment: Deployment
    engine: str
    phase: str
    batch: int
    context: int
    step: Step
    cost: StepCost
    host_us: float
    drawn: list[StepCost] | None
    seed: int = 0
    simulated: dict[str, Any] | None = None
    moved: Elasticities | None = None

    @cached_property
    def elasticities(self) -> Elasticities:
        """What moves the step with its host time; of closed forms unless the event engine was asked to explain."""
        if self.moved is not None:
            return self.moved
        return elasticities(self.deployment, _engine(self.deployment, self.batch), self.step)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """time_us, energy_j and power_w, {value, low, high} each where steps of drawn machines are given."""
        totals = _step_totals(self.cost)
        if self.drawn is None:
            return totals
        joint = step_draws(self.deployment, self.phase, self.step, self.cost, self.drawn, self.seed)
        return {name: _ranged(joint, name) for name in totals}

    @property
    def breakdown_us(self) -> dict[str, float]:
        """Microseconds by resource."""
        return {name: self.cost.shares_s[name] * US_PER_S for name in RESOURCES}

    @cached_property
    def rows(self) -> np.ndarray:
        """The specialised rows of all pieces of the step, array of OP_DTYPE."""
        analytic = _engine(self.deployment, self.batch)
        return np.concatenate([analytic.operators(piece)[0].rows for piece in analytic.pieces(self.step)])

    @cached_property
    def ops(self) -> list[dict[str, Any]]:
        """An entry per operator and repeat count."""
        if self.simulated is not None:
            return list(self.simulated["ops"])
        analytic = _engine(self.deployment, self.batch)
        return [entry for piece in analytic.pieces(self.step) for entry in _operators(analytic, piece, self.cost)]

    def as_dict(self) -> dict[str, Any]:
        """Everything under the names of the command line's contract."""
        return {
            "engine": self.engine,
            "phase": self.phase,
            "batch": self.batch,
            "context": self.context,
            "query": int(self.step.query[0]),
            **self.figures,
            "host_us": self.host_us,
            "power_scope": _POWER_SCOPE,
            **moved_by(self.elasticities),
            "hidden_floor": hidden_floor(self.elasticities, US_PER_S, "us"),
            "breakdown_us": self.breakdown_us,
            "clock": self.cost.clock,
            "duty": self.cost.duty,
            **working_pes(self.deployment, self.cost),
            **kv_access(self.deployment, self.rows),
            "energy_breakdown_j": energy_breakdown_j(self.deployment, self.cost.parts_j, self.cost.energy_j),
            "energy_reconciliation": energy_reconciliation(self.deployment),
            **({} if self.deployment.system.chip.pim is None else {"sub_batches": self.cost.sub_batches}),
            "memory_bytes": self.cost.memory_bytes,
            "flops": self.cost.flops,
            "ops": self.ops,
            **(self.simulated or {}),
        }


class StepPredictionOptions(TypedDict, total=False):
    """Beside what the step is: seed of the draws, whether they are wanted, engine and how closely it looks, its
    explanation and its trace."""

    seed: int
    interval_wanted: bool
    engine: str
    detail: Detail
    explain: bool
    trace: Path | None


def predict_step(
    deployment: Deployment,
    phase: str,
    batch: int,
    context: int,
    query: int | None = None,
    **options: Unpack[StepPredictionOptions],
) -> dict[str, Any]:
    """As `cost_step`, everything under the names of the command line's contract."""
    return step_costs(deployment, phase, batch, context, query, **options).as_dict()


def step_costs(
    deployment: Deployment,
    phase: str,
    batch: int,
    context: int,
    query: int | None = None,
    *,
    seed: int = 0,
    interval_wanted: bool = False,
    engine: str = ANALYTIC,
    detail: Detail = RATE_ALONE,
    explain: bool = False,
    trace: Path | None = None,
) -> CostedStep:
    """The cost of one step. context: tokens attended, new ones included; query: new tokens of a prefill.

    batch: sequences of all replicas together.
    engine: analytic, or event, which looks as closely as `detail` says and can also `explain` its bottlenecks and write
    a `trace`. Figures become {value, low, high} with `interval_wanted`, their machines drawn under `seed`. Raises
    UserError.
    """
    replicas = deployment.plan.data_parallel
    step = _step(deployment, phase, -(-batch // replicas), context, query)
    room = deployment.require_fit(1)
    if len(step.query) * room.kv_bytes(context) > room.available_bytes:
        most = int(room.available_bytes // room.kv_bytes(context)) * replicas
        raise UserError(
            "--batch",
            "",
            f"{batch * context} tokens of KV (batch x context), but {most * context} fit beside the weights; "
            f"at this context a batch of {most}",
        )
    analytic, simulated, moved = _engine(deployment, batch), None, None
    if engine == EVENT:
        event = EventEngine(analytic, deployment.system.name, detail)
        pieces = event.simulated(step)
        cost, simulated = event.total(step, pieces), simulated_figures(pieces, explain)
        simulated["engines"] = engines_figures(pieces, cost, analytic.cost(step))
        moved = elasticities_by(deployment, analytic, step, _simulated_time(step, detail)) if explain else None
    else:
        cost = analytic.cost(step)
    drawn = _drawn_steps(deployment, step, seed, engine, detail) if interval_wanted else None
    if trace is not None:
        write_step_trace(pieces, trace, f"{deployment.system.title}, {deployment.model.name}, {phase}")
    host_us = (analytic.with_host(cost, batch).time_s - cost.time_s) * US_PER_S
    return CostedStep(deployment, engine, phase, batch, context, step, cost, host_us, drawn, seed, simulated, moved)


def _simulated_time(step: Step, detail: Detail) -> Callable[[Deployment], float]:
    """Seconds of the step by the event engine, under the records of a deployment."""

    def time_s(deployment: Deployment) -> float:
        engine = analytic_engine(deployment, max_sequences=len(step.query))
        return EventEngine(engine, deployment.system.name, detail).cost(step).time_s

    return time_s


def _engine(deployment: Deployment, sequences: int) -> AnalyticEngine:
    """An engine with room for `sequences`, one that this thread had before where there is one."""
    return _kept_engine(deployment, 1 << (sequences - 1).bit_length(), get_ident())


@remembered_last(_ENGINES)
def _kept_engine(deployment: Deployment, room: int, _thread: int) -> AnalyticEngine:
    return analytic_engine(deployment, max_sequences=room)


def _step_totals(cost: StepCost) -> dict[str, float]:
    return {row.name: getattr(cost, row.name) for row in PASSES}


def _drawn_steps(deployment: Deployment, step: Step, seed: int, engine: str, detail: Detail) -> list[StepCost]:
    costs = []
    for _, drawn in drawn_engines(deployment, seed, max_sequences=len(step.query)):
        costing: StepEngine = EventEngine(drawn, deployment.system.name, detail) if engine == EVENT else drawn
        # A drawn chip that cannot work under the cap is none that the figure is of.
        with contextlib.suppress(DoesNotFit):
            costs.append(costing.cost(step))
    return costs


def _step(deployment: Deployment, phase: str, batch: int, context: int, query: int | None) -> Step:
    if phase not in _PHASES:
        raise UserError("--phase", "", f"'{phase}' is no phase; use {' or '.join(_PHASES)}")
    for option, value in (("--batch", batch), ("--context", context), ("--query", 1 if query is None else query)):
        if value < 1:
            raise UserError(option, "", f"{value} must be 1 or more")
    longest = deployment.model.max_context
    if context > longest:
        raise UserError("--context", "", f"{context} tokens are more than {deployment.model.name} takes ({longest})")
    if phase == "decode":
        if query not in (None, 1):
            raise UserError(
                "--query",
                "",
                "a decode step has one new token and those drafted; leave --query out",
            )
        drafted = deployment.drafted
        if context <= drafted:
            raise UserError("--context", "", f"{context} tokens do not hold the {1 + drafted} new ones of a step")
        return deployment.decoding([context - drafted] * batch)
    if query is not None and query > context:
        raise UserError("--query", "", f"{query} new tokens do not fit in a context of {context} that includes them")
    return prefill(batch, query or context, context)


def _operators(engine: AnalyticEngine, step: Step, cost: StepCost) -> list[dict[str, Any]]:
    table, costs = engine.operators(step)
    return [_operator(row, spent, cost.clock) for row, spent in zip(table.rows, costs, strict=True)]


def _operator(row: Any, spent: Any, clock: float) -> dict[str, Any]:
    """One operator, times of all its repeats together."""
    repeat = int(row["repeat"])
    seconds = {
        name: float(spent[f"{name}_s"]) * repeat
        for name in RESOURCES
        if f"{name}_s" in (OPERATOR_COST_DTYPE.names or ())
    }
    for name in ("contraction", "vector"):
        seconds[name] /= clock
    arithmetic = seconds["contraction"] + seconds["vector"]
    total = max(arithmetic, seconds["memory"]) + seconds["pim"] + seconds["link"] + seconds["overhead"]
    return {
        "op": OP_NAMES[row["op"]],
        "kind": KIND_NAMES[row["kind"]],
        "segment": int(row["segment"]),
        "repeat": repeat,
        **{name: float(row[name]) for name in ("m", "n", "k", "batch", "query", "kv")},
        "memory_bytes": float(spent["fetched"] + spent["stored"]) * repeat,
        "flops": float(row["flops"]) * repeat,
        "time_us": total * US_PER_S,
        "bound": max(seconds, key=lambda name: seconds[name]),
        "busy_us": {name: value * US_PER_S for name, value in seconds.items()},
    }


def run_load(
    *,
    isl: int | str,
    osl: int | str,
    concurrency: int,
    requests: int | None,
    arrival: str = "closed",
    shared_prefix: int = 0,
    warm_up: int = 0,
    seed: int = 0,
) -> Load:
    """What a run serves. isl, osl: as `parse_lengths` reads them; requests: default three a user. Raises UserError."""
    process = parse_arrival(arrival, concurrency)
    count = _REQUESTS_PER_USER * concurrency if requests is None else requests
    if count < 1:
        raise UserError("--requests", "", f"{count} must be 1 or more")
    if warm_up >= count:
        raise UserError("--warm-up", "", f"{warm_up:,} of {count:,} requests leave none to measure; give fewer")
    if isinstance(process, Poisson) and count / process.rate_per_s > _LONGEST_RUN_S:
        least = count / _LONGEST_RUN_S
        message = f"{arrival} spreads {count:,} requests over more than the clock resolves; give {least:g} or more"
        raise UserError("--arrival", "", message)
    lengths = parse_lengths(isl, "--isl"), parse_lengths(osl, "--osl")
    return make_load(*lengths, process, count, seed, shared=shared_prefix, warm_up=warm_up)


def predict_run(
    deployment: Deployment,
    *,
    isl: int | str,
    osl: int | str,
    concurrency: int,
    requests: int | None = None,
    arrival: str = "closed",
    shared_prefix: int = 0,
    warm_up: int = 0,
    seed: int = 0,
    interval_wanted: bool = False,
    engine: str = ANALYTIC,
    detail: Detail = RATE_ALONE,
) -> dict[str, Any]:
    """A serving run. requests: default three per user. Figures become {value, low, high} with `interval_wanted`.

    engine: analytic, or event for a short window in which every step is simulated as closely as `detail` says.

    Keys as in the contract of the command line, beside requests, refused, refusal, preemptions, prefix_hit_fraction,
    users_in_service and duration_s. Raises UserError.
    """
    load = run_load(
        isl=isl,
        osl=osl,
        concurrency=concurrency,
        requests=requests,
        arrival=arrival,
        shared_prefix=shared_prefix,
        warm_up=warm_up,
        seed=seed,
    )
    return predict_load(deployment, load, seed, interval_wanted, engine, detail)


def predict_load(
    deployment: Deployment,
    load: Load,
    seed: int = 0,
    interval_wanted: bool = False,
    engine: str = ANALYTIC,
    detail: Detail = RATE_ALONE,
    explain: bool = False,
) -> dict[str, Any]:
    """As `predict_run`, of a load; `explain`: also where the time to the first token went."""
    log = StepLog() if explain else None
    if engine == EVENT:
        return _run_of_events(deployment, load, seed, detail, log)
    costs = analytic_engine(deployment)
    run = simulate(deployment, load, seed, costs, log=log)
    metrics = measure(run)
    told = {"energy_reconciliation": energy_reconciliation(deployment)} | ttft_told(run, log)
    if explain and deployment.runtime.artifacts:
        told["steps_by_artifact"] = dict(costs.steps_by_artifact)
    if not interval_wanted:
        return run_figures(metrics) | told | _on_device(deployment, load, metrics, seed)
    engines = list(drawn_engines(deployment, seed))
    joint = run_draws(deployment, load, metrics, drawn_metrics(load, engines, seed), seed)
    return (
        with_intervals(run_figures(metrics), joint) | told | _on_device(deployment, load, metrics, seed, joint, engines)
    )


def _on_device(
    deployment: Deployment,
    load: Load,
    metrics: RunMetrics,
    seed: int,
    joint: JointDraws | None = None,
    engines: Sequence[tuple[Deployment, AnalyticEngine]] = (),
) -> dict[str, Any]:
    """What the device makes of the run, or why that is not told; nothing of a chip that is in none."""
    if deployment.plan.chips > 1 or not metrics["requests"]:
        return device_left_out(deployment, "chips" if deployment.plan.chips > 1 else "nothing")
    found = on_device(deployment, load, metrics, analytic_engine(deployment), seed, joint, engines)
    return device_told(found, metrics)


def _run_of_events(
    deployment: Deployment, load: Load, seed: int, detail: Detail, log: StepLog | None
) -> dict[str, Any]:
    """A window under the event engine, and how many steps of it were simulated."""
    window = WindowEngine(analytic_engine(deployment), deployment.system.name, detail)
    try:
        run = simulate(deployment, load, seed, window, log=log)
    except WindowEnds:
        told = f"it simulates a window of at most {MOST_SIMULATED} steps of different shapes"
        raise UserError(
            "--engine", "event", f"{told}; give fewer --requests, a shorter --osl, or use analytic"
        ) from None
    metrics = measure(run)
    device = _on_device(deployment, load, metrics, seed)
    simulated = {"engine": EVENT, "simulated_steps": window.simulated, **device}
    return run_figures(metrics) | ttft_told(run, log) | simulated


def run_figures(metrics: RunMetrics) -> dict[str, Any]:
    """The figures of a run under the names of the command line's contract: statistics by their quantity."""
    answer: dict[str, Any] = {_POWER: {"scope": _POWER_SCOPE}}
    for row in shown(Shown.RUN):
        if row.statistic:
            answer.setdefault(row.quantity, {})[row.statistic] = metrics[row.name]
        else:
            answer[row.name] = metrics[row.name]
    if metrics.tier_hits:
        answer["kv_tier_hit_fraction"] = dict(metrics.tier_hits)
    return answer | {
        "energy_breakdown_j": dict(metrics.breakdown_j), "fits": metrics.fits, "refusal": metrics.refusal
    }  # fmt: skip


_EXACT = frozenset(row.name for row in METRICS if row.exact)


def with_intervals(figures: dict[str, Any], joint: JointDraws, within: str = "") -> dict[str, Any]:
    """`figures` with every float as {value, low, high} over the joint draws. within: what they are parts of."""
    result: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            result[name] = with_intervals(value, joint, f"{name}_")
        elif isinstance(value, float | np.floating) and name not in _EXACT:
            result[name] = _ranged(joint, f"{within}{name}")
        else:
            result[name] = value
    return result


def _ranged(joint: JointDraws, name: str) -> dict[str, float]:
    low, high = joint.interval(name)
    return {"value": float(joint.value[name]), "low": low, "high": high}
