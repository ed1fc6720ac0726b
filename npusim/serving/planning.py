"""`--plan auto`: every plan that has room is estimated, those that none beats are served, the best of them is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npusim.engine.elasticity import elasticities
from npusim.engine.speculation import analytic_engine
from npusim.errors import UserError
from npusim.mapping.deployment import Deployment
from npusim.mapping.head_split import is_certain
from npusim.mapping.plan import Plan, all_plans
from npusim.serving.layout import for_load
from npusim.serving.load import Load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.units import MS_PER_S
from npusim.workload.step import Step, prefill

_SERVED = 6
"""Most plans of a front that are served."""


@dataclass(frozen=True)
class PlanScore:
    """A plan with what it is judged by; served: by a simulated run, else by a closed form.

    bound: of a decode step, "" where it was not looked for.
    """

    plan: Plan
    ttft_ms: float
    tpot_ms: float
    output_tokens_per_s: float
    tokens_per_joule: float
    bound: str
    served: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "plan": self.plan.as_dict()}


OBJECTIVES: dict[str, Callable[[PlanScore], float]] = {
    "throughput": lambda score: -score.output_tokens_per_s,
    "tpot": lambda score: score.tpot_ms,
    "efficiency": lambda score: -score.tokens_per_joule,
}
"""What is least in the best plan."""


@dataclass(frozen=True)
class Wish:
    """objective: one of OBJECTIVES; limits in ms, None for none; cards: most of them, None for the architecture's."""

    objective: str = "throughput"
    ttft_limit_ms: float | None = None
    tpot_limit_ms: float | None = None
    cards: int | None = None

    def allows(self, score: PlanScore) -> bool:
        """Whether a plan keeps the limits."""
        return (self.ttft_limit_ms is None or score.ttft_ms <= self.ttft_limit_ms) and (
            self.tpot_limit_ms is None or score.tpot_ms <= self.tpot_limit_ms
        )


@dataclass(frozen=True)
class Found:
    """best: the deployment under the best plan; front: plans that no other beats in time, rate and energy at once;
    considered, without_room: how many plans there were, and how many of them cannot hold a request."""

    best: Deployment
    front: tuple[PlanScore, ...]
    considered: int
    without_room: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "considered": self.considered,
            "without_room": self.without_room,
            "front": [score.as_dict() for score in self.front],
        }


def best_for_run(base: Deployment, load: Load, users: int, wish: Wish, seed: int) -> Found:
    """The best plan for serving `load` to `users`; plans of the front are served before one is taken.

    Raises DoesNotFit where no plan has room for a request, UserError where none keeps the limits.
    """
    fitting, considered = _with_room(base, load.longest, wish)
    estimates = [estimate_plan(where, load.isl, load.osl, users) for where in fitting]
    candidates = sorted(front(estimates), key=OBJECTIVES[wish.objective])
    candidates = [score for score in candidates if wish.allows(score)][:_SERVED] or candidates[:1]
    by_plan = {where.plan: where for where in fitting}
    bound = [_bound(by_plan[score.plan], score, load.isl, load.osl, users) for score in candidates]
    served = [_served(by_plan[score.plan], score, load, seed) for score in bound]
    best = _best(served, wish)
    return Found(by_plan[best.plan], tuple(served), considered, considered - len(fitting))


def best_for_step(base: Deployment, phase: str, batch: int, query: int, context: int, wish: Wish) -> Found:
    """The best plan for one step. Raises DoesNotFit where no plan has room, UserError where none keeps the limits."""
    fitting, considered = _with_room(base, context, wish)
    scores = [_step_score(where, phase, batch, query, context) for where in fitting]
    kept = sorted(front(scores), key=OBJECTIVES[wish.objective])
    best = _best(kept, wish)
    chosen = next(where for where in fitting if where.plan == best.plan)
    return Found(chosen, tuple(kept), considered, considered - len(fitting))


def _with_room(base: Deployment, tokens: int, wish: Wish) -> tuple[list[Deployment], int]:
    cards = wish.cards or base.system.max_cards
    known = all_plans(base.system, base.model, min(cards, base.system.max_cards))
    plans = [plan for plan in known if is_certain(base.runtime.heads, base.model, plan)]
    fitting = [plan for plan in plans if base.fitting.holds(plan, tokens)]
    if not fitting:
        largest = max(plans, key=lambda plan: (plan.data_parallel == 1, plan.chips, plan.tensor_parallel))
        raise base.fitting.does_not_fit(largest, tokens)
    return [base.under(plan) for plan in fitting], len(plans)


def _best(scores: list[PlanScore], wish: Wish) -> PlanScore:
    allowed = [score for score in scores if wish.allows(score)]
    if not allowed:
        ttft, tpot = min(score.ttft_ms for score in scores), min(score.tpot_ms for score in scores)
        raise UserError(
            "--plan", "auto", f"no plan keeps the limits: the least TTFT is {ttft:.4g} ms, the least TPOT {tpot:.4g} ms"
        )
    return min(allowed, key=OBJECTIVES[wish.objective])


def front(scores: list[PlanScore]) -> list[PlanScore]:
    """Scores that no other equals or beats in time per token, rate and energy, of equal ones the fewest cards."""
    ordered = sorted(scores, key=lambda score: (score.plan.cards, score.plan.pipeline_parallel))
    figures = np.array([[score.tpot_ms, -score.output_tokens_per_s, -score.tokens_per_joule] for score in ordered])
    kept = []
    for index, own in enumerate(figures):
        no_worse = (figures <= own).all(axis=1)
        better = no_worse & (figures < own).any(axis=1)
        alike_before = no_worse[:index].any()
        if not better.any() and not alike_before:
            kept.append(ordered[index])
    return kept


def estimate_plan(where: Deployment, isl: int, osl: int, users: int) -> PlanScore:
    """The plan of a deployment, judged by a closed form of serving `users`; its bound is not looked for."""
    where, loop = best_loop(where, isl, osl, users)
    return PlanScore(
        plan=where.plan,
        ttft_ms=loop.ttft_ms,
        tpot_ms=loop.tpot_ms,
        output_tokens_per_s=loop.output_tokens_per_s,
        tokens_per_joule=loop.tokens_per_joule,
        bound="",
    )


def _bound(where: Deployment, score: PlanScore, isl: int, osl: int, users: int) -> PlanScore:
    """The score of a plan with what bounds a decode step: of those that are shown alone, since it takes longer."""
    where, loop = best_loop(where, isl, osl, users)
    engine = analytic_engine(where, max_sequences=loop.batch)
    return replace(score, bound=elasticities(where, engine, where.decoding([isl + osl // 2] * loop.batch)).bound)


@dataclass(frozen=True)
class ClosedLoop:
    """Figures of a closed loop by closed form; batch: sequences of a decode step of one replica."""

    batch: int
    ttft_ms: float
    tpot_ms: float
    output_tokens_per_s: float
    tokens_per_joule: float


def best_loop(where: Deployment, isl: int, osl: int, users: int, cached: bool = False) -> tuple[Deployment, ClosedLoop]:
    """The deployment in its fastest layout, and a closed loop of `users` on it, whose prompts are there or not."""
    where = for_load(where, isl, osl, -(-users // where.plan.data_parallel))
    return where, closed_loop(where, isl, osl, users, cached)


def closed_loop(where: Deployment, isl: int, osl: int, users: int, cached: bool = False) -> ClosedLoop:
    """A closed loop of `users`: decode steps over as many as memory and runtime hold, and their prompts in between.

    A user's turn lasts its decode steps, osl / (tokens a step), and the prompts of all others in service:
    rate = n osl / (steps t + n p).
    cached: prompts are found in the prefix cache and cost nothing.
    """
    plan, record = where.plan, where.runtime_record[0]
    room = where.fitting.footprint(plan)
    held = room.available_bytes * float(record["kv_admission_watermark"]) // room.kv_bytes(isl + osl)
    own = -(-users // plan.data_parallel)
    batch = int(max(1, min(own, held, float(record["limits_max_sequences"]))))
    engine = analytic_engine(where, max_sequences=batch)
    token = engine.with_host(engine.cost(where.decoding([isl + osl // 2] * batch)), batch)
    prompt = engine.with_host(engine.cost(prefill(1, isl)), 1)
    prompt_s, prompt_j = (0.0, 0.0) if cached else (prompt.time_s, prompt.energy_j)
    steps = osl / where.tokens_per_step
    turn_s = steps * token.time_s + batch * prompt_s
    joules = steps * token.energy_j + batch * prompt_j
    waiting_s = (own - batch) / batch * turn_s
    return ClosedLoop(
        batch=batch,
        ttft_ms=(waiting_s + prompt_s + token.time_s) * MS_PER_S,
        tpot_ms=(token.time_s / where.tokens_per_step + (batch - 1) * prompt_s / osl) * MS_PER_S,
        output_tokens_per_s=plan.data_parallel * batch * osl / turn_s,
        tokens_per_joule=plan.data_parallel * batch * osl / joules,
    )


def _served(where: Deployment, score: PlanScore, load: Load, seed: int) -> PlanScore:
    metrics = measure(simulate(where, load, seed))
    if not metrics["requests"]:
        return PlanScore(score.plan, np.inf, np.inf, 0.0, 0.0, score.bound, served=True)
    tpot_ms = metrics["tpot_ms_mean"]
    return replace(
        score,
        ttft_ms=metrics["ttft_ms_mean"],
        tpot_ms=tpot_ms if np.isfinite(tpot_ms) else score.tpot_ms,
        output_tokens_per_s=metrics["output_tokens_per_s"],
        tokens_per_joule=metrics["tokens_per_joule"],
        served=True,
    )


def _step_score(where: Deployment, phase: str, batch: int, query: int, context: int) -> PlanScore:
    own = -(-batch // where.plan.data_parallel)
    decodes = phase == "decode"
    step: Step = where.decoding([context - where.drafted] * own) if decodes else prefill(own, query, context)
    engine = analytic_engine(where, max_sequences=own)
    cost = engine.cost(step)
    each = where.tokens_per_step if decodes else query
    tokens = where.plan.data_parallel * own * each
    return PlanScore(
        plan=where.plan,
        ttft_ms=cost.time_s * MS_PER_S,
        tpot_ms=cost.time_s / (each if decodes else 1.0) * MS_PER_S,
        output_tokens_per_s=tokens / cost.time_s,
        tokens_per_joule=tokens / cost.energy_j,
        bound=elasticities(where, engine, step).bound,
    )
