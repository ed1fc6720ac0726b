"""npusim from Python: steps, serving runs, K-Perf grids and sweeps as plain dataclasses and pandas frames.

The command line calls these functions and prints what they return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pandas as pd

from npusim.answers.predict import predict_run, predict_step
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.run import SweepResult
from npusim.explore.sweep.run import sweep as run_sweep
from npusim.explore.sweep.spec import SweepSpec, load_spec
from npusim.kperf.runner import GridResult, Progress, run_grid
from npusim.mapping.deployment import Deployment, deploy

Say = Callable[[str], None]


class Placing(TypedDict, total=False):
    """How a model is deployed; what is left out has the command line's default."""

    precision: str
    kv_precision: str | None
    cards: int | str
    tensor_parallel: int | None
    runtime: str | None
    uncalibrated: bool


@dataclass(frozen=True)
class StepResult:
    """One step. time_us, energy_j, power_w: figures, or {value, low, high} where the interval was asked for.

    breakdown_us: microseconds by resource, their sum the step's; ops: a row an operator; answer: everything, as the
    command line's JSON has it.
    """

    time_us: Any
    energy_j: Any
    power_w: Any
    bound: str
    breakdown_us: Mapping[str, float]
    ops: pd.DataFrame
    deployment: Deployment
    answer: dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """A serving run. Latencies by statistic (mean, p50, p90, p99); figures, or {value, low, high} with an interval."""

    ttft_ms: Mapping[str, Any]
    tpot_ms: Mapping[str, Any]
    itl_ms: Mapping[str, Any]
    e2e_ms: Mapping[str, Any]
    output_tokens_per_s: Any
    tokens_per_s_per_user: Any
    power_w: Mapping[str, Any]
    tokens_per_joule: Any
    fits: bool
    deployment: Deployment
    answer: dict[str, Any]


def step(
    arch: str,
    model: str,
    *,
    phase: str,
    batch: int,
    context: int,
    query: int | None = None,
    interval: bool = False,
    engine: str = "analytic",
    explain: bool = False,
    trace: Path | None = None,
    seed: int = 0,
    **placing: Unpack[Placing],
) -> StepResult:
    """The time, energy and bound of one step; arguments as the options of `npusim step`. Raises UserError."""
    deployment = deploy(arch, model, tokens=batch * context, **placing)
    answer = predict_step(
        deployment,
        phase,
        batch,
        context,
        query,
        seed=seed,
        interval_wanted=interval,
        engine=engine,
        explain=explain,
        trace=trace,
    )
    figures = {name: answer[name] for name in ("time_us", "energy_j", "power_w", "bound", "breakdown_us")}
    return StepResult(**figures, ops=pd.DataFrame(answer["ops"]), deployment=deployment, answer=answer)


def run(
    arch: str,
    model: str,
    *,
    isl: int,
    osl: int,
    concurrency: int,
    requests: int | None = None,
    arrival: str = "closed",
    shared_prefix: int = 0,
    interval: bool = False,
    seed: int = 0,
    **placing: Unpack[Placing],
) -> RunResult:
    """What a serving run scores; arguments as the options of `npusim run`. Raises UserError."""
    deployment = deploy(arch, model, tokens=isl + osl, **placing)
    answer = predict_run(
        deployment,
        isl=isl,
        osl=osl,
        concurrency=concurrency,
        requests=requests,
        arrival=arrival,
        shared_prefix=shared_prefix,
        seed=seed,
        interval_wanted=interval,
    )
    names = RunResult.__dataclass_fields__.keys() - {"deployment", "answer"}
    return RunResult(**{name: answer[name] for name in names}, deployment=deployment, answer=answer)


def kperf(
    archs: str | Sequence[str],
    models: Sequence[str] | None = None,
    grid: str | None = None,
    *,
    interval: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
    **placing: Unpack[Placing],
) -> list[GridResult]:
    """The K-Perf grid of each architecture, `cells` and `provenances` as frames. Raises UserError.

    cards: "auto" by default, the smallest power of two that holds a model.
    """
    chips = [archs] if isinstance(archs, str) else list(archs)
    options: dict[str, Any] = {"cards": "auto", **placing}
    names = None if models is None else list(models)
    return run_grid(chips, names, grid, seed=seed, intervals=interval, progress=progress, **options)


def sweep(
    spec: SweepSpec | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    backend: Backend | None = None,
    say: Say | None = None,
) -> SweepResult:
    """Run a sweep (a file, or its content) into `out`; its table is `out`/points.parquet. Raises UserError."""
    if isinstance(spec, str | Path):
        asked, place = load_spec(Path(spec)), str(spec)
    else:
        asked, place = SweepSpec.model_validate(spec), "the specification"
    return run_sweep(asked, place, Path(out), backend or Backend(), say)
