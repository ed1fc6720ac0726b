"""Steps inside serving runs of the CUDA-graph engine: device time with the host's around it."""

from __future__ import annotations

from npusim.studies.measured.case import Case, Skip
from npusim.studies.measured.collect import Figure, cases_of, each_row, require_unit
from npusim.studies.measured.placement import Placement, model_name, placed, scheme
from npusim.studies.measured.sources import sources
from npusim.studies.measured.step_subject import GPU_RUNTIME, UNPADDED, StepSubject
from npusim.studies.measured.tables import Row, Table, Unrepresentable


def cases(table: Table, arch: str) -> list[Case | Skip]:
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
        subject = StepSubject(placement, row.count("concurrency"), context, (), capped=True, hosted=True)
    elif phase == "prefill":
        users = row.count("concurrency")
        subject = StepSubject(placement, 0, 0, ((context, context),), capped=True, hosted=True, in_a_row=users)
    else:
        raise Unrepresentable(f"no kind of step '{phase}'; known: decode, prefill")
    return cases_of(
        row,
        (Figure("us_mean", "us", sources().spreads.engine_step.value, main=True),),
        subject,
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
