"""Steps inside serving runs of the CUDA-graph engine: device time with the host's around it."""

from __future__ import annotations

from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.collect import Figure, cases_of, each_row, require_unit
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.evidence.predictors.step import GPU_RUNTIME, UNPADDED, StepPredictor


def cases(table: MeasuredTable, arch: str) -> list[Case | Skip]:
    """us_mean. A decode step computes all `concurrency` slots over its context bucket `ctx`, however many are live.

    Users of equal lengths end together, so that as many prompts as there are users follow each other.
    """
    require_unit(arch, "gpu", table)
    return each_row(table, lambda row: _cases(row, arch))


def _cases(row: Row, arch: str) -> list[Case]:
    model, dtype, phase = model_name(row.text("model")), row.text("dtype"), row.text("kind")
    placement = placed(Placement(arch, GPU_RUNTIME, model, scheme(dtype), attention=UNPADDED))
    context = row.count("ctx")
    if phase == "decode":
        predictor = StepPredictor(placement, row.count("concurrency"), context, (), capped=True, hosted=True)
    elif phase == "prefill":
        users = row.count("concurrency")
        predictor = StepPredictor(placement, 0, 0, ((context, context),), capped=True, hosted=True, in_a_row=users)
    else:
        raise Unrepresentable(f"no kind of step '{phase}'; known: decode, prefill")
    return cases_of(
        row,
        (Figure("us_mean", "us", sources().spreads.engine_step.value, main=True),),
        predictor,
        group=f"{model} {dtype}",
        model=model,
        dimensions={
            "phase": phase,
            "model": model,
            "dtype": dtype,
            "policy": row.text("policy"),
            "batch": row.text("concurrency") if phase == "decode" else "1",
            "context": row.text("ctx"),
        },
    )
