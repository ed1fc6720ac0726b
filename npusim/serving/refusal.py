"""Why a server refuses a request: a number, which compiled code can give too, and what it says."""

from __future__ import annotations

from collections.abc import Callable

from npusim.serving.kvcache import KvCache
from npusim.serving.limits import ServerLimits
from npusim.serving.request import Request

ACCEPTED, TOO_LONG, TOO_LARGE, QUEUE_FULL = range(4)
"""Accepted; longer than the longest context; more KV than the cache holds; the queue is full."""

_TEXTS: dict[int, Callable[[Request, KvCache, ServerLimits], str]] = {
    ACCEPTED: lambda request, kv, limits: "",
    TOO_LONG: lambda request, kv, limits: (
        f"{request.longest} tokens are more than the longest context, {limits.longest_context}"
    ),
    TOO_LARGE: lambda request, kv, limits: (
        f"{request.longest} tokens of KV are more than the cache holds, {kv.capacity * kv.block_tokens}"
    ),
    QUEUE_FULL: lambda request, kv, limits: f"the queue already holds {limits.max_waiting} requests",
}


def refusal_text(refusal: int, request: Request, kv: KvCache, limits: ServerLimits) -> str:
    """The sentence for a user; empty for a request that was accepted."""
    return _TEXTS[refusal](request, kv, limits)
