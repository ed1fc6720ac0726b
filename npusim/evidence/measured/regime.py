"""Under which metric and regime a calibration keeps the error of a measured figure (hardware/residuals.py)."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.kinds import table_kinds
from npusim.hardware.residuals import Key, operator_regime
from npusim.metric_names import inverses, told_as
from npusim.metrics import RUN, STALLED_RUN, TABLE_COLUMN

_PASSES = {"us": "time_us", "ms": "time_us"}
"""Predictions' names of the times of passes and operators."""

_WALL, _FIRST = "tps_wall", "ttft_ms"
"""What host stalls are in: rates of the wall clock, and times to the first tokens of the few requests of such a run."""


def residual_key(case: Case) -> Key:
    """(metric, regime) of a case of any kind of table."""
    figure = case.figure.removeprefix("steady_")
    metric = _PASSES.get(figure) or told_as(TABLE_COLUMN, inverses(figure))
    kind = table_kinds()[case.kind]
    if kind.runs:
        return metric, STALLED_RUN if _has_stalls(case) else RUN
    if kind.regime is not None:
        return metric, operator_regime(kind.regime(case))
    return metric, case.dimensions["phase"]


def _has_stalls(case: Case) -> bool:
    """Whether stalls that its source reports are in the figure: how long these were says nothing about other runs."""
    return case.metric == _WALL or (case.figure.startswith(_FIRST) and getattr(case.predictor, "stalled", False))
