"""Memory of one rank: weights, KV cache per token, and how many tokens of KV the rest can hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.mapping.lower import stage_programs
from npusim.mapping.optable import ATTENTION, GATHER, LINEAR, LM_HEAD, NORM, PROMPT_ONLY, VECTOR
from npusim.mapping.plan import Plan, shard
from npusim.workload.model import Model
from npusim.workload.precision import Precision

_BITS_PER_BYTE = 8.0
_HALF_BYTES = 2.0


@dataclass(frozen=True)
class Footprint:
    """Bytes of one rank.

    available_bytes: for the KV cache, beside weights, reserve and workspace (may be < 0); kv_bytes_per_token: of all
    layers; windows: of layers that keep no more than a window, (tokens, bytes per token), the smallest first.
    """

    weight_bytes: float
    kv_bytes_per_token: float
    available_bytes: float
    windows: tuple[tuple[int, float], ...] = ()

    @property
    def kv_tokens(self) -> int:
        """Longest context of one sequence whose KV cache fits (may be < 0)."""
        per_token, room = self.kv_bytes_per_token, self.available_bytes
        for window, windowed in self.windows:
            if room <= window * per_token:
                break
            room -= window * windowed
            per_token -= windowed
        return int(np.floor(room / per_token)) if per_token > 0.0 else sys.maxsize

    @property
    def window_shares(self) -> tuple[tuple[int, float], ...]:
        """(tokens, share of kv_bytes_per_token) of layers that keep no more than a window."""
        return tuple((window, windowed / self.kv_bytes_per_token) for window, windowed in self.windows)

    def kv_bytes(self, tokens: int) -> float:
        """Bytes of KV cache of one sequence of `tokens`."""
        beyond = sum(windowed * max(0, tokens - window) for window, windowed in self.windows)
        return tokens * self.kv_bytes_per_token - beyond


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
    of_heads = attention["kv_heads"] * (attention["head_dim"] + attention["value_dim"])
    elements = np.where(attention["latent"] > 0.0, attention["latent"], of_heads)
    per_token = attention["repeat"] * elements * attention["kv_bits"] / _BITS_PER_BYTE
    windows = np.unique(attention["window"][attention["window"] > 0.0])
    windowed = tuple((int(window), float(per_token[attention["window"] == window].sum())) for window in windows)
    return Footprint(weights, float(per_token.sum()), usable - weights, windowed)


def weight_bytes(rows: np.ndarray, model: Model, plan: Plan) -> float:
    """Bytes of the weights that one rank stores: its shards, its part of the embedding, all norms."""
    linear = rows[rows["kind"] == LINEAR]
    stored = linear["repeat"] * linear["stored"] * linear["n"] * linear["k"]
    matrices = float((stored * linear["weight_bits"]).sum()) / _BITS_PER_BYTE
    norms = rows[(rows["kind"] == VECTOR) & (rows["op"] == NORM)]
    vectors = float((norms["repeat"] * norms["n"]).sum()) * _HALF_BYTES
    embedding = 0.0
    if not model.tied_embeddings:
        gather = rows[rows["kind"] == GATHER]
        embedding = shard(model, plan).vocab * float(gather["n"].sum()) * _HALF_BYTES
    return matrices + vectors + embedding


def _copied_bytes(rows: np.ndarray) -> float:
    """Bytes of the layers' weights that are in memory twice, for the host and for PIM units."""
    products = rows[(rows["kind"] == LINEAR) & (rows["matrices"] == 0.0) & (rows["op"] != LM_HEAD)]
    elements = products["repeat"] * products["stored"] * products["n"] * products["k"]
    return float((elements * products["weight_bits"]).sum()) / _BITS_PER_BYTE
