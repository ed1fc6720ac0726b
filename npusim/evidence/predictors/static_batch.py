"""A static batch: requests that start together and end one after the other; the next batch waits for the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from npusim.engine.speculation import analytic_engine
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import measured_deployment
from npusim.evidence.predictors.placed import PlacedPredictor
from npusim.metric_row import Shown
from npusim.serving.load import Load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.units import MS_PER_S
from npusim.workload.arrivals import Closed
from npusim.workload.prompts import prompts_that_share

BATCH_MS = "batch_ms"
"""Time of the whole batch, in ms."""
_STEEPEST = 200.0


@dataclass(frozen=True)
class StaticBatchPredictor(PlacedPredictor):
    """`users` prompts of `isl` tokens, whose answers have `osl` tokens in the mean and the longest `longest`."""

    isl: int
    osl: float
    longest: int
    users: int

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """Figures by the names of METRICS, and BATCH_MS. Raises UserError."""
        deployment = numbers.apply(measured_deployment(self.placement))
        tokens = np.column_stack([np.full(self.users, self.isl), answers(self.osl, self.longest, self.users)])
        prompts = prompts_that_share(tokens[:, 0], 0)
        load = Load(self.isl, max(1, round(self.osl)), Closed(self.users), prompts, tokens)
        run = simulate(deployment, load, seed, analytic_engine(deployment, growth=numbers.growth))
        if run.record.refused:
            raise UserError("the simulated server", "", f"refuses requests: {run.record.refused[0].refusal}")
        figures = dict(measure(run, Shown.RUN).figures)
        return {**figures, BATCH_MS: figures["duration_s"] * MS_PER_S}


def answers(mean: float, longest: int, count: int) -> np.ndarray:
    """Lengths of `count` answers, int64 rising to `longest`, whose mean is about `mean`.

    longest x (i / count)^e for i = 1 ... count: of what lies between, only the mean and the end are known.
    """
    ranks = np.arange(1, count + 1) / count
    wanted = min(1.0, mean / longest)
    if wanted >= 1.0 or count == 1:
        return np.full(count, longest, np.int64)
    least = float(np.mean(ranks**_STEEPEST))
    exponent = _STEEPEST if wanted <= least else brentq(lambda e: float(np.mean(ranks**e)) - wanted, 0.0, _STEEPEST)
    return np.maximum(1, np.rint(longest * ranks**exponent)).astype(np.int64)
