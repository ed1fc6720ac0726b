"""A design with its PIM units and without them: tokens per second and per joule, with intervals, policy by policy.

All variants run on the same board. Draws are shared: a drawn board runs with and without its units, so that the
interval of the gain leaves out what both have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.explore.pim.deciders import GAINS, PimDecider, pim_deciders
from npusim.hardware.runtime_record import build_runtime
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, simulate
from npusim.serving.uncertainty import drawn_engines, interval
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
        return replace(deployment, runtime=runtime, runtime_record=record)


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
    return _of(measure(simulate(deployment, load, seed)))


def _of(metrics: RunMetrics) -> dict[str, float]:
    return {name: float(metrics[row.name]) for name, row in COMPARED.items()}


def _with_intervals(pair: dict[str, Deployment], load: Load, seed: int, draws: int) -> dict[str, dict[str, Any]]:
    own = {side: _of(measure(simulate(where, load, seed))) for side, where in pair.items()}
    drawn = {side: _drawn(where, load, seed, draws) for side, where in pair.items()}
    result: dict[str, dict[str, Any]] = {}
    for side in pair:
        result[side] = {
            name: _ranged(own[side][name], [each[name] for each in drawn[side] if each]) for name in COMPARED
        }
    both = [(one, other) for one, other in zip(drawn["without"], drawn["with"], strict=True) if one and other]
    result["gain"] = {
        gain: _ranged(own["with"][name] / own["without"][name], [other[name] / one[name] for one, other in both])
        for name, gain in GAINS.items()
    }
    return result


def _drawn(deployment: Deployment, load: Load, seed: int, draws: int) -> list[dict[str, float]]:
    """Figures on each drawn board, in order; empty where it has no room."""
    found: list[dict[str, float]] = []
    for where, engine in drawn_engines(deployment, seed, draws):
        try:
            where.require_fit(load.isl + load.osl)
        except UserError:
            found.append({})
            continue
        found.append(_of(measure(simulate(where, load, seed, engine))))
    return found


def _ranged(value: float, drawn: list[float]) -> dict[str, float]:
    low, high = interval(value, np.array(drawn))
    return {"value": value, "low": low, "high": high}
