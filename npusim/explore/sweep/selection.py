"""Which points keep the limits, and which of them no other point beats in every objective."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from npusim.explore.formula import parse, resolved
from npusim.explore.sweep.spec import SERVED_PREFIX, Limit, SweepSpec
from npusim.metric_names import metric


def survivors(spec: SweepSpec, points: pd.DataFrame) -> np.ndarray:
    """Which points are worth serving: something fits, and estimates keep every limit within the slack. bool (rows,)."""
    slack = spec.serving.slack if spec.serving else 1.0
    kept = (points["users_resident"] > 0).to_numpy()
    for name, limit in spec.limits.items():
        judged = _estimate_of(name.removeprefix(SERVED_PREFIX)) if name.startswith(SERVED_PREFIX) else name
        if judged is not None:
            kept = kept & _within(points[judged].to_numpy(), limit, slack)
    unserved = (text for text in spec.constraints if not _names_served(text))
    return kept & keeps(unserved, points)


def _estimate_of(served: str) -> str | None:
    """The estimate by which a limit on a served metric is judged before serving; None where nothing is excluded."""
    row = metric(served)
    return row.follows.estimate if row is not None and row.follows is not None and row.follows.in_value else None


def feasible(spec: SweepSpec, points: pd.DataFrame) -> np.ndarray:
    """Which points have every objective and keep every limit, bool (rows,)."""
    kept = np.ones(len(points), np.bool_)
    for name in spec.objectives:
        kept &= np.isfinite(points[name].to_numpy(np.float64))
    for name, limit in spec.limits.items():
        kept = kept & _within(points[name].to_numpy(np.float64), limit, 1.0)
    return kept & keeps(spec.constraints, points)


def _names_served(text: str) -> bool:
    return any(name.startswith(SERVED_PREFIX) for name in parse(text).names)


def keeps(constraints: Iterable[str], points: pd.DataFrame) -> np.ndarray:
    """Which points keep every condition, bool (rows,)."""
    kept = np.ones(len(points), np.bool_)
    for text in constraints:
        formula = parse(text)
        paths = {name: resolved(name, dict.fromkeys(points.columns)) for name in formula.names}
        values = {name: points[path].to_numpy(np.float64) for name, path in paths.items() if path is not None}
        kept &= np.broadcast_to(formula.of(values), len(points))
    return kept


def _within(values: np.ndarray, limit: Limit, slack: float) -> np.ndarray:
    kept = np.isfinite(values)
    if limit.min is not None:
        kept = kept & (values >= limit.min / slack)
    if limit.max is not None:
        kept = kept & (values <= limit.max * slack)
    return kept


def pareto(costs: np.ndarray) -> np.ndarray:
    """Which rows of `costs` (points, objectives; less is better) no other row beats or equals in all and beats in one.

    bool (points,). Of equal rows all stay.
    """
    kept = np.zeros(len(costs), np.bool_)
    front, size = np.empty_like(costs), 0
    # A row can only be beaten by one that comes before it in lexicographic order.
    for index in np.lexsort(costs.T[::-1]):
        row, known = costs[index], front[:size]
        if not ((known <= row).all(axis=1) & (known < row).any(axis=1)).any():
            front[size] = row
            size += 1
            kept[index] = True
    return kept


def objective_costs(spec: SweepSpec, points: pd.DataFrame) -> np.ndarray:
    """The objectives as costs, float64 (rows, objectives): those to be maximised with their sign turned."""
    signs = [1.0 if goal == "min" else -1.0 for goal in spec.objectives.values()]
    return points[list(spec.objectives)].to_numpy(np.float64) * np.array(signs)
