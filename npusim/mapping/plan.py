"""How a model is spread over chips: the parallel plan, and the shard of the model that one rank computes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

from npusim.errors import UserError
from npusim.hardware.system import System
from npusim.workload.model import Model

_DEGREES = {
    "TP": "tensor_parallel",
    "PP": "pipeline_parallel",
    "EP": "expert_parallel",
    "DP": "data_parallel",
    "MB": "micro_batches",
}
_DEGREE = re.compile(r"(TP|PP|EP|DP|MB)(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """How many chips share what.

    tensor_parallel: chips that share every layer; pipeline_parallel: stages, each with its part of the layers;
    data_parallel: replicas that serve requests of their own; expert_parallel: chips of one stage, all replicas
    together, over which whole experts are spread (it divides tensor_parallel x data_parallel; what remains of that
    product shares each expert), 1 where each replica has its own. micro_batches: parts in which a step goes through
    the stages. cards: cards that carry all of them.
    """

    tensor_parallel: int
    cards: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel: int = 1
    micro_batches: int = 1

    @property
    def chips(self) -> int:
        """All chips of the instance."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def expert_tensor_parallel(self) -> int:
        """Chips that share one expert."""
        if self.expert_parallel == 1:
            return self.tensor_parallel
        return self.tensor_parallel * self.data_parallel // self.expert_parallel

    @property
    def senders(self) -> int:
        """Replicas whose tokens come to the experts of one chip, its own among them."""
        return self.data_parallel if self.expert_parallel > 1 else 1

    @property
    def name(self) -> str:
        """Its degrees of parallelism, without those of one: "TP4 PP2"."""
        told = [
            f"{letters}{degree}"
            for letters, key in _DEGREES.items()
            if (degree := getattr(self, key)) > 1 or letters == "TP"
            if letters != "MB" or degree != self.pipeline_parallel
        ]
        return " ".join(told)

    def as_dict(self) -> dict[str, int | str]:
        """Its name, degrees and sizes as plain JSON values."""
        degrees = {key: getattr(self, key) for key in _DEGREES.values()}
        return {"name": self.name, **degrees, "chips": self.chips, "cards": self.cards}


@dataclass(frozen=True)
class Shard:
    """Sizes of one rank. Query heads are padded and KV heads replicated where the ranks do not divide them."""

    ranks: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int


def make_plan(system: System, cards: int, tensor_parallel: int | None, model: Model) -> Plan:
    """Tensor parallelism alone on `cards` cards, over `tensor_parallel` chips (default: all of them).

    UserError where it cannot be.
    """
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


def plan_of(system: System, model: Model, **degrees: int) -> Plan:
    """The plan of these degrees (fields of Plan, 1 if omitted), checked. Raises UserError.

    micro_batches: default, as many as stages.
    """
    unplaced = Plan(**({"tensor_parallel": 1, "cards": 0} | degrees))
    cards = ceil(unplaced.chips / system.chips_per_card)
    batches = degrees.get("micro_batches", unplaced.pipeline_parallel)
    plan = Plan(**({"tensor_parallel": 1} | degrees | {"cards": cards, "micro_batches": batches}))
    reason = objection(plan, system, model)
    if reason:
        raise UserError("--plan", plan.name, reason)
    return plan


def named_plan(system: System, model: Model, name: str) -> Plan | None:
    """The plan of a name such as tp4-pp2 or "TP4 PP2"; None where the text is no such name. Raises UserError."""
    words = name.replace("-", " ").replace("_", " ").split()
    found = [_DEGREE.fullmatch(word) for word in words]
    if not found or None in found:
        return None
    return plan_of(system, model, **{_DEGREES[each[1].upper()]: int(each[2]) for each in found if each is not None})


def objection(plan: Plan, system: System, model: Model) -> str:
    """Why a plan cannot be, with the mend; "" where it can."""
    across, experts = plan.tensor_parallel * plan.data_parallel, model.experts.count if model.experts else 0
    most = system.max_cards * system.chips_per_card
    checks = (
        (min(getattr(plan, key) for key in _DEGREES.values()) < 1, "degrees start at 1"),
        (plan.chips > most, f"{plan.chips} chips, but {system.name} joins at most {most} in one instance"),
        (
            plan.tensor_parallel > model.heads,
            f"{plan.tensor_parallel} chips are more than the {model.heads} query heads; give at most that",
        ),
        (
            plan.pipeline_parallel > model.layers,
            f"{plan.pipeline_parallel} stages are more than the {model.layers} layers; give at most that",
        ),
        (plan.expert_parallel > 1 and not experts, f"{model.name} has no experts to spread; leave EP out"),
        (
            plan.expert_parallel > 1 and plan.expert_parallel > experts,
            f"{plan.expert_parallel} chips are more than the {experts} experts; give at most that",
        ),
        (
            plan.expert_parallel > 1 and across % plan.expert_parallel != 0,
            f"EP must divide TP x DP, {across} chips",
        ),
        (
            plan.expert_parallel > 1 and plan.expert_parallel % plan.data_parallel != 0,
            f"EP must be a multiple of DP, {plan.data_parallel}: its groups reach over all replicas",
        ),
    )
    return next((f"{text}" for wrong, text in checks if wrong), "")


def all_plans(system: System, model: Model, cards: int) -> Iterator[Plan]:
    """Every plan on at most `cards` cards that uses whole cards and whose degrees divide the chips it uses."""
    most = cards * system.chips_per_card
    degrees = range(1, most + 1)
    for tensor, stages, replicas in product(degrees, repeat=3):
        chips = tensor * stages * replicas
        if chips > most or chips % system.chips_per_card:
            continue
        for experts in degrees if model.experts else (1,):
            plan = Plan(tensor, chips // system.chips_per_card, stages, experts, replicas, stages)
            if not objection(plan, system, model):
                yield plan


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
