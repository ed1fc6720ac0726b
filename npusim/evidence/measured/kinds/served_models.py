"""Served models of published tables, a row a run: closed loops whose harness gives mean TTFT and TPOT."""

from __future__ import annotations

from math import ceil

from npusim.errors import UserError
from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, measured_deployment, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_system
from npusim.mapping.plan import plan_of
from npusim.workload.catalog import load_model

_MAIN = "tpot_ms_mean"
_TARGETS = ("ttft_ms_mean",)
_FOUR_BITS = {"fp4": "mxfp4"}
_RUNTIMES = {"trtllm": "tensorrt-llm", "sglang": "sglang", "vllm": "vllm"}
"""Runtime that a table's name of a backend means."""


def _cases(row: Row, arch: str) -> list[Case]:
    """Mean TPOT and TTFT of each run, under the runtime that served it."""
    model, written = model_name(row.text("model")), row.text("precision")
    gpus, precision = row.count("gpus"), scheme(_FOUR_BITS.get(written.lower(), written))
    isl, osl, users = row.count("isl"), row.count("osl"), row.number("concurrency")
    if osl < 2:
        raise Unrepresentable("a single token has no time between tokens")
    placement = placed(
        Placement(
            arch,
            _runtime(row),
            model,
            precision,
            gpus,
            plan=_plan_name(row, arch, model, gpus),
            sequences=ceil(users),
        )
    )
    _require_room(placement, isl + osl)
    spread = sources().other_lab.figure.value
    return cases_of(
        row,
        (Figure(_MAIN, _MAIN, spread, main=True), *(Figure(name, name, spread) for name in _TARGETS)),
        RunPredictor(placement, isl, osl, users, mixed=True),
        group=f"{row.text('backend')} {model} x{gpus}",
        model=model,
        dimensions={
            "model": model,
            "gpus": str(gpus),
            "model x gpus": f"{model} x{gpus}",
            "backend": row.text("backend"),
            "precision": precision,
            "isl": str(isl),
            "osl": str(osl),
            "concurrency": row.text("concurrency"),
        },
    )


def _runtime(row: Row) -> str:
    name = _RUNTIMES.get(row.text("backend").lower())
    if name is None:
        raise Unrepresentable(f"no runtime describes '{row.text('backend')}'; known: {', '.join(_RUNTIMES)}")
    return name


def _plan_name(row: Row, arch: str, model: str, gpus: int) -> str:
    """All GPUs share each layer; whole experts are spread over as many as the row says. Raises Unrepresentable."""
    spread = row.size("moe_ep_size") or 1
    try:
        plan = plan_of(load_system(arch), load_model(model), tensor_parallel=gpus, expert_parallel=spread)
    except UserError as error:
        raise Unrepresentable(str(error)) from error
    return plan.name


def _require_room(placement: Placement, tokens: int) -> None:
    try:
        measured_deployment(placement).require_fit(tokens)
    except UserError as error:
        raise Unrepresentable(str(error)) from error


KIND = TableKind(
    name="served_models",
    columns="gpus backend model isl osl concurrency tpot_ms_mean",
    main=_MAIN,
    telling=("model x gpus", "gpus", "concurrency"),
    cases=of_chip(_cases, "gpu"),
    runs=True,
    draws=9,
    brief=True,
)
