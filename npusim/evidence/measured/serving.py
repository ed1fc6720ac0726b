"""Closed-loop serving runs of the CUDA-graph engine."""

from __future__ import annotations

from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.collect import Figure, cases_of, each_row, require_unit
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.hardware.runtime import AlternatePolicy, ExclusivePolicy, Policy, UniformAttention

MAIN = "output_tokens_per_s"
_TARGETS = (
    "ttft_ms_mean",
    "ttft_ms_p50",
    "ttft_ms_p99",
    "tpot_ms_mean",
    "tpot_ms_p50",
    "tpot_ms_p99",
    "e2e_ms_mean",
    "total_tokens_per_s",
    "tokens_per_joule",
)
_POLICIES: dict[str, Policy] = {
    "prefill": ExclusivePolicy(kind="exclusive", source="policy of the measured run"),
    "alternate": AlternatePolicy(kind="alternate", source="policy of the measured run"),
}


def cases(table: MeasuredTable, arch: str) -> list[Case | Skip]:
    """Throughput, latencies and power of each run; all first requests are sent at once."""
    require_unit(arch, "gpu", table)
    return each_row(table, lambda row: _cases(row, arch))


def _cases(row: Row, arch: str) -> list[Case]:
    model, dtype, policy = model_name(row.text("model")), row.text("dtype"), row.text("policy")
    if policy not in _POLICIES:
        raise Unrepresentable(f"no policy '{policy}'; known: {', '.join(_POLICIES)}")
    attention = UniformAttention(kind="uniform", multiple=row.count("bucket"), source="bucket of the measured run")
    placement = Placement(arch, GPU_RUNTIME, model, scheme(dtype), policy=_POLICIES[policy], attention=attention)
    predictor = RunPredictor(
        placed(placement), row.count("isl"), row.count("osl"), row.count("concurrency"), row.count("requests")
    )
    run, power = sources().spreads.engine_run.value, sources().spreads.board_power.value
    return cases_of(
        row,
        (
            Figure(MAIN, MAIN, run, main=True),
            *(Figure(name, name, run) for name in _TARGETS),
            Figure("power_w", "power_w", power),
        ),
        predictor,
        group=f"{model} {dtype}",
        model=model,
        dimensions={
            "model": model,
            "dtype": dtype,
            "policy": policy,
            "isl": row.text("isl"),
            "osl": row.text("osl"),
            "concurrency": row.text("concurrency"),
        },
    )
