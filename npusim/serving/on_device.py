"""What a device of one user makes of a run: what its cooling sustains and for how long, its joules and its battery.

A run as the chip's description gives it is the burst: the chip is hot, its cooling not yet at its limit. Under lasting
use the power of each heat path settles to what the path sustains (`hardware/thermal.py`), and the chip's own power
limiter holds it there (`held.py`). An answer's joules are those of an answer asked alone; a charge is the usable part
of the battery.
What a description does not tell is NaN, and so is what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import DoesNotFit
from npusim.hardware.draws import RANGE_COVERAGE, RangedNumber, drawn_values, is_ranged
from npusim.hardware.on_device import Device
from npusim.hardware.thermal import mean_power_w, seconds_to_limit, sustainable_w
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment
from npusim.serving.held import UNHELD, HeldCurve, held_curve
from npusim.serving.joint import JointDraws, quantile_of
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics
from npusim.serving.simulate import service_of
from npusim.units import S_PER_HOUR

NEVER, UNKNOWN = "never throttles", "unknown"
_DEVICE = 2**36
"""Added to the seed for the numbers of a device, which are independent of its chip's."""

Engines = Sequence[tuple[Deployment, AnalyticEngine]]
_Numbers = Mapping[str, Any]
_Figures = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Burst:
    """A run that nothing holds back: ms a token, output tokens/s, mean watts, output tokens a joule, seconds; arrays
    (machines, errors) over draws."""

    tpot_ms: np.ndarray
    rate: np.ndarray
    power_w: np.ndarray
    per_joule: np.ndarray
    duration_s: np.ndarray

    @classmethod
    def of(cls, figure: Callable[[str], np.ndarray]) -> _Burst:
        """Of the figures that are looked up by their names."""
        return cls(
            tpot_ms=figure("tpot_ms_mean"),
            rate=figure("output_tokens_per_s"),
            power_w=figure("power_w_mean"),
            per_joule=figure("tokens_per_joule"),
            duration_s=figure("duration_s"),
        )


@dataclass(frozen=True)
class OnDevice:
    """value: the figures by the names of `metrics.DEVICE`; limit: name of the heat path that throttles, NEVER or
    UNKNOWN; ends: (low, high) of their central 90 %, empty without draws."""

    value: Mapping[str, float]
    limit: str
    ends: Mapping[str, tuple[float, float]]


def on_device(
    deployment: Deployment,
    load: Load,
    metrics: RunMetrics,
    engine: AnalyticEngine,
    seed: int,
    joint: JointDraws | None = None,
    drawn: Engines = (),
) -> OnDevice | None:
    """What the device makes of a run that scored `metrics`; None where the chip is in none, or others work beside it.

    joint, drawn: the draws of its figures and the engines that they were served on, for intervals.
    """
    device = deployment.system.device
    if device is None or deployment.plan.chips > 1:
        return None
    idle_w = float(deployment.machine[0]["power_idle"])
    told = {item.path: item.quantity.value for item in provenances("", device)}
    burst = _Burst.of(lambda name: np.asarray(metrics[name]))
    answers, paths = float(metrics["requests"]), _paths(device, told, burst.power_w, idle_w)
    curve = held_curve(deployment, load, seed, engine) if _throttles(paths, burst.power_w) else UNHELD
    found = _figures(told, burst, paths, [curve], answers, idle_w)
    value = {name: float(figure) for name, figure in found.items()}
    if joint is None:
        return OnDevice(value, _limit(device, paths, burst.power_w), {})
    ranges = _drawn(deployment, load, joint, drawn, seed, answers)
    ends = {name: _ends(value[name], figures) for name, figures in ranges.items()}
    return OnDevice(value, _limit(device, paths, burst.power_w), ends)


@dataclass(frozen=True)
class _Paths:
    """Of the paths in their order: watts of the chip that each sustains, and seconds until its limit (paths, ...)."""

    most_w: np.ndarray
    seconds: np.ndarray

    @property
    def sustained_w(self) -> np.ndarray:
        return np.asarray(np.min(self.most_w, axis=0))


def _paths(device: Device, told: _Numbers, power_w: np.ndarray, idle_w: np.ndarray | float) -> _Paths:
    """The device's heat paths, as one of NaN where its cooling is unknown."""
    if device.thermal is None:
        return _Paths(np.full((1, *np.shape(power_w)), math.nan), np.full((1, *np.shape(power_w)), math.nan))
    most, seconds = [], []
    for path in device.thermal.paths:
        room = told[f"thermal.paths.{path.name}.limit"] - told["thermal.ambient"]
        resistance, capacity = (told[f"thermal.paths.{path.name}.{name}"] for name in ("resistance", "capacity"))
        besides = told.get("beside", math.nan) if path.heats == "device" else 0.0
        most.append(np.broadcast_to(sustainable_w(room, resistance) - besides, np.shape(power_w)))
        times = seconds_to_limit(power_w + besides, idle_w + besides, room, resistance, capacity)
        seconds.append(np.where(np.isnan(besides), math.nan, times))
    return _Paths(np.maximum(np.array(most), 0.0), np.array(seconds))


def _throttles(paths: _Paths, power_w: np.ndarray) -> bool:
    """Whether the run draws more than is sustained, in any draw."""
    return bool(np.any(paths.sustained_w < power_w))


def _limit(device: Device, paths: _Paths, power_w: np.ndarray) -> str:
    """What throttles the run."""
    if device.thermal is None or np.isnan(paths.sustained_w):
        return UNKNOWN
    return device.thermal.paths[int(np.argmin(paths.most_w))].name if _throttles(paths, power_w) else NEVER


def _figures(
    told: _Numbers, burst: _Burst, paths: _Paths, curves: Sequence[HeldCurve], answers: float, idle_w: Any
) -> _Figures:
    """The figures by name; curves: of each machine, whose draws are a row of the burst's figures."""
    power, sustained = burst.power_w, paths.sustained_w
    held = np.minimum(power, sustained)
    rate, speed = _held(curves, held / power)
    beside, duty = told.get("beside", math.nan), told.get("duty", math.nan)
    charge = told.get("battery.energy", math.nan) * told.get("battery.usable", math.nan)
    tokens = burst.rate * burst.duration_s / answers
    card = tokens / burst.per_joule
    whole = card + beside * burst.duration_s / answers
    lasting = np.where(np.isnan(held), power, held)
    everyday = np.where(mean_power_w(power, idle_w, duty) <= sustained, power, lasting)
    with np.errstate(divide="ignore"):
        return {
            "sustained_tpot_ms": burst.tpot_ms / speed,
            "sustained_tokens_per_s": burst.rate * rate,
            "sustained_w": held,
            "sustainable_w": sustained,
            "throttles_after_s": np.min(paths.seconds, axis=0),
            "card_j_per_answer": card,
            "device_j_per_answer": whole,
            "answers_per_charge": charge / whole,
            "battery_h_continuous": charge / (lasting + beside) / S_PER_HOUR,
            "battery_h_at_duty": charge / (mean_power_w(everyday, idle_w, duty) + beside) / S_PER_HOUR,
        }


def _held(curves: Sequence[HeldCurve], power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rate, speed) of each machine at fractions of its power, NaN where these are."""
    if np.ndim(power) == 0:
        return curves[0].at(power)
    rows = [curve.at(row) for curve, row in zip(curves, power, strict=True)]
    return np.array([rate for rate, _ in rows]), np.array([speed for _, speed in rows])


def _drawn(
    deployment: Deployment, load: Load, joint: JointDraws, drawn: Engines, seed: int, answers: float
) -> _Figures:
    """The figures over joint draws of the run and of the device's numbers."""
    device = deployment.system.device
    assert device is not None
    machines = [pair for pair in drawn if _serves(*pair, load, seed)]
    shape = joint.drawn["power_w_mean"].shape
    told = _drawn_numbers(device, len(machines), seed)
    idle_w = np.array([[float(each.machine[0]["power_idle"])] for each, _ in machines])
    burst = _Burst.of(lambda name: np.broadcast_to(joint.drawn[name], shape))
    paths = _paths(device, told, burst.power_w, idle_w)
    held = np.any(paths.sustained_w < burst.power_w, axis=1)
    curves = [
        held_curve(where, load, seed, engine) if is_held else UNHELD
        for (where, engine), is_held in zip(machines, held, strict=True)
    ]
    return _figures(told, burst, paths, curves, answers, idle_w)


def _serves(deployment: Deployment, engine: AnalyticEngine, load: Load, seed: int) -> bool:
    """Whether a drawn deployment holds the model, as those in joint draws do."""
    try:
        service_of(deployment, load.of_replica(deployment.plan.data_parallel), seed, engine)
    except DoesNotFit:
        return False
    return True


def _drawn_numbers(device: Device, count: int, seed: int) -> dict[str, np.ndarray | float]:
    """The numbers of a device by their paths: draws (count, 1) of those with ranges."""
    items = list(provenances("", device))
    ranged = [RangedNumber("", "", None, each.quantity, each.path, each.domain) for each in items]
    ranged = [number for number in ranged if is_ranged(number.quantity)]
    values = drawn_values(ranged, count, seed + _DEVICE)
    known: dict[str, np.ndarray | float] = {item.path: item.quantity.value for item in items}
    return known | {number.label: column[:, None] for number, column in zip(ranged, values, strict=True)}


def _ends(value: float, draws: np.ndarray) -> tuple[float, float]:
    """(low, high) of the central 90 % of the draws, widened to hold the value; NaN where unknown."""
    known = np.sort(draws[~np.isnan(draws)])
    if math.isnan(value) or not len(known):
        return math.nan, math.nan
    tail = 0.5 * (1.0 - RANGE_COVERAGE)
    return min(quantile_of(known, tail), value), max(quantile_of(known, 1.0 - tail), value)
