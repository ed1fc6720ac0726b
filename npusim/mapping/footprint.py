"""Memory of one rank: weights, KV cache per token, and how many tokens of KV the rest can hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.mapping.lower import stage_programs
from npusim.mapping.optable import ATTENTION, GATHER, LINEAR, LM_HEAD, NORM, PROMPT_ONLY, VECTOR
from npusim.mapping.plan import Plan, share_of
from npusim.workload.model import Model
from npusim.workload.precision import Precision

_BITS_PER_BYTE = 8.0
_HALF_BYTES = 2.0


@dataclass(frozen=True)
class Footprint:
    """Bytes of one rank.

    available_bytes: for the KV cache, beside weights, reserve and workspace (may be < 0); kv_bytes_per_token: of all
    layers; windows: of layers that keep no more than a window, (tokens, bytes per token), the smallest first;
    state_bytes: of the states of one sequence, which do not grow.
    """

    weight_bytes: float
    kv_bytes_per_token: float
    available_bytes: float
    windows: tuple[tuple[int, float], ...] = ()
    state_bytes: float = 0.0

    @property
    def kv_tokens(self) -> int:
        """Longest context of one sequence whose KV cache fits (may be < 0)."""
        per_token, room = self.kv_bytes_per_token, self.available_bytes - self.state_bytes
        if room < 0.0 and self.state_bytes > 0.0:
            return -1
        for window, windowed in self.windows:
            if room <= window * per_token:
                break
            room -= window * windowed
            per_token -= windowed
        return int(np.floor(room / per_token)) if per_token > 0.0 else sys.maxsize

    def in_blocks(self, block: int) -> tuple[int, tuple[tuple[int, float], ...]]:
        """Tokens that fit by all their bytes, and (tokens, share of these bytes) of layers that keep but a window.

        A window is charged to its end and one block more, so that states are a window of one block whose two blocks
        have their bytes: a sequence of a single block is charged half of them.
        """
        windows, per_token = dict(self.windows), self.kv_bytes_per_token
        if self.state_bytes > 0.0:
            state = self.state_bytes / (2.0 * block)
            windows[block] = windows.get(block, 0.0) + state
            per_token += state
        shares = tuple((window, windowed / per_token) for window, windowed in sorted(windows.items()))
        return int(self.available_bytes // per_token), shares

    def kv_bytes(self, tokens: int) -> float:
        """Bytes of KV cache and states of one sequence of `tokens`."""
        beyond = sum(windowed * max(0, tokens - window) for window, windowed in self.windows)
        return tokens * self.kv_bytes_per_token - beyond + self.state_bytes


def joint_footprint(first: Footprint, second: Footprint) -> Footprint:
    """Two models on the same chips, each with keys and values of every token."""
    windows = sorted(dict(first.windows).keys() | dict(second.windows).keys())
    sums = (sum(dict(each.windows).get(window, 0.0) for each in (first, second)) for window in windows)
    return Footprint(
        first.weight_bytes + second.weight_bytes,
        first.kv_bytes_per_token + second.kv_bytes_per_token,
        first.available_bytes - second.weight_bytes,
        tuple(zip(windows, sums, strict=True)),
        first.state_bytes + second.state_bytes,
    )


def footprint(machine: Any, runtime: Any, model: Model, precision: Precision, plan: Plan) -> Footprint:
    """Memory that `model` needs on one chip under `plan`; machine and runtime are flat records.

    Of several pipeline stages, the one with the least room for sequences. A sliding-window layer keeps its window, as
    the caches of vLLM, SGLang and TensorRT-LLM do.
    """
    usable = float(usable_bytes(machine, runtime))
    programs = stage_programs(model, precision, plan)
    copied = bool(runtime["offload_copies"])
    stages = (_stage_footprint(rows, model, plan, usable, copied) for rows in programs)
    return min(stages, key=lambda stage: stage.kv_tokens)


def usable_bytes(machines: Any, runtimes: Any) -> Any:
    """Bytes that weights and KV cache may take of one chip, of records or arrays of them."""
    held_back = runtimes["kv_reserved"] + runtimes["activation_workspace"]
    return data_bytes(machines) * runtimes["kv_memory_fraction"] - held_back


def data_bytes(machines: Any) -> Any:
    """Usable bytes of one chip that metadata leaves, of a record or an array of them."""
    return machines["memory_usable_capacity"] * (1.0 - np.nan_to_num(machines["memory_metadata_carve_out"]))


def _stage_footprint(rows: np.ndarray, model: Model, plan: Plan, usable: float, copied: bool) -> Footprint:
    weights = weight_bytes(rows, model, plan) + (_copied_bytes(rows) if copied else 0.0)
    attention = rows[(rows["kind"] == ATTENTION) & (rows["phase"] != PROMPT_ONLY)]
    attention = attention[(attention["borrowed"] == 0.0) & (attention["state"] == 0.0)]
    of_heads = attention["kv_heads"] * (attention["head_dim"] + attention["value_dim"])
    elements = np.where(attention["latent"] > 0.0, attention["latent"], of_heads)
    elements = elements / np.maximum(1.0, attention["stride"])
    per_token = attention["repeat"] * elements * attention["kv_bits"] / _BITS_PER_BYTE
    reach = np.where(attention["chosen"] > 0.0, 0.0, np.abs(attention["window"]))
    windows = np.unique(reach[reach > 0.0])
    windowed = tuple((int(window), float(per_token[reach == window].sum())) for window in windows)
    states = float((rows["repeat"] * rows["state"]).sum())
    return Footprint(weights, float(per_token.sum()), usable - weights, windowed, states)


def weight_bytes(rows: np.ndarray, model: Model, plan: Plan) -> float:
    """Bytes of the weights that one rank stores: its shards, its part of the embedding, norms, further tables."""
    linear = rows[rows["kind"] == LINEAR]
    stored = linear["repeat"] * linear["stored"] * linear["n"] * linear["k"]
    matrices = float((stored * linear["weight_bits"]).sum()) / _BITS_PER_BYTE
    norms = rows[(rows["kind"] == VECTOR) & (rows["op"] == NORM)]
    vectors = float((norms["repeat"] * norms["n"]).sum()) * _HALF_BYTES
    embedding, gather = 0.0, rows[rows["kind"] == GATHER]
    if not model.tied_embeddings:
        embedding = share_of(model.vocab, plan.tensor_parallel) * float(gather["n"].sum()) * _HALF_BYTES
    tables = bool(len(gather)) * (model.lookups + model.vectors - model.hidden) * _HALF_BYTES
    return matrices + vectors + embedding + tables


def _copied_bytes(rows: np.ndarray) -> float:
    """Bytes of the layers' weights that are in memory twice, for the host and for PIM units."""
    products = rows[(rows["kind"] == LINEAR) & (rows["matrices"] == 0.0) & (rows["op"] != LM_HEAD)]
    elements = products["repeat"] * products["stored"] * products["n"] * products["k"]
    return float((elements * products["weight_bits"]).sum()) / _BITS_PER_BYTE
