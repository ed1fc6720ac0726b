"""How a model is spread over chips: the parallel plan, and the shard of the model that one rank computes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npusim.errors import UserError
from npusim.hardware.system import System
from npusim.workload.model import Model


@dataclass(frozen=True)
class Plan:
    """tensor_parallel: chips that share every layer; cards: cards that carry them."""

    tensor_parallel: int
    cards: int

    @property
    def name(self) -> str:
        return f"TP{self.tensor_parallel}"


@dataclass(frozen=True)
class Shard:
    """Sizes of one rank. Query heads are padded and KV heads replicated where the ranks do not divide them."""

    ranks: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int


def make_plan(system: System, cards: int, tensor_parallel: int | None, model: Model) -> Plan:
    """The plan for `cards` cards; `tensor_parallel` chips (default: all of them). UserError where it cannot be."""
    if cards < 1:
        raise UserError("--cards", "", f"{cards} cards cannot run a model; give 1 or more")
    if cards > system.max_cards:
        raise UserError(
            "--cards", "", f"{cards} cards, but {system.name} joins at most {system.max_cards} in one instance"
        )
    chips = cards * system.chips_per_card
    ranks = chips if tensor_parallel is None else tensor_parallel
    if ranks < 1 or ranks > chips:
        raise UserError("--tp", "", f"{ranks} chips asked for, {chips} are there; give 1 to {chips}")
    if ranks > model.heads:
        raise UserError(
            "--tp", "", f"{ranks} chips are more than the {model.heads} query heads of {model.name}; give at most that"
        )
    return Plan(ranks, ceil(ranks / system.chips_per_card))


def shard(model: Model, plan: Plan) -> Shard:
    """What each rank of `plan` computes of `model` (the largest rank where sizes do not divide)."""
    ranks = plan.tensor_parallel
    return Shard(
        ranks=ranks,
        heads=ceil(model.heads / ranks),
        kv_heads=ceil(model.kv_heads / ranks),
        intermediate=ceil(model.intermediate / ranks),
        vocab=ceil(model.vocab / ranks),
    )
