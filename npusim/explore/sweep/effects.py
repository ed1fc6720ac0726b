"""What moves an objective: first-order Sobol indices by random balance designs, and the main effect of each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from SALib.analyze import rbd_fast

from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.tasks import DEPLOYED, LOADED

_FEWEST = 64
_MOST = 20_000


def effects(spec: SweepSpec, axes: Sequence[str], points: pd.DataFrame) -> pd.DataFrame:
    """One row an objective, workload and axis.

    first_order, first_order_conf: part of the objective's variance that the axis explains alone, with its 95 %
    half-width (Tarantola, Gatelli, Mara 2006; Plischke 2010; SALib); NaN below 64 points. mean: of the objective over
    all points; at_low, at_high: where the axis is least and largest, the others as they come, from `main_effects`.
    """
    rows = []
    workload = [*DEPLOYED, *LOADED]
    for keys, group in points.groupby(workload, sort=False):
        for objective in spec.objectives:
            known = group[np.isfinite(group[objective])]
            if len(known) > _MOST:
                known = known.sample(_MOST, random_state=spec.seed)
            first, conf = _first_order(spec, axes, known, objective)
            lows, highs = main_effects(_scaled(spec, axes, known), known[objective].to_numpy(np.float64))
            for index, axis in enumerate(axes):
                rows.append(
                    dict(zip(workload, keys, strict=True))
                    | {"objective": objective, "axis": axis, "points": len(known)}
                    | {"first_order": first[index], "first_order_conf": conf[index]}
                    | {"mean": known[objective].mean(), "at_low": lows[index], "at_high": highs[index]}
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


def _scaled(spec: SweepSpec, axes: Sequence[str], points: pd.DataFrame) -> np.ndarray:
    """The axes between -1 (least value) and 1 (largest), on their own scale, float64 (points, axes)."""
    columns = []
    for axis in axes:
        values = points[axis].to_numpy(np.float64)
        values = np.log(values) if spec.vary[axis].scale == "log" else values
        span = np.ptp(values) if len(values) else 0.0
        columns.append(2.0 * (values - values.min()) / span - 1.0 if span > 0.0 else np.zeros(len(values)))
    return np.stack(columns, axis=1)


def main_effects(scaled: np.ndarray, figures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The figure at -1 and at 1 of each axis, float64 (axes,) each; NaN where there are too few points.

    scaled: (points, axes). Least squares of a sum of one parabola an axis, so that what other axes do at the same
    points is not counted for it (Montgomery 2017, Design and Analysis of Experiments, chapter 11); straight lines where
    points are too few for parabolas.
    """
    points, axes = scaled.shape
    if points < axes + 2:
        return np.full(axes, np.nan), np.full(axes, np.nan)
    curved = points >= 2 * (axes + 1)
    basis = np.concatenate([np.ones((points, 1)), scaled, *([scaled**2] if curved else [])], axis=1)
    found = np.linalg.lstsq(basis, figures, rcond=None)[0]
    slopes, bends = found[1 : axes + 1], found[axes + 1 :] if curved else np.zeros(axes)
    middle = figures.mean() - (slopes * scaled + bends * scaled**2).mean(axis=0)
    return middle - slopes + bends, middle + slopes + bends
