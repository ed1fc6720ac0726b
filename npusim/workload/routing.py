"""How tokens choose experts: the chance of each expert to be chosen, and how many a step touches.

Popularities follow a truncated power law: the share of an expert is a quantile of the density x ** -exponent on
[1, span]; span 1 is a uniform choice. Experts are kept as GROUPS groups of equal size, the most popular first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity, Stretch, in_unit

GROUPS = 16
_POINTS_PER_GROUP = 64
"""Points at which the chances within a group are averaged."""
_PLACEMENTS = 256
"""Random placements of experts on ranks over which the busiest rank is averaged."""
_LOGARITHMIC = 1e-9
"""Distance of the exponent from 1 below which the quantile is that of 1 / x, the limit of the general formula."""
_SEED = 0


_Exponent = Annotated[Quantity, in_unit("", zero=True, most=10.0)]


class Popularity(Part):
    """How unevenly tokens choose experts: a truncated power law."""

    exponent: _Exponent
    """Exponent of the power law."""
    span: Stretch
    """Ratio of the share of the most to that of the least popular expert; 1 is a uniform choice."""


class Routing(Part):
    """The shipped assumption about the routing of models that do not bring their own."""

    name: str
    """Name under which it is looked up and shown."""
    popularity: Popularity
    """Popularities of the experts."""


@dataclass(frozen=True)
class Skew:
    """exponent and span of the power law of popularities; span 1 is a uniform choice. assumed: True for the assumption
    about models that do not bring their own."""

    exponent: float = 1.0
    span: float = 1.0
    assumed: bool = False


UNIFORM = Skew()


@remembered
def routing() -> Routing:
    """The shipped routing with its provenances."""
    return load_yaml(data_root("workloads") / "routing.yaml", Routing)


def shipped_skew() -> Skew:
    """The skew of a model that does not bring its own."""
    popularity = routing().popularity
    return Skew(popularity.exponent.value, popularity.span.value, assumed=True)


@cache
def choice_chances(experts: int, chosen: float, skew: Skew, ranks: int = 1) -> tuple[float, ...]:
    """Chance that a token chooses an expert of each group, float (GROUPS,), falling.

    Of all `experts` (their mean is chosen / experts), or of those of the busiest of `ranks` that hold equal numbers of
    them at random: a layer waits for it. A chance never exceeds 1: the excess goes to the other experts.
    """
    ranks_of = (np.arange(experts) + 0.5) / experts
    chances = _scaled(_quantile(1.0 - ranks_of, skew), chosen / experts)
    held = -(-experts // ranks)
    if held < experts:
        chances = _busiest(chances, ranks, held)
    points = np.floor((np.arange(GROUPS * _POINTS_PER_GROUP) + 0.5) / (GROUPS * _POINTS_PER_GROUP) * held)
    grouped = chances[points.astype(np.int64)].reshape(GROUPS, -1).mean(axis=1)
    return tuple(float(chance) for chance in grouped * (chances.mean() / grouped.mean()))


def _busiest(chances: np.ndarray, ranks: int, held: int) -> np.ndarray:
    """Mean chances, falling, of the rank with the largest sum when experts are placed at random: (held,)."""
    generator = np.random.default_rng(_SEED)
    padded = np.concatenate([chances, np.zeros(ranks * held - len(chances))])
    placements = generator.permuted(np.tile(padded, (_PLACEMENTS, 1)), axis=1).reshape(_PLACEMENTS, ranks, held)
    most = placements.sum(axis=2).argmax(axis=1)
    mean: np.ndarray = -np.sort(-placements[np.arange(_PLACEMENTS), most], axis=1).mean(axis=0)
    return mean


def _scaled(shares: np.ndarray, mean: float) -> np.ndarray:
    """`shares` times a factor, capped at 1, so that their mean is `mean`."""
    factor = mean / shares.mean()
    for _ in range(len(shares)):
        capped = factor * shares >= 1.0
        left = mean - capped.mean()
        if not capped.any() or not (~capped).any():
            break
        again = left / (shares[~capped].sum() / len(shares))
        if again <= factor:
            break
        factor = again
    return np.minimum(1.0, factor * shares)


def _quantile(u: np.ndarray, skew: Skew) -> np.ndarray:
    """Quantiles of the density x ** -exponent on [1, span]."""
    rest = 1.0 - skew.exponent
    if abs(rest) < _LOGARITHMIC:
        values: np.ndarray = skew.span**u
    else:
        values = (1.0 + (skew.span**rest - 1.0) * u) ** (1.0 / rest)
    return values
