"""Experts of published kernel tables: the routed experts of one layer on one rank, in loops, tokens dealt out.

The harness draws the number of tokens of each expert, scales the numbers to the tokens chosen, and measures the rank
that has the most of them (ai-dynamo/aiconfigurator collector, power_law_logits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.module import ModulePredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.mapping.expert_shard import ExpertShard
from npusim.mapping.mlp_rows import routed
from npusim.mapping.optable import COMBINE, LINEAR
from npusim.mapping.rows import Rows
from npusim.workload.blocks import Experts
from npusim.workload.precision import resolve_precision
from npusim.workload.routing import Skew

_BALANCED, _POWER_LAW = "balanced", "power_law_"
_LARGEST_SHARE, _SPAN_OF_FEW = 0.8, 200.0
"""What the harness draws from: 1 to 0.8 of the tokens, or 0.01 to 2 where fewer are chosen than there are experts."""


@dataclass(frozen=True)
class ExpertsModule:
    """The routed experts of one rank, to which the harness dealt tokens out by `experts.skew`."""

    experts: Experts
    part: ExpertShard
    hidden: int
    precision: str

    def program(self) -> np.ndarray:
        """Both grouped products, the activation between them, and the weighted sum."""
        rows = Rows()
        routed(rows, self.experts, self.hidden, resolve_precision(self.precision, "bf16"), self.part)
        moved = self.hidden * (1.0 + 1.0 / self.experts.chosen)
        rows.vector(COMBINE, self.hidden, moved, fan=self.part.chosen, spread=self.part.spread)
        table = rows.table()
        table["repeat"] = 1
        table["dealt"][table["kind"] == LINEAR] = 1.0
        return table


def _cases(row: Row, arch: str) -> list[Case]:
    """ms, and power_w where it is given."""
    dtype, kind = scheme(row.text("moe_dtype")), row.text("moe_dtype")
    tokens, module = row.count("num_tokens"), _module(row, dtype)
    library = "triton-block-fp8" if kind.endswith("_block") else "triton-fused-moe"
    spreads = sources().spreads
    return cases_of(
        row,
        (
            Figure("ms", "ms", spreads.public_kernel.value, main=True),
            Figure("power_w", "power_w", spreads.public_power.value),
        ),
        ModulePredictor(arch, GPU_RUNTIME, module, tokens, 1, 1, decoding=True, libraries=(("grouped", library),)),
        group=f"{row.text('kernel_source')} {kind}",
        model=f"{row.text('num_experts')} x {row.text('inter_size')} x {row.text('hidden_size')}",
        dimensions={
            "dtype": kind,
            "backend": row.text("kernel_source"),
            "distribution": row.text("distribution"),
            "tokens": str(tokens),
            "experts": row.text("num_experts"),
            "chosen": row.text("topk"),
            "hidden": row.text("hidden_size"),
            "width": row.text("inter_size"),
            "tp": row.text("moe_tp_size"),
            "ep": row.text("moe_ep_size"),
        },
    )


def _module(row: Row, dtype: str) -> ExpertsModule:
    count, chosen, width = row.count("num_experts"), row.count("topk"), row.count("inter_size")
    cut, spread = row.count("moe_tp_size"), row.count("moe_ep_size")
    if chosen > count:
        raise Unrepresentable(f"{chosen} experts of {count} cannot be chosen")
    if count % spread or width % cut:
        raise Unrepresentable(f"{count} experts of width {width} cannot be split {spread} x {cut} ways")
    held = count // spread
    skew = _skew(row.text("distribution"), row.count("num_tokens"), chosen, count)
    experts = Experts(count, chosen, width, skew=skew)
    part = ExpertShard(held, chosen * held / count, width // cut, 0, spread=spread)
    return ExpertsModule(experts, part, row.count("hidden_size"), dtype)


def _skew(distribution: str, tokens: int, chosen: int, count: int) -> Skew:
    """The distribution of tokens over experts that the harness draws from. Raises Unrepresentable."""
    if distribution == _BALANCED:
        return Skew()
    exponent = distribution.removeprefix(_POWER_LAW)
    try:
        value = float(exponent)
    except ValueError as error:
        raise Unrepresentable(f"no distribution '{distribution}'; known: balanced, power_law_EXPONENT") from error
    return Skew(value, _LARGEST_SHARE * tokens if tokens * chosen > count else _SPAN_OF_FEW)


KIND = TableKind(
    name="public_moe",
    columns="moe_dtype num_tokens hidden_size inter_size topk num_experts moe_tp_size moe_ep_size distribution ms",
    main="ms",
    telling=("dtype", "experts", "distribution"),
    cases=of_chip(_cases, "gpu"),
    regime=lambda case: "served gemm",
)
