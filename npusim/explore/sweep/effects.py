"""What moves an objective: first-order indices, and the main effect of each axis with a test whether it is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from SALib.analyze import rbd_fast
from scipy import stats

from npusim.explore.sweep.space import SpaceAxis
from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.tasks import DEPLOYED, LOADED

_FEWEST = 64
_MOST = 20_000
NOISE_LEVEL = 0.01
"""Chance with which an axis without any effect is taken for one that has some."""
_ROUNDING = 1e-12
"""Part of an objective's variance that is rounding."""


@dataclass(frozen=True)
class Choice:
    """An axis of its own, or a table whose row moves several numbers: what is chosen for a design.

    values: float64 (points,), on the axis's own scale between -1 and 1, or the index of its choice where `is_choice`;
    low, high: what the ends, or the choices by index, are called.
    """

    name: str
    values: np.ndarray
    is_choice: bool
    texts: tuple[str, ...]

    def columns(self, curved: bool) -> np.ndarray:
        """Its terms in a least-squares fit, float64 (points, terms)."""
        if self.is_choice:
            return (self.values[:, None] == np.arange(1, len(self.texts))).astype(np.float64)
        return np.stack([self.values, self.values**2] if curved else [self.values], axis=1)

    def ends(self, terms: np.ndarray) -> tuple[tuple[float, str], tuple[float, str]]:
        """What it adds at its ends, or at the least and the most of its choices, with their names."""
        if self.is_choice:
            added = np.concatenate([[0.0], terms])
            return tuple((float(added[at]), self.texts[at]) for at in (added.argmin(), added.argmax()))  # type: ignore[return-value]
        bend = float(terms[1]) if len(terms) > 1 else 0.0
        slope = float(terms[0])
        return (bend - slope, self.texts[0]), (bend + slope, self.texts[1])


@dataclass(frozen=True)
class Effect:
    """low, high: the objective where a factor is at its ends, the others as they come, with what the ends are called;
    noise: whether the points would look the same without it."""

    low: float
    high: float
    low_text: str
    high_text: str
    noise: bool


def effects(spec: SweepSpec, axes: Sequence[SpaceAxis], points: pd.DataFrame) -> pd.DataFrame:
    """One row an objective, workload and factor.

    first_order, first_order_conf: part of the objective's variance that it explains alone, with its 95 % half-width:
    by random balance designs for a number (Tarantola, Gatelli, Mara 2006; Plischke 2010; SALib), the correlation ratio
    for words and tables; NaN below 64 points. mean: of the objective over all points; at_low, at_high, low, high,
    noise: as of `main_effects`.
    """
    rows = []
    for keys, group in points.groupby([*DEPLOYED, *LOADED], sort=False):
        for objective in spec.objectives:
            known = group[np.isfinite(group[objective])]
            if len(known) > _MOST:
                known = known.sample(_MOST, random_state=spec.seed)
            figures = known[objective].to_numpy(np.float64)
            factors = factors_of(spec, axes, known)
            first, conf = _first_order(spec, factors, known, figures)
            for index, (factor, effect) in enumerate(zip(factors, main_effects(factors, figures), strict=True)):
                rows.append(
                    dict(zip([*DEPLOYED, *LOADED], keys, strict=True))
                    | {"objective": objective, "axis": factor.name, "points": len(known)}
                    | {"first_order": first[index], "first_order_conf": conf[index]}
                    | {"mean": known[objective].mean(), "at_low": effect.low, "at_high": effect.high}
                    | {"low": effect.low_text, "high": effect.high_text, "noise": effect.noise}
                )
    return pd.DataFrame(rows)


def factors_of(spec: SweepSpec, axes: Sequence[SpaceAxis], points: pd.DataFrame) -> list[Choice]:
    """The factors of a sweep, at these points."""
    found = []
    for path in spec.vary:
        axis = next(axis for axis in axes if axis.path == path)
        if axis.number is None:
            found.append(_choice(path, points[path].astype(str)))
        else:
            found.append(_number(path, points[path].to_numpy(np.float64), spec.vary[path].scale == "log"))
    for name, rows in spec.tables.items():
        texts = points[list(rows[0])].apply(lambda row: ", ".join(_text(value) for value in row), axis=1)
        found.append(_choice(name, texts))
    return found


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choice(name: str, texts: pd.Series) -> Choice:
    codes, found = pd.factorize(texts)
    return Choice(name, codes.astype(np.float64), True, tuple(str(text) for text in found))


def _number(name: str, values: np.ndarray, is_log: bool) -> Choice:
    if not len(values):
        return Choice(name, values, False, ("", ""))
    scaled = np.log(values) if is_log else values
    span = np.ptp(scaled)
    scaled = 2.0 * (scaled - scaled.min()) / span - 1.0 if span > 0.0 else np.zeros(len(values))
    return Choice(name, scaled, False, (f"{values.min():g}", f"{values.max():g}"))


def _first_order(
    spec: SweepSpec, factors: Sequence[Choice], points: pd.DataFrame, figures: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    first, conf = np.full(len(factors), np.nan), np.full(len(factors), np.nan)
    if len(points) < _FEWEST or np.ptp(figures) == 0.0:
        return first, conf
    numbers = [index for index, factor in enumerate(factors) if not factor.is_choice]
    for index, factor in enumerate(factors):
        if factor.is_choice:
            means = pd.Series(figures).groupby(factor.values).transform("mean")
            first[index] = float(means.var(ddof=0) / figures.var())
    if numbers:
        names = [factors[index].name for index in numbers]
        values = points[names].to_numpy(np.float64)
        ends = zip(values.min(0), values.max(0), strict=True)
        bounds = [[low, high if high > low else low + 1.0] for low, high in ends]
        problem = {"num_vars": len(names), "names": names, "bounds": bounds}
        found = rbd_fast.analyze(problem, values, figures, seed=spec.seed)
        first[numbers], conf[numbers] = found["S1"], found["S1_conf"]
    return first, conf


def main_effects(factors: Sequence[Choice], figures: np.ndarray) -> list[Effect]:
    """The main effect of each factor; NaN and noise where there are too few points.

    Least squares of a sum of one parabola a number and one step a choice, so that what other factors do at the same
    points is not counted (Montgomery 2017, Design and Analysis of Experiments, chapters 10 and 11); straight lines
    where points are too few for parabolas. A factor is noise where the fit without it is not worse than chance would
    have it: F test of nested models at NOISE_LEVEL.
    """
    curved = len(figures) >= 2 * _terms(factors, True)
    terms = [factor.columns(curved) for factor in factors]
    if len(figures) < 1 + sum(each.shape[1] for each in terms) + 1:
        return [Effect(np.nan, np.nan, "", "", True) for _ in factors]
    solution, left = _fit(terms, figures)
    free = len(figures) - np.linalg.matrix_rank(_design(terms, len(figures)))
    found, position = [], 1
    for index, (factor, columns) in enumerate(zip(factors, terms, strict=True)):
        own = solution[position : position + columns.shape[1]]
        position += columns.shape[1]
        (low, low_text), (high, high_text) = factor.ends(own)
        middle = float(figures.mean() - (columns @ own).mean())
        others = [each for other, each in enumerate(terms) if other != index]
        noise = _is_noise(_fit(others, figures)[1], left, columns.shape[1], int(free), figures)
        found.append(Effect(middle + low, middle + high, low_text, high_text, noise))
    return found


def _terms(factors: Sequence[Choice], curved: bool) -> int:
    return 1 + sum(factor.columns(curved).shape[1] for factor in factors)


def _design(terms: Sequence[np.ndarray], points: int) -> np.ndarray:
    return np.concatenate([np.ones((points, 1)), *terms], axis=1)


def _fit(terms: Sequence[np.ndarray], figures: np.ndarray) -> tuple[np.ndarray, float]:
    """Solution, and the sum of squares that it leaves."""
    basis = _design(terms, len(figures))
    solution = np.linalg.lstsq(basis, figures, rcond=None)[0]
    return solution, float(((figures - basis @ solution) ** 2).sum())


def _is_noise(without: float, left: float, terms: int, free: int, figures: np.ndarray) -> bool:
    gained, whole = without - left, float(((figures - figures.mean()) ** 2).sum())
    if terms == 0 or gained <= _ROUNDING * whole or whole == 0.0:
        return True
    if free <= 0 or left <= _ROUNDING * whole:
        return False
    return bool(stats.f.sf(gained / terms / (left / free), terms, free) > NOISE_LEVEL)
