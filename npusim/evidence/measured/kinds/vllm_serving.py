"""Runs of vLLM itself with prompts and answers of fixed lengths, a row a run: closed loops, and arrivals at a rate."""

from __future__ import annotations

import re

from npusim.evidence.measured.case import OF_THE_RUN, Case
from npusim.evidence.measured.collect import Figure, cases_of, told_figures
from npusim.evidence.measured.drafts import told_drafting
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_system, shipped_runtimes
from npusim.hardware.runtime import HybridPolicy

_MAIN = "output_tokens_per_s"
_RUNTIME = "vllm"


def _cases(row: Row, arch: str) -> list[Case]:
    """Throughput, latencies and power of each run."""
    model, dtype, kv_dtype = model_name(row.text("model")), row.text("dtype"), row.text("kv_dtype")
    shared = row.number("prefix_shared") if row.text("prefix_shared") else 0.0
    if not 0.0 <= shared <= 1.0:
        raise Unrepresentable(f"prefix_shared is {shared:g}, no part of a prompt")
    placement = Placement(
        arch,
        _runtime(row.text("engine")),
        model,
        scheme(dtype),
        row.count("tp"),
        policy=_policy(row.count("token_budget")),
        kv_precision=scheme(kv_dtype) if kv_dtype else None,
        sequences=row.count("max_num_seqs"),
        prefix_caching=shared > 0.0,
        drafting=told_drafting(row),
    )
    isl, osl = row.count("isl"), row.count("osl")
    closed = row.text("arrival") == "closed"
    predictor = RunPredictor(
        placed(placement),
        isl,
        osl,
        row.number("concurrency") if closed else 1.0,
        row.count("requests"),
        lengths_told=True,
        shared_tokens=round(shared * isl),
        rate_per_s=None if closed else row.number("rate_per_s"),
        arrival_seed=row.size("arrival_seed") if row.text("arrival_seed") else None,
        link=_link(row, arch) if row.size("apart") else "",
        inside=True,
    )
    run, power = sources().spreads.engine_run.value, sources().spreads.board_power.value
    others = (each for each in told_figures() if each[1] != _MAIN)
    figures = (Figure(column, name, power if unit == "W" else run) for column, name, unit in others)
    return cases_of(
        row,
        (Figure(_MAIN, _MAIN, run, main=True), *figures),
        predictor,
        group=f"{model} {dtype} x{row.text('tp')}{' drafted' if row.text('draft') else ''}",
        model=model,
        dimensions={
            "model": model,
            "dtype": dtype,
            "kv": kv_dtype,
            "tp": row.text("tp"),
            "budget": row.text("token_budget"),
            "shared": row.text("prefix_shared"),
            "drafts": f"{row.text('draft')} {row.text('drafted')}" if row.text("draft") else "",
            "apart": row.text("apart"),
            "arrival": row.text("arrival"),
            "isl": row.text("isl"),
            "osl": row.text("osl"),
            "concurrency": row.text("concurrency"),
        },
    )


def _link(row: Row, arch: str) -> str:
    """What joins the servers for prompts and for the rest: as told, or as servers of the chip usually are."""
    link = row.text("link") or load_system(arch).server.network
    if not link:
        raise Unrepresentable("no link is told between the servers for prompts and for the rest")
    return link


def _runtime(engine: str) -> str:
    """The runtime of that version of vLLM ("vllm 0.24.0"), where one is shipped. Raises Unrepresentable."""
    found = re.fullmatch(r"vllm(?: v?(\d+\.\d+)[\w.+-]*)?", engine.strip().lower())
    if found is None:
        raise Unrepresentable(f"no runtime describes '{engine}'")
    own = f"{_RUNTIME}-{found[1]}"
    return own if own in shipped_runtimes() else _RUNTIME


def _policy(token_budget: int) -> HybridPolicy:
    budget = {"value": f"{token_budget} token", "kind": "measured", "source": OF_THE_RUN}
    return HybridPolicy.model_validate({"kind": "hybrid", "token_budget": budget, "source": OF_THE_RUN})


KIND = TableKind(
    name="vllm_serving",
    columns="model dtype kv_dtype tp engine token_budget max_num_seqs arrival isl osl concurrency requests "
    "output_tokens_per_s",
    main=_MAIN,
    telling=("model", "dtype", "concurrency"),
    cases=of_chip(_cases, "gpu"),
    runs=True,
)
