"""Steps that verify drafts: the model over all drafted tokens, then what drafts the next ones, and what software adds.

A step of a sequence computes 1 + k tokens of the model in one pass, in which weights are read once (Leviathan, Kalman,
Matias 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318). Rejected tokens are computed, and their keys and
values written, all the same. A model or head that drafts runs k passes one after the other: the first over all tokens
of the verification, since its own keys and values come from what was accepted, the others over one token each.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from npusim.engine.analytic import AnalyticEngine, DecodeRun, run_of_one
from npusim.engine.host import host_time_of
from npusim.engine.stepcost import StepCost, combine
from npusim.hardware.power import waiting_w
from npusim.kernels.power import ENERGY_PARTS
from npusim.mapping.deployment import Deployment
from npusim.workload.step import Step, decode


def analytic_engine(deployment: Deployment, max_sequences: int | None = None, growth: float = 0.0) -> AnalyticEngine:
    """The analytic engine of a deployment, of one that drafts too; arguments as those of AnalyticEngine."""
    kind = AnalyticEngine if deployment.drafting is None else SpeculativeEngine
    return kind(deployment, max_sequences, growth)


class SpeculativeEngine(AnalyticEngine):
    """Costs steps of a deployment that drafts."""

    def __init__(self, deployment: Deployment, max_sequences: int | None = None, growth: float = 0.0) -> None:
        assert deployment.drafting is not None
        record = deployment.runtime_record.copy()
        if deployment.drafting.waits:
            record["host_queue_limit"] = 1.0
        super().__init__(replace(deployment, runtime_record=record), max_sequences, growth)
        self.deployment, self.drafting = deployment, deployment.drafting
        drafter = deployment.drafter
        self.drafter = None if drafter is None else AnalyticEngine(drafter, len(self._work.query))

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step, the drafts for the next one included."""
        turn_s = self.drafting.turn_s
        if self.drafting.waits:
            verified = self._at_rest(super().cost(step), turn_s)
        else:
            # The pieces of a step share it, and the power limiter sees it as a part of them.
            own = self.deployment.runtime_record["paths_step_launch"]
            self._runtimes["paths_step_launch"] = own + turn_s / len(self.pieces(step))
            verified = super().cost(step)
        return reduce(combine, self.passes(step), verified)

    def passes(self, step: Step) -> list[StepCost]:
        """What drafting after `step` costs, pass by pass."""
        if self.drafter is None:
            return []
        first = self._pass(self.drafter.cost(step))
        if self.drafting.passes == 1:
            return [first]
        # The passes that follow grow by a token each: that in the middle is their mean.
        further = decode(step.context + self.drafting.passes // 2, max(step.slots, len(step.query)))
        return [first, *[self._pass(self.drafter.cost(further))] * (self.drafting.passes - 1)]

    def host_s(self, device_s: float, sequences: int) -> float:
        """Host seconds that a step does not hide; logits of every drafted token go to a host that samples."""
        logits = sequences * (1 + self.drafting.tokens) if self.runtime["host_sampling"] else sequences
        return host_time_of(device_s, logits, self.logit_bytes, self._machines, self._runtimes)

    def mixed_run(self, step: Step, seed: int, counter: int, _ready_s: float = 0.0) -> DecodeRun:
        """A step of prompts and decoding sequences with its host time and stall, as a run of one.

        It is launched as it begins: not before the host knows what was accepted of the drafts before it.
        """
        cost = self.with_host(self.cost(step), len(step.query))
        return run_of_one(self.waiting(cost, self.stall_s(seed, counter)))

    def drafted_run(
        self, held: np.ndarray, slots: int, tokens: np.ndarray, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun:
        """Steps over sequences that hold `held` KV tokens each and put out tokens[i] (steps, sequences) in step i,
        until all are done or `horizon_s` has passed."""
        self._require_room(len(held))
        costs: list[StepCost] = []
        elapsed, known, costed = 0.0, None, held
        for index, out in enumerate(tokens):
            if elapsed >= horizon_s:
                break
            if known is None or (held - costed > self._growth * costed).any():
                ahead = (0.5 * self._growth * held).astype(np.int64)
                step = self.deployment.decoding(held + 1 + ahead, slots)
                known, costed = self.with_host(self.cost(step), len(held)), held
            costs.append(self.waiting(known, self.stall_s(seed, counter + index)))
            elapsed += costs[-1].time_s
            held = held + out
        names = ("time_s", "energy_j", "host_s")
        times, joules, host_s = (np.array([getattr(cost, name) for cost in costs]) for name in names)
        return DecodeRun(times, joules, host_s, costs[-1].held, sum_of_parts(costs))

    def _at_rest(self, cost: StepCost, seconds: float) -> StepCost:
        """A step and `seconds` in which nothing is launched: the chip draws its idle power alone."""
        idle_j = seconds * float(self.machine["power_idle"]) * self.plan.chips
        nothing = dict.fromkeys(cost.shares_s, 0.0) | {"overhead": seconds}
        parts_j = dict.fromkeys(ENERGY_PARTS, 0.0) | {"idle": idle_j}
        return combine(cost, StepCost(seconds, idle_j, nothing, 0.0, 0.0, 1.0, parts_j)) if seconds > 0.0 else cost

    def _pass(self, cost: StepCost) -> StepCost:
        """A pass with the wait for the host that launches it, and for the chips that have no part in it."""
        assert self.drafter is not None
        whole = self.waiting(cost, self.drafting.pass_time.value - cost.time_s)
        others = self.plan.chips - self.drafter.plan.chips
        if others == 0:
            return whole
        idle_j = others * cost.time_s * float(self.machine["power_idle"])
        loaded_j = others * cost.time_s * float(waiting_w(self.machine))
        parts_j = {
            name: joules + {"idle": idle_j, "loaded": loaded_j}.get(name, 0.0) for name, joules in whole.parts_j.items()
        }
        return replace(whole, energy_j=whole.energy_j + idle_j + loaded_j, parts_j=parts_j)


def sum_of_parts(costs: list[StepCost]) -> np.ndarray:
    """Joules by ENERGY_PARTS of several steps, in their order."""
    return np.sum([cost.parts_in_order for cost in costs], axis=0) if costs else np.zeros(len(ENERGY_PARTS))
