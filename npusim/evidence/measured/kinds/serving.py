"""Closed-loop serving runs of the CUDA-graph engine."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of, told_figures
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.hardware.runtime import AlternatePolicy, ExclusivePolicy, Policy, UniformAttention

_MAIN = "output_tokens_per_s"
_POLICIES: dict[str, Policy] = {
    "prefill": ExclusivePolicy(kind="exclusive", source="policy of the measured run"),
    "alternate": AlternatePolicy(kind="alternate", source="policy of the measured run"),
}


def _cases(row: Row, arch: str) -> list[Case]:
    """Throughput, latencies and power of each run; all first requests are sent at once."""
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
            Figure(_MAIN, _MAIN, run, main=True),
            *(
                Figure(column, name, power if unit == "W" else run)
                for column, name, unit in told_figures()
                if name != _MAIN
            ),
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


KIND = TableKind(
    name="serving",
    columns="model dtype policy bucket isl osl concurrency requests output_tokens_per_s",
    main=_MAIN,
    telling=("concurrency", "policy", "isl"),
    cases=of_chip(_cases, "gpu"),
    runs=True,
)
