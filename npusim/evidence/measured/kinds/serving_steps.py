"""Steps inside serving runs of the CUDA-graph engine: device time with the host's around it."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.step import GPU_RUNTIME, UNPADDED, StepPredictor


def _cases(row: Row, arch: str) -> list[Case]:
    """us_mean. A decode step computes all `concurrency` slots over its context bucket `ctx`, however many are live.

    Users of equal lengths end together, so that as many prompts as there are users follow each other.
    """
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


KIND = TableKind(
    name="serving_steps",
    columns="model dtype policy isl osl concurrency kind live ctx us_mean",
    main="us_mean",
    telling=("phase", "batch", "context"),
    cases=of_chip(_cases, "gpu"),
)
