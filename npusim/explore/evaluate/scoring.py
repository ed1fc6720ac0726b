"""The score of a proposal on drawn machines: weights of the targets that hold there, by a rule that is a file.

No call publishes how points follow from a prediction: the shipped rules are npusim's own, and a file replaces them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from npusim.errors import UserError
from npusim.explore.evaluate.claim import FilledText
from npusim.explore.evaluate.decision import Judged, Judgement
from npusim.explore.evaluate.draws import DRAWS
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.serving.joint import SPREAD

BATCHES = 2
"""Batches of DRAWS machines behind a score."""
WHOLE = 100.0
"""Score of a proposal all of whose targets hold."""
DEFAULT = "expected-weight"


class ScoringRule(Part):
    """How a proposal earns the weights of its targets."""

    name: FilledText
    """Name of the rule."""
    title: FilledText
    """What it does, in a sentence."""
    source: FilledText
    """Whose rule it is."""
    nothing_below: Annotated[float, Field(gt=0.0, le=1.0, strict=True)]
    """Part of a target below which a figure earns nothing, a number from 0 to 1, and from which on the weight rises in
    a line; at 1 a target earns its weight where it holds, and else nothing."""
    undecidable: Literal["leave out", "nothing"]
    """Weights of items that npusim cannot predict: left out of the score, or earning nothing."""


@dataclass(frozen=True)
class Item:
    """What earns a weight. weight: percent; judged: the claim held against the target of the last year, None where it
    is not decidable; lost: whether a bound forbids it all the same, so that its weight is not earned."""

    weight: float
    judged: Judged | None
    lost: bool = False


@dataclass(frozen=True)
class Score:
    """A proposal's score. value: its mean under the assumed readings; low, high: the 5th percentile under
    the least favourable readings, the 95th under the most favourable; decidable_percent: of the weights; assumed,
    worst, best: the score on every joint draw (BATCHES * DRAWS, SPREAD)."""

    value: float
    low: float
    high: float
    decidable_percent: float
    assumed: np.ndarray
    worst: np.ndarray
    best: np.ndarray


def load_rule(name_or_path: str) -> ScoringRule:
    """A shipped rule, or one in a file. Raises UserError."""
    folder = data_root("validation") / "proposals" / "rules"
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    path = shipped.get(name_or_path, Path(name_or_path))
    if not is_file(path):
        raise UserError("--rule", name_or_path, f"is no file and no shipped rule; known: {', '.join(shipped)}")
    return load_yaml(path, ScoringRule)


def score_of(items: Sequence[Item], rule: ScoringRule) -> Score | None:
    """The score of a proposal; None where nothing of it is decidable."""
    known = [item for item in items if item.judged is not None]
    decidable = sum(item.weight for item in items if item.judged is not None or item.lost)
    whole = decidable if rule.undecidable == "leave out" else sum(item.weight for item in items)
    if not decidable:
        return None

    def under(reading: Callable[[Judged], Judgement]) -> np.ndarray:
        parts = (item.weight * _credit(reading(item.judged), rule) for item in known if item.judged is not None)
        return np.asarray(WHOLE / whole * sum(parts, np.zeros((BATCHES * DRAWS, SPREAD))))

    assumed, worst, best = under(lambda each: each.reading), under(_worst), under(_best)
    means = (item.weight * _mean(item.judged.reading, rule) for item in known if item.judged is not None)
    value = WHOLE / whole * sum(means)
    low, high = float(np.quantile(worst, 0.05)), float(np.quantile(best, 0.95))
    share = WHOLE * decidable / sum(item.weight for item in items)
    return Score(value, min(low, value), max(high, value), share, assumed, worst, best)


def _readings(judged: Judged) -> tuple[Judgement, ...]:
    return (judged.reading, *judged.extremes)


def _worst(judged: Judged) -> Judgement:
    return min(_readings(judged), key=lambda each: each.probability)


def _best(judged: Judged) -> Judgement:
    return max(_readings(judged), key=lambda each: each.probability)


def _mean(judgement: Judgement, rule: ScoringRule) -> float:
    """The part of its weight that an item is expected to earn; of one that earns it where it holds, the probability,
    of which more draws are known."""
    return judgement.probability if rule.nothing_below == 1.0 else float(_credit(judgement, rule).mean())


def _credit(judgement: Judgement, rule: ScoringRule) -> np.ndarray:
    """Of each joint draw the part of its weight that an item earns, (BATCHES * DRAWS, SPREAD); none where a bound is
    broken, nothing fits, or a machine has no figure."""
    nothing = np.zeros((BATCHES * DRAWS, SPREAD))
    if judgement.prediction is None or judgement.broken:
        return nothing
    claim, drawn = judgement.claim, judgement.prediction.drawn
    figures = np.concatenate([drawn.spread(batch) for batch in range(BATCHES)])
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = figures / claim.value if claim.wants_more else claim.value / figures
    reached = np.nan_to_num(reached, nan=0.0)
    if rule.nothing_below == 1.0:
        return np.asarray(reached >= 1.0, float)
    return np.asarray(np.clip((reached - rule.nothing_below) / (1.0 - rule.nothing_below), 0.0, 1.0))
