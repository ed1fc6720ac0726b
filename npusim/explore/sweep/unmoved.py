"""Axes that move no figure of their sweep: told by name before the work, with what their numbers are for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from npusim.errors import UserError
from npusim.explore.sweep.space import SpaceAxis
from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.tasks import Base, possible_bases, served_figures
from npusim.hardware.field_docs import sentence_at

_MOST_VALUES = 8


def unmoved_axes(spec: SweepSpec, location: str) -> dict[str, str]:
    """Each axis that moves no figure while the others stay at their low ends, and what is to say. Raises UserError."""
    spec = spec.model_copy(update={"bounds": False})
    bases = possible_bases(spec, location)[0]
    return {
        f"vary.{axis.path}": f"moves no figure of this sweep by itself; {_meaning(bases[0], axis)}"
        for column, axis in enumerate(bases[0].axes)
        if axis.formula is None and not _is_fixed(axis) and not any(_moves(spec, base, column) for base in bases)
    }


def _is_fixed(axis: SpaceAxis) -> bool:
    """Whether an axis has one value alone, which is told for all designs."""
    return axis.values is not None and len(axis.values) == 1


def _moves(spec: SweepSpec, base: Base, column: int) -> bool:
    ends = _ends(base, column)
    if any(len(set(map(str, figures))) > 1 for figures in _estimates(spec, base, ends)):
        return True
    return spec.serving is not None and len({_served(spec, base, values) for values in ends}) > 1


def _ends(base: Base, column: int) -> np.ndarray:
    """Designs (designs, axes) in which that axis takes its values, or its ends, and all others their first.

    Axes of one table move together, and so do those that follow others.
    """
    axes, own = base.axes, base.axes[column]
    if own.values is None:
        places = np.array([0.0, np.nextafter(1.0, 0.0)])
    else:
        places = (np.arange(min(len(own.values), _MOST_VALUES)) + 0.5) / len(own.values)
    values: dict[str, np.ndarray] = {}
    for axis in axes:
        if axis.formula is not None:
            values[axis.path] = np.broadcast_to(axis.formula.of(values), len(places)).astype(np.float64)
        else:
            values[axis.path] = axis.at(places if axis.coordinate == own.coordinate else np.zeros(len(places)))
    return np.stack(list(values.values()), axis=1)


def _estimates(spec: SweepSpec, base: Base, values: np.ndarray) -> Iterator[np.ndarray]:
    """Each estimated figure of the designs under each load."""
    for load in spec.workloads:
        for users in load.users:
            table = base.estimated(values, load.isl, load.osl, users)
            yield from table.drop(columns=["bound"], errors="ignore").T.to_numpy()


def _served(spec: SweepSpec, base: Base, values: np.ndarray) -> str:
    """The served figures of one design under the smallest load, as text (NaN is NaN)."""
    load = min(spec.workloads, key=lambda each: (each.isl + each.osl) * min(each.users))
    point: dict[Hashable, int] = {"isl": load.isl, "osl": load.osl, "users": min(load.users)}
    try:
        return str(served_figures(spec, base.design(values), point))
    except UserError as error:
        return str(error)


def _meaning(base: Base, axis: SpaceAxis) -> str:
    if axis.is_shared:
        return "the models of this sweep do not read it."
    if axis.number is None:
        return "its words give the same figures."
    described = base.deployment.runtime if axis.of_runtime else base.deployment.system
    return sentence_at(described, axis.figure.label)
