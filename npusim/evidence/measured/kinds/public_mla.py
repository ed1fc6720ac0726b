"""Modules of latent attention in published tables, their projections included: a few passes.

Their power is measured on a board that also waits: it rises with the time of a pass and stays far below the limit even
where arithmetic fills the chip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip, served_attention
from npusim.evidence.measured.placement import model_name, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.module import ModulePredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.mapping.attention_rows import latent
from npusim.mapping.rows import Rows
from npusim.workload.blocks import Latent
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision

_BLOCK_SCALED = "_block"


@dataclass(frozen=True)
class LatentModule:
    """Latent attention of `heads` heads on one rank: projections in `precision`, cache in `kv`."""

    latent: Latent
    hidden: int
    heads: int
    precision: str
    kv: str

    def program(self) -> np.ndarray:
        """From the layer's input to the output projection."""
        rows = Rows()
        latent(rows, self.hidden, self.latent, resolve_precision(self.precision, self.kv), self.heads)
        table = rows.table()
        table["repeat"] = 1
        return table


def _cases(row: Row, arch: str) -> list[Case]:
    """ms, and power_w where it is given."""
    if scheme(row.text("mla_dtype")) != "bf16":
        raise Unrepresentable(f"latent attention in {row.text('mla_dtype')} is not predicted")
    model = load_model(model_name(row.text("model")))
    if model.latent is None:
        raise Unrepresentable(f"{model.name} has no latent attention")
    gemm, kv, before = row.text("gemm_type"), scheme(row.text("kv_cache_dtype")), row.size("step")
    query, phase = row.count("isl"), "generation" if before else "context"
    module = LatentModule(model.latent, model.hidden, row.count("num_heads"), scheme(gemm), kv)
    decoding = before > 0 and query == 1
    linear = "block-fp8" if gemm.endswith(_BLOCK_SCALED) else "cublas"
    over_latents = "flash-3-mla" if kv == "bf16" else "flash-mla"
    libraries = (("linear", linear), ("latent", over_latents), ("latent_prompt", "flash-3-latent-prompt"))
    spreads = sources().spreads
    return cases_of(
        row,
        (
            Figure("ms", "ms", spreads.public_kernel.value, main=True),
            Figure("power_w", "power_w", spreads.public_power.value),
        ),
        ModulePredictor(
            arch, GPU_RUNTIME, module, row.count("batch_size"), query, before + query, decoding, libraries, capped=False
        ),
        group=f"{row.text('kernel_source')} mla {phase} kv {kv} {gemm}",
        model=f"{model.name} {row.text('num_heads')} heads",
        dimensions={
            "phase": phase,
            "dtype": gemm,
            "kv_dtype": kv,
            "model": model.name,
            "heads": row.text("num_heads"),
            "batch": row.text("batch_size"),
            "query": str(query),
            "context": str(before + query),
        },
    )


KIND = TableKind(
    name="public_mla",
    columns="model mla_dtype kv_cache_dtype gemm_type num_heads batch_size isl step ms",
    main="ms",
    telling=("phase", "model", "dtype"),
    cases=of_chip(_cases, "gpu"),
    regime=served_attention,
)
