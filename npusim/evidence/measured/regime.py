"""Under which metric and regime a calibration keeps the error of a measured figure (hardware/residuals.py)."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.kinds import table_kinds
from npusim.hardware.residuals import Key, operator_regime
from npusim.metrics import RUN, STALLED_RUN, TABLE_COLUMN, inverses, told_as

_PASSES = {"us": "time_us", "ms": "time_us"}
"""Predictions' names of the times of passes and operators."""

_WITH_STALLS = ("tps_wall",)
"""Metrics with host stalls that their source reports: how long these were says nothing about other runs."""


def residual_key(case: Case) -> Key:
    """(metric, regime) of a case of any kind of table."""
    figure = case.figure.removeprefix("steady_")
    metric = _PASSES.get(figure) or told_as(TABLE_COLUMN, inverses(figure))
    kind = table_kinds()[case.kind]
    if kind.runs:
        return metric, STALLED_RUN if case.metric in _WITH_STALLS else RUN
    if kind.regime is not None:
        return metric, operator_regime(kind.regime(case))
    return metric, case.dimensions["phase"]
