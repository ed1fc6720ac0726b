"""A short window of serving under the event engine: every step of the requests in it is simulated.

Steps of one shape are simulated once. A decode step is simulated anew when a context has grown by 1/128, as the closed
forms do for figures of whole runs. A window has an end: simulating a step takes milliseconds, and a served table has
millions of steps.
"""

from __future__ import annotations

import numpy as np

from npusim.engine.analytic import COARSE, AnalyticEngine, DecodeRun, run_of_one
from npusim.engine.event.engine import Detail, EventEngine
from npusim.engine.stepcost import StepCost
from npusim.kernels.power import ENERGY_PARTS
from npusim.workload.step import Step

MOST_SIMULATED = 256
"""Steps of different shapes that a window may have."""


class WindowEnds(Exception):
    """More steps than a window may have. A SimPy process makes exceptions anew: it takes no arguments."""


class WindowEngine:
    """Costs the steps of a window for the serving simulator; host times and stalls are the analytic engine's."""

    def __init__(self, analytic: AnalyticEngine, arch: str, detail: Detail) -> None:
        self._analytic = analytic
        self._event = EventEngine(analytic, arch, detail)
        self._known: dict[tuple[bytes, ...], StepCost] = {}
        self.with_host, self.waiting = analytic.with_host, analytic.waiting
        self.stall_s, self.stalls, self.stalls_at_all = analytic.stall_s, analytic.stalls, analytic.stalls_at_all

    @property
    def simulated(self) -> int:
        """Steps that were simulated."""
        return len(self._known)

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step. Raises WindowEnds."""
        key = (step.query.tobytes(), step.context.tobytes(), step.decoding.tobytes())
        if key not in self._known:
            if len(self._known) == MOST_SIMULATED:
                raise WindowEnds
            self._known[key] = self._event.cost(step)
        return self._known[key]

    def prefill_chunk(self, query: int, context: int, limited: float = 1.0) -> StepCost:
        """A chunk of one prompt alone, host time included; under a power limit that has settled, whatever `limited`."""
        return self.with_host(self.cost(Step(np.array([query]), np.array([context]), np.zeros(1, np.bool_), 1)), 1)

    def mixed_run(self, step: Step, seed: int, counter: int, _ready_s: float = 0.0) -> DecodeRun:
        """A step of prompts and decoding sequences with its host time and stall, launched as it begins, as a run."""
        cost = self.with_host(self.cost(step), len(step.query))
        return run_of_one(self.waiting(cost, self.stall_s(seed, counter)))

    def decode_run(
        self, held: np.ndarray, slots: int, limit: int, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun:
        """Decode steps over sequences that hold `held` KV tokens each, until `limit` or until `horizon_s` passed."""
        live = len(held)
        times: list[float] = []
        joules: list[float] = []
        host_s: list[float] = []
        parts_j = np.zeros(len(ENERGY_PARTS))
        known, until, base = None, 0, held + 1
        elapsed = 0.0
        while len(times) < limit and elapsed < horizon_s:
            done = len(times)
            if known is None or done == until:
                alike = max(1, int(COARSE * int((base + done).min())))
                until = min(limit, done + alike)
                context = base + done + (until - done - 1) // 2
                step = Step(np.ones(live, np.int64), context, np.ones(live, np.bool_), slots)
                known = self.with_host(self.cost(step), live)
            whole = self.waiting(known, self.stall_s(seed, counter + done))
            times.append(whole.time_s)
            joules.append(whole.energy_j)
            host_s.append(whole.host_s)
            parts_j += whole.parts_in_order
            elapsed += whole.time_s
        is_held = known is not None and known.held
        return DecodeRun(np.array(times), np.array(joules), np.array(host_s), is_held, parts_j)
