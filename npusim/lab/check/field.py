"""All runs that may have been, of rows that differ in their figures alone: what each member predicts in closed form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npusim.bounds.reading import Reading
from npusim.conditions.conditions import Member
from npusim.evidence.predictors.run import RunPredictor
from npusim.lab.check.placing import Footing


@dataclass(frozen=True)
class Field:
    """predictors: of runs that can differ; members: one for each; names: figures; ends: logarithms of closed forms with
    nothing cached and with all prompts, (predictors, figures, 2)."""

    predictors: tuple[RunPredictor, ...]
    members: tuple[Member, ...]
    names: tuple[str, ...]
    ends: np.ndarray

    @cached_property
    def _footings(self) -> tuple[Footing, ...]:
        return tuple(Footing.of(member) for member in self.members)

    def gaps(self, measured: Mapping[str, Reading]) -> np.ndarray:
        """Logarithms of measured over closed form, 0 between its two ends and NaN of figures without a value,
        (predictors, figures)."""
        known = [measured.get(name) for name in self.names]
        logs = np.log([figure.value if figure is not None and figure.value > 0.0 else np.nan for figure in known])
        far = logs[:, None] - self.ends
        least, most = far.min(axis=2), far.max(axis=2)
        return np.where(least > 0.0, least, np.minimum(0.0, most))

    def inside(self, measured: Mapping[str, Reading], rooms: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """Whether each run might hold the figures; rooms: how far they may lie below and above its closed form."""
        gaps = np.nan_to_num(self.gaps(measured))
        ends = np.array([rooms.get(name, (np.inf, np.inf)) for name in self.names])
        return ((gaps >= -ends[:, 0]) & (gaps <= ends[:, 1])).all(axis=1)

    def nearest(
        self,
        measured: Mapping[str, Reading],
        allowed: Collection[Footing],
        rooms: Mapping[str, tuple[float, float]],
        known: RunPredictor | None,
    ) -> list[tuple[RunPredictor, Member]]:
        """Predictors on allowed footings with their members, the nearest to the figures first; of those that cannot
        hold them none, but for the nearest where there are no others, and `known`."""
        inside, far = self.inside(measured, rooms), np.abs(np.nan_to_num(self.gaps(measured))).max(axis=1, initial=0.0)
        order = np.argsort(far, kind="stable").tolist()
        standing = [place for place in order if self._footings[place] in allowed]
        near = [place for place in standing if inside[place] or self.predictors[place] == known]
        return [(self.predictors[place], self.members[place]) for place in near or standing[:1]]
