"""What moves an objective: first-order Sobol indices by random balance designs, and the swing along each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from SALib.analyze import rbd_fast

from npusim.studies.sweep.spec import SweepSpec
from npusim.studies.sweep.tasks import DEPLOYED, LOADED

_FEWEST = 64
_TENTH = 0.1
_MOST = 20_000


def effects(spec: SweepSpec, axes: Sequence[str], points: pd.DataFrame) -> pd.DataFrame:
    """One row an objective, workload and axis.

    first_order, first_order_conf: part of the objective's variance that the axis explains alone, with its 95 %
    half-width (Tarantola, Gatelli, Mara 2006; Plischke 2010; SALib); NaN below 64 points. mean, at_low, at_high: of the
    objective over all points and over the tenth of points with the least and the largest value of the axis.
    """
    rows = []
    workload = [*DEPLOYED, *LOADED]
    for keys, group in points.groupby(workload, sort=False):
        for objective in spec.objectives:
            known = group[np.isfinite(group[objective])]
            if len(known) > _MOST:
                known = known.sample(_MOST, random_state=spec.seed)
            first, conf = _first_order(spec, axes, known, objective)
            for place, axis in enumerate(axes):
                low, high = _swing(known[axis].to_numpy(), known[objective].to_numpy())
                rows.append(
                    dict(zip(workload, keys, strict=True))
                    | {"objective": objective, "axis": axis, "points": len(known)}
                    | {"first_order": first[place], "first_order_conf": conf[place]}
                    | {"mean": known[objective].mean(), "at_low": low, "at_high": high}
                )
    return pd.DataFrame(rows)


def _first_order(
    spec: SweepSpec, axes: Sequence[str], points: pd.DataFrame, objective: str
) -> tuple[np.ndarray, np.ndarray]:
    unknown = np.full(len(axes), np.nan)
    figures = points[objective].to_numpy(np.float64)
    if len(points) < _FEWEST or np.ptp(figures) == 0.0:
        return unknown, unknown
    values = points[list(axes)].to_numpy(np.float64)
    bounds = [[low, high if high > low else low + 1.0] for low, high in zip(values.min(0), values.max(0), strict=True)]
    problem = {"num_vars": len(axes), "names": list(axes), "bounds": bounds}
    found = rbd_fast.analyze(problem, values, figures, seed=spec.seed)
    return np.asarray(found["S1"]), np.asarray(found["S1_conf"])


def _swing(values: np.ndarray, figures: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, (_TENTH, 1.0 - _TENTH))
    return float(figures[values <= low].mean()), float(figures[values >= high].mean())
