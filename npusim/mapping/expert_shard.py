"""The experts of one rank."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npusim.mapping.plan import Plan
from npusim.workload.blocks import Experts


@dataclass(frozen=True)
class ExpertShard:
    """experts: held by the rank, each `width` wide; chosen: of these, by a token on average over the ranks.

    shared_width: its part of the shared experts; senders: replicas whose tokens come to the rank, its own among them;
    spread: ranks that hold experts of their own; sharers: ranks that share each expert; sending: chips of a replica,
    each of which sends its part of the tokens.
    """

    experts: int
    chosen: float
    width: int
    shared_width: int
    senders: int = 1
    spread: int = 1
    sharers: int = 1
    sending: int = 1


def expert_shard(experts: Experts, plan: Plan) -> ExpertShard:
    """What each rank of `plan` holds of a layer's experts (the largest rank where sizes do not divide)."""
    held = ceil(experts.count / plan.expert_parallel)
    return ExpertShard(
        experts=held,
        chosen=experts.chosen * held / experts.count,
        width=ceil(experts.width / plan.expert_tensor_parallel),
        shared_width=ceil(experts.shared_width / plan.tensor_parallel),
        senders=plan.senders,
        spread=plan.expert_parallel,
        sharers=plan.expert_tensor_parallel,
        sending=plan.tensor_parallel,
    )
