"""Several models on the same cards: which weights are resident together, and what loading one of the others takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from npusim.errors import UserError
from npusim.hardware.kv_tier import KvTier, load_kv_tier
from npusim.hardware.link import Link
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import Footprint
from npusim.serving.tiers import cards_of, rate_into_chips
from npusim.units import S_PER_HOUR

_HALF = 0.5
"""Of the time."""
OPTION = "--from"
"""Which says where weights come from."""
POLICY = (
    "Weights are loaded as they are served, in one stream over all cards, and dropped without being written back; "
    "nothing else uses the links, and no request is served meanwhile."
)


@dataclass(frozen=True)
class Swap:
    """tier: where weights come from; seconds: least, usual and longest time to load them, at the ends of the ranges of
    the links' numbers; bound: which link limits the rate; room: whether all models have room in the tier."""

    tier: KvTier
    seconds: tuple[float, float, float]
    bytes_per_s: float
    bound: str
    room: bool


def pooled_models(
    deployments: Sequence[Deployment], tiers: Sequence[str], tokens: int, ready_s: float | None
) -> dict[str, Any]:
    """What the models take of memory together, and what a swap of each costs; the first ones stay resident.

    tokens: of KV cache that each resident model has room for; ready_s: from loaded weights to the first step, None
    where it is not known. Raises UserError, DoesNotFit for a model that has no room even alone.
    """
    rooms = [each.require_fit(tokens) for each in deployments]
    usable = rooms[0].available_bytes + rooms[0].weight_bytes
    resident, free = _resident(rooms, usable, tokens)
    sources = [load_kv_tier(told, OPTION) for told in tiers]
    needed = sum(_weight_bytes(each, room) for each, room in zip(deployments, rooms, strict=True))
    models = []
    for deployment, room, stays in zip(deployments, rooms, resident, strict=True):
        swaps = [weights_load(deployment, room, tier, size, needed) for tier, size in sources]
        models.append(_model(deployment, room, stays, swaps, ready_s))
    return {
        "arch": deployments[0].system.name,
        "cards": deployments[0].plan.cards,
        "usable_bytes_per_chip": usable,
        "free_bytes_per_chip": free,
        "all_resident": all(resident),
        "kv_tokens_each": tokens,
        "ready_s": ready_s,
        "ready": "told" if ready_s is not None else "unknown: no runtime here describes it",
        "policy": POLICY,
        "models": models,
    }


def _resident(rooms: Sequence[Footprint], usable: float, tokens: int) -> tuple[list[bool], float]:
    """Whether each model stays in memory, the first ones first, and what is left of a chip."""
    stays, free = [], usable
    for room in rooms:
        wanted = room.weight_bytes + room.kv_bytes(tokens)
        stays.append(wanted <= free)
        free -= wanted if stays[-1] else 0.0
    return stays, free


def _weight_bytes(deployment: Deployment, room: Footprint) -> float:
    """Weights of all chips, replicas included: each chip's as those of the fullest one."""
    return room.weight_bytes * deployment.plan.chips


def weights_load(deployment: Deployment, room: Footprint, tier: KvTier, size: float, needed: float) -> Swap:
    """What loading the weights of a deployment takes. size: bytes of the tier; needed: that are to have room in it."""
    host, cards = deployment.system.card.host_link, deployment.plan.cards
    whole = _weight_bytes(deployment, room)
    seconds = []
    for end in ("high", "value", "low"):
        rate = min(_end_rate(tier.link, end) * cards_of(deployment, tier), _end_rate(host, end) * cards)
        latency = _at(tier.link.latency, {"high": "low", "low": "high"}.get(end, end))
        seconds.append(latency + whole / rate)
    rate = rate_into_chips(deployment, tier)
    bound = host.name if rate == host.rate_bytes_per_s * cards else tier.link.name
    return Swap(tier, (seconds[0], seconds[1], seconds[2]), rate, bound, needed <= size * cards_of(deployment, tier))


def _at(quantity: Quantity, end: str) -> float:
    """The value, or the end of the range where there is one."""
    found: float | None = getattr(quantity, end)
    return quantity.value if found is None else found


def _end_rate(link: Link, end: str) -> float:
    packets = link.rate_bytes_per_s / (link.bandwidth.value * link.efficiency.value)
    return _at(link.bandwidth, end) * _at(link.efficiency, end) * packets


def _model(
    deployment: Deployment, room: Footprint, stays: bool, swaps: Sequence[Swap], ready_s: float | None
) -> dict[str, Any]:
    return {
        "model": deployment.model.name,
        "precision": deployment.precision.name,
        "plan": deployment.plan.name,
        "runtime": deployment.runtime.name,
        "weight_bytes": _weight_bytes(deployment, room),
        "weight_bytes_per_chip": room.weight_bytes,
        "resident": stays,
        "kv_tokens_alone": room.kv_tokens,
        "swaps": [_swap_facts(each, ready_s) for each in swaps],
    }


def _swap_facts(swap: Swap, ready_s: float | None) -> dict[str, Any]:
    """load_s; ttft_added_s: what a cold request waits for beside its own prompt, at least that where it is not known
    how long a loaded model takes to be ready; swaps_per_hour_at_half: at which half of the time goes to swaps."""
    added = [seconds + (ready_s or 0.0) for seconds in swap.seconds]
    rates = [_HALF / seconds * S_PER_HOUR for seconds in reversed(added)]
    return {
        "from": swap.tier.name,
        "has_room_for_all": swap.room,
        "bytes_per_s": swap.bytes_per_s,
        "bound": swap.bound,
        "load_s": _ranged(swap.seconds),
        "ttft_added_s": _ranged(added),
        "ttft_added_is_least": ready_s is None,
        "swaps_per_hour_at_half": _ranged(rates),
    }


def _ranged(values: Sequence[float]) -> dict[str, float]:
    low, value, high = values
    return {"value": value, "low": low, "high": high}


def check_alike(deployments: Sequence[Deployment]) -> None:
    """Raises UserError where the models would not share the same cards."""
    cards = {each.plan.cards for each in deployments}
    if len(cards) > 1:
        told = ", ".join(f"{each.model.name} {each.plan.cards}" for each in deployments)
        raise UserError("--cards", "", f"models share cards only where each is on all of them ({told}); give --cards")
