"""Rows of what follows attention in a layer: one MLP, or a router with experts beside shared ones."""

from __future__ import annotations

from typing import Any

from npusim.hardware.machine import GROUP_EXPERT, GROUP_EXPERT_TENSOR
from npusim.mapping.expert_shard import ExpertShard
from npusim.mapping.optable import (
    ALL_REDUCE,
    ALL_TO_ALL,
    COMBINE,
    DOWN,
    EXPERT_DOWN,
    EXPERT_UP,
    GATE_UP,
    ROUTE,
    ROUTER,
    SILU,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    SPLIT_ROWS,
    UNIT_NPU,
)
from npusim.mapping.rows import NO_ROW, Rows
from npusim.workload.blocks import Experts
from npusim.workload.precision import Precision
from npusim.workload.routing import choice_chances

_WIDE = Precision("bf16", "bf16", "bf16", "bf16")


def mlp(rows: Rows, precision: Precision, hidden: int, width: int) -> None:
    """Gate and up in one product, activation, down."""
    rows.linear(GATE_UP, precision, 2 * width, hidden, SPLIT_COLUMNS)
    rows.vector(SILU, width, 3 * width)
    rows.linear(DOWN, precision, hidden, width, SPLIT_ROWS)


def mixture(
    rows: Rows, experts: Experts, hidden: int, dense: Precision, precision: Precision, part: ExpertShard
) -> None:
    """Router (16 bits), experts in `precision`, beside them shared experts in `dense`; then their weighted sum."""
    source = rows.last
    shared = NO_ROW
    if part.shared_width:
        mlp(rows, dense, hidden, part.shared_width)
        shared, rows.last = rows.last, source
    rows.linear(ROUTER, _WIDE, experts.count, hidden, SPLIT_NONE, units=UNIT_NPU)
    rows.vector(ROUTE, experts.count, experts.count + 2 * experts.chosen)
    routed(rows, experts, hidden, precision, part)
    rows.vector(COMBINE, hidden, hidden * (1.0 + 1.0 / experts.chosen), shared, fan=part.chosen, spread=part.spread)


def routed(rows: Rows, experts: Experts, hidden: int, precision: Precision, part: ExpertShard) -> None:
    """The experts of the busiest rank, for which the others wait.

    Where the experts of several replicas are spread over all their chips, tokens go to them and come back in two
    all-to-alls, each chip sending its part of its replica's tokens; else every chip has all tokens of its replica, and
    the sum over its chips follows outside.
    """
    chances = choice_chances(experts.count, experts.chosen, experts.skew, part.spread)
    rows_of_token = part.senders * part.experts * sum(chances) / len(chances)
    spread = experts.chosen * part.senders / rows_of_token
    sent = hidden * experts.chosen / part.sending
    if part.senders > 1:
        rows.collective(ALL_TO_ALL, sent, part.spread, GROUP_EXPERT)
    grouped: dict[str, Any] = {
        "fan": rows_of_token,
        "spread": spread,
        "matrices": part.experts,
        "stored": part.experts,
        "popularity": chances,
        "units": UNIT_NPU,
    }
    rows.linear(EXPERT_UP, precision, 2 * part.width, hidden, SPLIT_COLUMNS, one_input=True, **grouped)
    rows.vector(SILU, part.width, 3 * part.width, fan=rows_of_token, spread=spread)
    rows.linear(EXPERT_DOWN, precision, hidden, part.width, SPLIT_ROWS, **grouped)
    if part.senders > 1:
        rows.collective(ALL_REDUCE, hidden * rows_of_token, part.sharers, GROUP_EXPERT_TENSOR)
        rows.collective(ALL_TO_ALL, sent, part.spread, GROUP_EXPERT)
