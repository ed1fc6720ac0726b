"""A design with its PIM units and without them: tokens per second and per joule, with intervals, policy by policy.

All variants run on the same board. Draws are shared: a drawn board runs with and without its units under the same
errors, so that the interval of the gain leaves out what both have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from npusim.errors import UserError
from npusim.explore.pim.deciders import GAINS, PimDecider, pim_deciders
from npusim.hardware.runtime_record import build_runtime
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.serving.joint import JointDraws, run_draws
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, simulate
from npusim.serving.uncertainty import drawn_engines
from npusim.workload.arrivals import parse_arrival
from npusim.workload.prompts import shared_prefix_prompts

_DRAWS = 64
_REQUESTS_PER_USER = 3
COMPARED = {row.quantity: row for row in shown(Shown.BRIEF)}
"""Means by their quantity."""
WITHOUT = "none"


@dataclass(frozen=True)
class PimVariant:
    """A policy for the units. weights: one copy `shared`, `copied` for the host and for the units, or `chosen` for the
    load."""

    name: str
    policy: str
    weights: str = "shared"

    def of(self, deployment: Deployment) -> Deployment:
        """`deployment` under this policy. Raises UserError where its runtime knows no PIM units."""
        runtime = deployment.runtime.offloading(self.policy, self.weights)
        record = build_runtime(runtime, deployment.system)
        known = deployment.software
        ran = None if known is None else replace(known, runtime=known.runtime.offloading(self.policy, self.weights))
        return replace(deployment, runtime=runtime, runtime_record=record, software=ran)


VARIANTS = (
    PimVariant(WITHOUT, "none"),
    PimVariant("linear", "linear"),
    PimVariant("attention", "attention"),
    PimVariant("both", "both"),
    PimVariant("linear, weights twice", "linear", "copied"),
    PimVariant("both, weights twice", "both", "copied"),
    PimVariant("layout by the load", "both", "chosen"),
)


@dataclass(frozen=True)
class PimComparison:
    """variants: figures of each policy by its name, None where it has no room; best: the fastest with units.

    figures: {value, low, high} of each of COMPARED for "without" and "with" (the best policy), and of GAINS; deciders:
    of each gain and of both figures with units, the numbers whose ranges move it most.
    """

    variants: dict[str, dict[str, float] | None]
    best: str
    figures: dict[str, dict[str, Any]]
    deciders: dict[str, list[PimDecider]]


def compare_pim(
    deployment: Deployment, isl: int, osl: int, users: int, *, seed: int = 0, draws: int = _DRAWS
) -> PimComparison:
    """Run a closed loop of `users` under every policy. Raises UserError where the design has no units or no room."""
    if deployment.system.chip.pim is None:
        raise UserError(deployment.system.name, "chip.pim", "this architecture's memory has no PIM units")
    for option, value in (("--isl", isl), ("--osl", osl), ("--concurrency", users), ("--draws", draws)):
        if value < 1:
            raise UserError(option, "", f"{value} must be 1 or more")
    load = _load(isl, osl, users)
    placed = {variant.name: variant.of(deployment) for variant in VARIANTS}
    placed[WITHOUT].require_fit(isl + osl)
    figures = {name: _figures(where, load, seed) for name, where in placed.items()}
    best = max((name for name in figures if name != WITHOUT), key=lambda name: _rate(figures[name]))
    pair = {"without": placed[WITHOUT], "with": placed[best]}
    return PimComparison(
        variants=figures,
        best=best,
        figures=_with_intervals(pair, load, seed, draws),
        deciders=pim_deciders(pair["without"], pair["with"], isl, osl, users),
    )


def _load(isl: int, osl: int, users: int) -> Load:
    prompts = shared_prefix_prompts(_REQUESTS_PER_USER * users, isl, 0)
    return Load(isl, osl, parse_arrival("closed", users), prompts)


def _rate(figures: dict[str, float] | None) -> float:
    return -1.0 if figures is None else figures["output_tokens_per_s"]


def _figures(deployment: Deployment, load: Load, seed: int) -> dict[str, float] | None:
    """The figures of a run, None where not every request has room."""
    try:
        deployment.require_fit(load.isl + load.osl)
    except UserError:
        return None
    metrics = measure(simulate(deployment, load, seed))
    return {name: float(metrics[row.name]) for name, row in COMPARED.items()}


def _with_intervals(pair: dict[str, Deployment], load: Load, seed: int, draws: int) -> dict[str, dict[str, Any]]:
    """Of both sides, over drawn boards that hold the model on both, under the same unexplained errors."""
    drawn = {side: _drawn(where, load, seed, draws) for side, where in pair.items()}
    both = [index for index in range(draws) if all(runs[index] is not None for runs in drawn.values())]
    joint = {}
    for side, where in pair.items():
        boards = [run for index in both if (run := drawn[side][index]) is not None]
        joint[side] = run_draws(where, load, measure(simulate(where, load, seed)), boards, seed)
    result: dict[str, dict[str, Any]] = {
        side: {name: _ranged(found, row.name) for name, row in COMPARED.items()} for side, found in joint.items()
    }
    gains = _gains(joint["without"], joint["with"])
    result["gain"] = {gain: _ranged(gains, gain) for gain in GAINS.values()}
    return result


def _gains(without: JointDraws, with_units: JointDraws) -> JointDraws:
    names = {gain: COMPARED[name].name for name, gain in GAINS.items()}
    return JointDraws(
        {gain: with_units.value[name] / without.value[name] for gain, name in names.items()},
        {gain: with_units.drawn[name] / without.drawn[name] for gain, name in names.items()},
    )


def _drawn(deployment: Deployment, load: Load, seed: int, draws: int) -> list[RunMetrics | None]:
    """The run on each drawn board, in order; None where it has no room."""
    found: list[RunMetrics | None] = []
    for where, engine in drawn_engines(deployment, seed, draws):
        try:
            where.require_fit(load.isl + load.osl)
        except UserError:
            found.append(None)
            continue
        found.append(measure(simulate(where, load, seed, engine)))
    return found


def _ranged(joint: JointDraws, name: str) -> dict[str, float]:
    low, high = joint.interval(name)
    return {"value": float(joint.value[name]), "low": low, "high": high}
