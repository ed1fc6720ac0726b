"""Capacity: weights, and the keys and values of at least one request, must lie in the memory of the chips."""

from __future__ import annotations

import math
from collections.abc import Iterator

from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, Terms
from npusim.units import GIB
from npusim.words import Phrase

NAME = "capacity"


def capacity(load: BoundedLoad) -> Iterator[Finding]:
    """Whether the model runs at all."""
    low, high = (_part(terms, load) for terms in load.both)
    gib = load.generous.ceiling.memory_bytes * load.chips / GIB
    says = Phrase("the {gib} GiB of memory, for the weights and one request", {"gib": f"{gib:,.0f}"})
    yield Finding(NAME, "", low, high, says)


def _part(terms: Terms, load: BoundedLoad) -> float:
    needed = terms.demand.stored_bytes + terms.demand.request_kv_bytes
    return needed / (terms.ceiling.memory_bytes * load.chips)


def most_in_service(terms: Terms, load: BoundedLoad, static: bool = False) -> float:
    """Most sequences that decode at once, averaged over the tokens: of users, and of what memory holds beside weights.

    A sequence holds what it has so far, the mean over its output; in a static batch all hold what they have at their
    end, since room is set aside for it. At least one, or the bound of capacity is broken.
    """
    free = terms.ceiling.memory_bytes * load.chips - terms.demand.stored_bytes
    held = terms.demand.request_kv_bytes if static else _held(terms, load)
    room = free / held if held > 0.0 else math.inf
    if static:
        room = math.floor(room)
    return max(1.0, min(room, math.inf if load.users is None else load.users))


def _held(terms: Terms, load: BoundedLoad) -> float:
    demand = terms.demand
    return demand.kv_bytes if load.prompts_differ else demand.kv_bytes - demand.shared_kv_bytes
