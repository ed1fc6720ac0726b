"""Axes that move no figure of their sweep: told by name before the work, with what their numbers are for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from npusim.explore.sweep.space import SpaceAxis
from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.tasks import Base, base_of, served_figures, variants
from npusim.hardware.field_docs import sentence_at

_MOST_VALUES = 8


def unmoved_axes(spec: SweepSpec, location: str) -> dict[str, str]:
    """Each axis that moves no figure while the others stay at their low ends, and what is to say. Raises UserError."""
    bases = [base_of(spec, variant, location) for variant in variants(spec)]
    return {
        f"vary.{axis.path}": f"moves no figure of this sweep by itself; {_meaning(bases[0], axis)}"
        for column, axis in enumerate(bases[0].axes)
        if not any(_moves(spec, base, column) for base in bases)
    }


def _moves(spec: SweepSpec, base: Base, column: int) -> bool:
    ends = _ends(base.axes, column)
    if any(len(np.unique(figures)) > 1 for figures in _estimates(spec, base, ends)):
        return True
    return spec.serving is not None and len({_served(spec, base, values) for values in ends}) > 1


def _ends(axes: list[SpaceAxis], column: int) -> np.ndarray:
    """Designs (designs, axes) in which that axis takes its values, or its ends, and all others their low ends."""
    own = axes[column]
    chosen = np.array([own.low, own.high]) if own.values is None else np.unique(own.values)[:_MOST_VALUES]
    values = np.tile([axis.low for axis in axes], (len(chosen), 1))
    values[:, column] = chosen
    return values


def _estimates(spec: SweepSpec, base: Base, values: np.ndarray) -> Iterator[np.ndarray]:
    """Each estimated figure of the designs under each load."""
    for load in spec.workloads:
        for users in load.users:
            yield from base.estimated(values, load.isl, load.osl, users).to_numpy(float).T


def _served(spec: SweepSpec, base: Base, values: np.ndarray) -> str:
    """The served figures of one design under the smallest load, as text (NaN is NaN)."""
    load = min(spec.workloads, key=lambda each: (each.isl + each.osl) * min(each.users))
    point: dict[Hashable, int] = {"isl": load.isl, "osl": load.osl, "users": min(load.users)}
    return str(served_figures(spec, base.records.deployment(values), point))


def _meaning(base: Base, axis: SpaceAxis) -> str:
    if axis.number.is_shared:
        return "the models of this sweep do not read it."
    described = base.deployment.runtime if axis.of_runtime else base.deployment.system
    return sentence_at(described, axis.number.label)
