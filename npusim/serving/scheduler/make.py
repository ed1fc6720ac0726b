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
    ROUTED,
    RULES_DTYPE,
    SEQUENCE_DTYPE,
    SESSIONS,
    STREAM,
    TIER_DTYPE,
    ServerState,
)
from npusim.serving.scheduler.tree import PromptTree
from npusim.workload.arrivals import Arrival, Burst, Closed, Turns

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
    most, longest = min(limits.max_sequences, count), int(tokens.sum(axis=1).max())
    state = _state(_requests(tokens, tree), longest, most, _nodes(tree, kv), kv, limits)
    state.rules["arrival"] = STREAM
    state.requests["intake_s"] = limits.intake.seconds(tokens[:, 0])
    if isinstance(arrival, Turns):
        _link(state, arrival, tree)
        return state
    if isinstance(arrival, Closed | Burst):
        state.rules["arrival"] = CLOSED if isinstance(arrival, Closed) else BURST
        state.rules["users"] = min(arrival.users, count)
    else:
        state.queues["due_s"] = arrival.times_s(count, seed)
    return state


def _link(state: ServerState, turns: Turns, tree: PromptTree | None) -> None:
    """The turns of sessions know which one follows, and with a prefix cache its prompt."""
    rows, after = state.requests, turns.after
    state.rules["arrival"] = SESSIONS
    rows["after"], rows["wait_s"], rows["is_first"] = after, turns.wait_s, np.array(turns.before) == NONE
    if tree is not None:
        rows["next_path"], rows["next_nodes"] = tree.first[after], np.where(after == NONE, 0, tree.count[after])


def progress_of(servers: int) -> np.ndarray:
    """Rows of servers that have not begun, PROGRESS_DTYPE (servers,)."""
    at = np.zeros(servers, PROGRESS_DTYPE)
    at["oldest"] = at["newest"] = NONE
    at["event_s"] = at["until_s"] = math.inf
    at["may_begin"] = True
    return at


def make_routed_state(at: np.ndarray, room: int, longest: int, kv: KvCache, limits: ServerLimits) -> ServerState:
    """Arrays of a server to which requests are sent from outside. at: its row of `progress_of`, an array of one; room:
    requests for which it has room at first; longest: tokens of the longest one."""
    nodes = np.zeros(0, NODE_DTYPE), np.zeros(0, np.int64)
    requests = _requests(np.zeros((room, 2), np.int64), None)
    state = _state(requests, longest, limits.max_sequences, nodes, kv, limits)
    state.rules["arrival"] = ROUTED
    return state._replace(at=at)


def _state(
    requests: np.ndarray,
    longest: int,
    most: int,
    nodes_and_paths: tuple[np.ndarray, np.ndarray],
    kv: KvCache,
    limits: ServerLimits,
) -> ServerState:
    """longest: tokens of the longest request; most: sequences in service."""
    prompts = np.zeros(longest, PROMPT_DTYPE)
    prompts["first"] = NONE
    nodes, paths = nodes_and_paths
    return ServerState(
        rules=_rules(kv, limits),
        at=progress_of(1),
        requests=requests,
        queues=np.zeros(len(requests), QUEUE_DTYPE),
        sequences=np.zeros(most + 1, SEQUENCE_DTYPE),
        scratch=np.zeros((2, most + 1)),
        nodes=nodes,
        paths=paths,
        tiers=_tiers(kv),
        windows=np.array(kv.windows, float).reshape(-1, 2),
        chunk_sizes=np.array(limits.chunk_sizes, np.int64),
        prompts=prompts,
        chunks=np.zeros(_CHUNKS, CHUNK_DTYPE),
        stall_s=np.zeros(0),
        record=np.zeros(_ROOM, RECORD_DTYPE),
    )


def _rules(kv: KvCache, limits: ServerLimits) -> np.ndarray:
    rules = np.zeros(1, RULES_DTYPE)
    numbers = {
        "max_sequences": limits.max_sequences,
        "width": limits.width,
        "max_waiting": NONE if limits.max_waiting is None else limits.max_waiting,
        "largest_chunk": NONE if limits.largest_chunk is None else limits.largest_chunk,
        "longest_context": limits.longest_context,
        "block_tokens": kv.block_tokens,
        "capacity": kv.capacity,
        "watermark": limits.watermark,
        "request_s": limits.request_time_s,
        "takes_in": limits.intake.is_busy,
        "idle_w": limits.idle_w,
        "ahead": limits.ahead,
        "holds": limits.holds,
        "drawing_s": limits.drawing_s,
        "whole_answers": limits.whole_answers,
        "caching": kv.caching,
        "keeps_answers": kv.keeps_answers,
    }
    for name, value in numbers.items():
        rules[name] = value
    return rules


def _requests(tokens: np.ndarray, tree: PromptTree | None) -> np.ndarray:
    rows = np.zeros(len(tokens), REQUEST_DTYPE)
    rows["index"], rows["isl"], rows["osl"] = np.arange(len(tokens)), tokens[:, 0], tokens[:, 1]
    rows["after"] = NONE
    rows["admitted_s"] = rows["first_token_s"] = rows["last_token_s"] = NONE
    if tree is not None:
        rows["path"], rows["path_nodes"] = tree.first, tree.count
    return rows


def _tiers(kv: KvCache) -> np.ndarray:
    rows = np.zeros(len(kv.tiers), TIER_DTYPE)
    rows["oldest"] = rows["newest"] = NONE
    for row, tier in zip(rows, kv.tiers, strict=True):
        row["capacity"], row["token_s"], row["latency_s"] = tier.capacity, tier.token_s, tier.latency_s
        row["compute_token_s"] = tier.compute_token_s
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
