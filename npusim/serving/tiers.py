"""Lower tiers of the prefix cache: what they hold and what loading from them takes, in the cache's own units."""

from __future__ import annotations

import math

from npusim.hardware.kv_tier import KvTier, load_kv_tier
from npusim.mapping.deployment import Deployment
from npusim.serving.kvcache import LowerTier
from npusim.serving.server import ServingEngine


def lower_tiers(deployment: Deployment, engine: ServingEngine, block: int, isl: int) -> tuple[LowerTier, ...]:
    """The tiers that the runtime keeps KV in, from the quickest down; none where it keeps no prefixes.

    isl: tokens of a usual prompt, whose time a token is what loading is weighed against. Raises UserError.
    """
    rules, plan = deployment.runtime.kv, deployment.plan
    if not rules.prefix_caching or not rules.tiers or rules.reload == "recompute":
        return ()
    token_bytes = deployment.require_fit(1).kv_bytes_per_token * plan.chips
    compute_s = math.inf if rules.reload == "load" else engine.prefill_chunk(isl, isl).time_s / isl
    found = []
    for told in rules.tiers:
        tier, size = load_kv_tier(told)
        capacity = float(size * cards_of(deployment, tier) // (token_bytes * block))
        rate = rate_into_chips(deployment, tier)
        found.append(LowerTier(tier.name, capacity, token_bytes / rate, tier.link.latency.value, compute_s))
    return tuple(found)


def cards_of(deployment: Deployment, tier: KvTier) -> int:
    """How many times the deployment has the tier: once for each card, or once for all of them."""
    return deployment.plan.cards if tier.per == "card" else 1


def rate_into_chips(deployment: Deployment, tier: KvTier) -> float:
    """Bytes/s from the tier into the chips' memory, over the cards' links to the host."""
    own = deployment.system.card.host_link.rate_bytes_per_s * deployment.plan.cards
    return min(tier.link.rate_bytes_per_s * cards_of(deployment, tier), own)
