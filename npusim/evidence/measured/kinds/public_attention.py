"""Attention kernels of published tables, in loops."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip, served_attention
from npusim.evidence.measured.operator_rows import Fields, Heads, decode_attention_row, prompt_attention
from npusim.evidence.measured.placement import scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.loop import LoopPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME


def _cases(row: Row, arch: str) -> list[Case]:
    """ms and power_w of causal attention of `isl` new tokens a sequence over `step` + `isl`."""
    if scheme(row.text("attn_dtype")) != "bf16":
        raise Unrepresentable(f"attention in {row.text('attn_dtype')} is not predicted")
    kv, before = scheme(row.text("kv_cache_dtype")), row.size("step")
    fields = _fields(row, kv, before)
    spreads = sources().spreads
    phase = "generation" if before else "context"
    libraries = (("attention", "flash-3" if kv == "bf16" else "flash-3-fp8"),)
    kernel = OperatorPredictor(arch, GPU_RUNTIME, fields, not before, "loop_settled", libraries=libraries)
    return cases_of(
        row,
        (
            Figure("ms", "ms", spreads.public_kernel.value, main=True),
            Figure("power_w", "power_w", spreads.public_power.value),
        ),
        LoopPredictor((kernel,)),
        group=f"{row.text('kernel_source')} {phase} kv {kv} {row.text('num_heads')} heads",
        model=f"{row.text('num_heads')} heads of {row.text('head_dim')}",
        dimensions={
            "phase": phase,
            "kv_dtype": kv,
            "window": row.text("window_size"),
            "batch": row.text("batch_size"),
            "query": row.text("isl"),
            "context": str(before + row.count("isl")),
            "heads": row.text("num_heads"),
            "kv_heads": row.text("num_key_value_heads"),
            "head_dim": row.text("head_dim"),
            "backend": row.text("kernel_source"),
        },
    )


def _fields(row: Row, kv: str, before: int) -> Fields:
    batch, query, window = row.count("batch_size"), row.count("isl"), row.size("window_size")
    heads = Heads(row.count("num_heads"), row.count("num_key_value_heads"), row.count("head_dim"))
    if before and query == 1:
        return decode_attention_row(batch, before + 1, heads, window, kv)
    return prompt_attention(batch, query, before + query, heads, window, kv)


KIND = TableKind(
    name="public_attention",
    columns="kernel_source batch_size isl num_heads num_key_value_heads head_dim attn_dtype kv_cache_dtype "
    "step window_size ms",
    main="ms",
    telling=("phase", "kv_dtype", "window"),
    cases=of_chip(_cases, "gpu"),
    regime=served_attention,
)
