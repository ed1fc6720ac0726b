"""The state of a compiled server before its run, from what `server.Server` and `clients` are made of."""

from __future__ import annotations

import math

import numpy as np

from npusim.serving.kvcache import KvCache
from npusim.serving.limits import ServerLimits
from npusim.serving.scheduler.state import (
    BURST,
    CHUNK_DTYPE,
    CLOSED,
    NODE_DTYPE,
    NONE,
    PROGRESS_DTYPE,
    PROMPT_DTYPE,
    QUEUE_DTYPE,
    RECORD_DTYPE,
    REQUEST_DTYPE,
    RULES_DTYPE,
    SEQUENCE_DTYPE,
    STREAM,
    ServerState,
)
from npusim.serving.scheduler.tree import PromptTree
from npusim.workload.arrivals import Arrival, Burst, Closed, poisson_times

_ROOM = 1 << 14
"""Entries of the record that are kept before they are handed over."""
_CHUNKS = 64
"""Chunks for which there is room at first."""


def make_state(
    tokens: np.ndarray, tree: PromptTree | None, arrival: Arrival, kv: KvCache, limits: ServerLimits, seed: int
) -> ServerState:
    """Arrays for a run of requests. tokens: (isl, osl) of each; tree: of their prompts, None without a prefix cache;
    policy, engine and what was served before are still to be told to its rules.
    """
    count = len(tokens)
    sequences = min(limits.max_sequences, count) + 1
    longest = int(tokens.sum(axis=1).max())
    nodes, paths = _nodes(tree, kv)
    queues = np.zeros(count, QUEUE_DTYPE)
    if not isinstance(arrival, Closed | Burst):
        queues["due_s"] = poisson_times(count, arrival.rate_per_s, seed)
    prompts = np.zeros(longest, PROMPT_DTYPE)
    prompts["first"] = NONE
    return ServerState(
        rules=_rules(arrival, count, kv, limits),
        at=_progress(),
        requests=_requests(tokens, tree),
        queues=queues,
        sequences=np.zeros(sequences, SEQUENCE_DTYPE),
        scratch=np.zeros((2, sequences)),
        nodes=nodes,
        paths=paths,
        windows=np.array(kv.windows, float).reshape(-1, 2),
        prompts=prompts,
        chunks=np.zeros(_CHUNKS, CHUNK_DTYPE),
        stall_s=np.zeros(0),
        record=np.zeros(_ROOM, RECORD_DTYPE),
    )


def _rules(arrival: Arrival, requests: int, kv: KvCache, limits: ServerLimits) -> np.ndarray:
    rules = np.zeros(1, RULES_DTYPE)
    numbers = {
        "max_sequences": limits.max_sequences,
        "max_waiting": NONE if limits.max_waiting is None else limits.max_waiting,
        "longest_context": limits.longest_context,
        "block_tokens": kv.block_tokens,
        "capacity": kv.capacity,
        "watermark": limits.watermark,
        "request_s": limits.request_time_s,
        "intake_s": limits.intake_s,
        "ahead": limits.ahead,
        "whole_answers": limits.whole_answers,
        "caching": kv.caching,
    }
    if isinstance(arrival, Closed | Burst):
        numbers |= {"arrival": CLOSED if isinstance(arrival, Closed) else BURST, "users": min(arrival.users, requests)}
    else:
        numbers["arrival"] = STREAM
    for name, value in numbers.items():
        rules[name] = value
    return rules


def _progress() -> np.ndarray:
    at = np.zeros(1, PROGRESS_DTYPE)
    at["oldest"] = at["newest"] = NONE
    at["event_s"] = math.inf
    return at


def _requests(tokens: np.ndarray, tree: PromptTree | None) -> np.ndarray:
    rows = np.zeros(len(tokens), REQUEST_DTYPE)
    rows["index"], rows["isl"], rows["osl"] = np.arange(len(tokens)), tokens[:, 0], tokens[:, 1]
    rows["first_token_s"] = rows["last_token_s"] = NONE
    if tree is not None:
        rows["path"], rows["path_nodes"] = tree.first, tree.count
    return rows


def _nodes(tree: PromptTree | None, kv: KvCache) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the nodes of all prompts, and their paths; without a cache there are none."""
    if tree is None:
        return np.zeros(0, NODE_DTYPE), np.zeros(0, np.int64)
    nodes = np.zeros(len(tree.parent), NODE_DTYPE)
    nodes["parent"], nodes["end"] = tree.parent, tree.end
    whole = np.asarray(kv.charge(tree.end // kv.block_tokens), float)
    nodes["whole_blocks"] = whole
    nodes["blocks"] = whole - np.where(tree.parent == NONE, 0.0, whole[tree.parent])
    return nodes, tree.paths
