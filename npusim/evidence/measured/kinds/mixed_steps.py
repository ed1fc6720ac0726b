"""Forward passes over decoding sequences and one prompt chunk together, timed as bursts on one GPU."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources, with_percentiles
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.step import GPU_RUNTIME, UNPADDED, StepPredictor


def _cases(row: Row, arch: str) -> list[Case]:
    """us of `decode_batch` sequences over `ctx` tokens with a chunk that ends at `chunk_ctx` (none where 0)."""
    model, dtype = model_name(row.text("model")), row.text("dtype")
    decoding, chunk = row.size("decode_batch"), row.size("chunk")
    if not decoding and not chunk:
        raise Unrepresentable("the pass has neither decoding sequences nor a chunk")
    predictor = StepPredictor(
        placed(Placement(arch, GPU_RUNTIME, model, scheme(dtype), attention=UNPADDED)),
        decoding,
        row.count("ctx") if decoding else 0,
        ((chunk, row.count("chunk_ctx")),) if chunk else (),
        capped=False,
    )
    again, time = sources().spreads.device_events.value, row.measured("us") or 1.0
    sigma = with_percentiles(again, time, row.measured("us_p5"), row.measured("us_p95"))
    return cases_of(
        row,
        (Figure("us", "us", sigma, main=True),),
        predictor,
        group=f"{model} {dtype}",
        model=model,
        dimensions={
            "phase": _phase(decoding, chunk),
            "model": model,
            "dtype": dtype,
            "batch": row.text("decode_batch"),
            "context": row.text("ctx"),
            "query": row.text("chunk"),
            "chunk_context": row.text("chunk_ctx"),
        },
    )


def _phase(decoding: int, chunk: int) -> str:
    if decoding and chunk:
        return "mixed"
    return "decode" if decoding else "prefill"


KIND = TableKind(
    name="mixed_steps",
    columns="model dtype decode_batch ctx chunk chunk_ctx us",
    main="us",
    telling=("phase", "batch", "query"),
    cases=of_chip(_cases, "gpu"),
)
