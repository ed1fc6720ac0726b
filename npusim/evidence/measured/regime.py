"""Under which metric and regime the error of a measured figure stands in a calibration (hardware/residuals.py)."""

from __future__ import annotations

from collections.abc import Callable

from npusim.evidence.measured.case import Case
from npusim.hardware.residuals import RUN, STALLED_RUN, Key, operator_regime

RUN_KINDS = ("serving", "published_serving", "served_models")
"""Kinds of tables whose rows are serving runs."""

_ATTENTION = {"generation": "attn_decode", "context": "attn_prefill"}
_OPERATORS: dict[str, Callable[[Case], str]] = {
    "operators": lambda case: case.dimensions["op"],
    "card_kernels": lambda case: case.dimensions["op"],
    "public_gemm": lambda case: "served gemm",
    "public_attention": lambda case: f"served {_ATTENTION[case.dimensions['phase']]}",
    "public_mla": lambda case: f"served {_ATTENTION[case.dimensions['phase']]}",
    "public_moe": lambda case: "served gemm",
    "pim_simulations": lambda case: case.dimensions["op"],
    "public_collectives": lambda case: case.dimensions["op"],
    "dram_simulations": lambda case: case.dimensions["pattern"],
}
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
    if case.kind in RUN_KINDS:
        return metric, STALLED_RUN if case.metric in _WITH_STALLS else RUN
    if case.kind in _OPERATORS:
        return metric, operator_regime(_OPERATORS[case.kind](case))
    return metric, case.dimensions["phase"]
