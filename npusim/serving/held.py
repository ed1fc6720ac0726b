"""What a run comes to where the mean power of its chip is held below what it would draw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.power import loaded_w, lowest_clocks
from npusim.mapping.deployment import Deployment
from npusim.serving.load import Load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate

HOLDS = (0.04, 0.12, 0.25, 0.45, 0.7)
"""Power limits at which a run is simulated: parts of what work may draw, from what the lowest clock alone draws up to
the most that a step draws. Speed is close to linear in power between them: a limiter trades one for the other."""


@dataclass(frozen=True)
class HeldCurve:
    """power: mean power as a fraction of that of the run which nothing holds, from a chip at rest to 1, (points,).

    rate, speed: output tokens/s, and 1 / time per output token, as fractions of that run's, (points,).
    """

    power: np.ndarray
    rate: np.ndarray
    speed: np.ndarray

    def at(self, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rate, speed) at fractions of the power: 1 from 1 on, 0 where it is no more than that of a chip at rest, NaN
        where it is unknown.

        Below the lowest limit the chip works for a part of the time and rests for the other.
        """
        rate, speed = (np.interp(power, self.power, known) for known in (self.rate, self.speed))
        unknown = np.isnan(power)
        return np.where(unknown, np.nan, rate), np.where(unknown, np.nan, speed)


UNHELD = HeldCurve(np.ones(1), np.ones(1), np.ones(1))
"""Of a run that nothing holds."""


def held_curve(deployment: Deployment, load: Load, seed: int, engine: AnalyticEngine) -> HeldCurve:
    """The curve of a run of one chip, each point served under that chip's own power limiter. Raises DoesNotFit."""
    free = measure(simulate(deployment, load, seed, engine))
    idle_w, free_w = float(deployment.machine[0]["power_idle"]), free["power_w_mean"]
    static_w = idle_w + float(loaded_w(deployment.machine, lowest_clocks(deployment.machine))[0])
    points = [(idle_w / free_w, 0.0, 0.0), (1.0, 1.0, 1.0)]
    for part in HOLDS:
        held = _capped(deployment, static_w + part * max(0.0, free["power_w_p99"] - static_w))
        run = measure(simulate(held, load, seed, engine.like(held)))
        points.append(
            (
                run["power_w_mean"] / free_w,
                run["output_tokens_per_s"] / free["output_tokens_per_s"],
                free["tpot_ms_mean"] / run["tpot_ms_mean"],
            )
        )
    power, rate, speed = np.array(sorted(points)).T
    return HeldCurve(power, np.maximum.accumulate(rate), np.maximum.accumulate(speed))


def _capped(deployment: Deployment, watts: float) -> Deployment:
    """The deployment whose chip keeps to that power, or to its own limit where this is lower."""
    machine = deployment.machine.copy()
    own = np.where(machine["power_cap_enforced"], machine["power_cap"], np.inf)
    machine["power_cap"], machine["power_cap_enforced"] = np.minimum(own, watts), True
    return replace(deployment, machine=machine)
