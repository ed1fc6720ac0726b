"""Under which metric and regime the error of a measured figure stands in a calibration (hardware/residuals.py)."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.kinds import table_kinds
from npusim.hardware.residuals import RUN, STALLED_RUN, Key, operator_regime

_METRICS = {
    "us": "time_us",
    "ms": "time_us",
    "speed_mean": "tpot_ms_mean",
    "speed_p50": "tpot_ms_p50",
    "speed_clean": "itl_ms_p50",
}
"""Predictions' names of figures that have another; a user's speed is one over the time of a token."""

_WITH_STALLS = ("tps_wall",)
"""Metrics that hold stalls of a host that their source tells of: how long these were says nothing of other runs."""


def residual_key(case: Case) -> Key:
    """(metric, regime) of a case of any kind of table."""
    figure = case.figure.removeprefix("steady_")
    metric = _METRICS.get(figure, figure)
    kind = table_kinds()[case.kind]
    if kind.runs:
        return metric, STALLED_RUN if case.metric in _WITH_STALLS else RUN
    if kind.regime is not None:
        return metric, operator_regime(kind.regime(case))
    return metric, case.dimensions["phase"]
