"""How a model is spread over chips: the parallel plan, and the shard of the model that one rank computes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npusim.errors import UserError
from npusim.hardware.system import System
from npusim.workload.model import Model


@dataclass(frozen=True)
class Plan:
    """How many chips share what.

    tensor_parallel: chips that share every layer; pipeline_parallel: stages, each with its part of the layers;
    data_parallel: replicas that serve requests of their own; expert_parallel: chips of one stage, all replicas
    together, over which whole experts are spread (it divides tensor_parallel x data_parallel; what remains of that
    product shares each expert). cards: cards that carry all of them.
    """

    tensor_parallel: int
    cards: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel: int = 1

    @property
    def chips(self) -> int:
        """All chips of the instance."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def expert_tensor_parallel(self) -> int:
        """Chips that share one expert."""
        return self.tensor_parallel * self.data_parallel // self.expert_parallel

    @property
    def name(self) -> str:
        """Its degrees of parallelism, those of one left out: "TP4 PP2"."""
        degrees = {
            "TP": self.tensor_parallel,
            "PP": self.pipeline_parallel,
            "EP": self.expert_parallel,
            "DP": self.data_parallel,
        }
        told = [f"{name}{degree}" for name, degree in degrees.items() if degree > 1 or name == "TP"]
        return " ".join(told)


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
