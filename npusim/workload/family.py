"""What a `model_type` implies that its config.json does not say: a row of the table of families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from npusim.workload.attention_windows import Windows, no_windows
from npusim.workload.config_file import ConfigFile
from npusim.workload.layers import Feed, Mixer
from npusim.workload.recurrent_keys import StateReader

Switch = bool | str
"""True, false, or the key of the file that says so."""
PER_HEAD, WHOLE, EACH_HEAD = "per head", "whole", "each head"
"""Norms of queries and keys: one of a head's elements for all heads, one of all heads' elements, one for each head."""


@dataclass(frozen=True)
class Family:
    """architectures: names of its classes; keys: spellings of keys that differ from the common ones; defaults: values
    of keys that its class has where the file leaves them out; unused: keys of its class that need not be read.

    Attention: windows, how far layers look back; qk_norm, its kind (a key in qk_norm_key says whether it is there);
    qkv_bias, output_bias; grouped: `num_key_value_heads` must be given, elsewhere it defaults to the query heads;
    multi_query: the key that says that all queries share one head of keys and values; latent: attention is MLA; sinks:
    attention sinks of a head; gate: whether a projection gates each element of the result, or the key that says so;
    head_gate: the key that says that it gates each head's result; mixers: makes the mixers of all layers where these
    words do not do.
    Feeds: gated, mlp_bias; widening: width of the MLP by the hidden size where the file tells none; routed: layers have
    experts (where may_be_dense, those of files with a number of experts), whose router has a bias (router_bias) and
    whose matrices have (biased_experts); feeds: makes those of all layers.
    Layers: halves, those that the file counts as one; norms (or norms_key, the key that tells them), further_norms (or
    the key that says that there are two) as Layer has them; shared_norm: parallel parts share one norm; norm_vectors:
    weights of a norm for each element; parallel; beside: makes a state beside the attention of each layer; side: keys
    of the widths of low-rank products beside each layer; streams: the key of the number of residual streams.
    Tables: positions, the key of the learned positions; offset, further rows of theirs; embedding_norms; head_bias.
    modules: names of a part's modules below a layer, where the usual ones would be taken for others.
    """

    architectures: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    windows: Windows = no_windows
    qk_norm: str = ""
    qk_norm_key: str = ""
    qkv_bias: Switch = False
    output_bias: Switch = False
    grouped: bool = False
    multi_query: str = ""
    latent: bool = False
    sinks: int = 0
    gate: Switch = False
    head_gate: str = ""
    mixers: Callable[[ConfigFile, Family, int], tuple[Mixer | None, ...]] | None = None
    gated: Switch = True
    widening: int = 0
    mlp_bias: Switch = False
    routed: bool = False
    may_be_dense: bool = False
    router_bias: Switch = False
    biased_experts: bool = False
    feeds: Callable[[ConfigFile, Family, int], tuple[Feed | None, ...]] | None = None
    halves: int = 1
    norms: int = 2
    norms_key: str = ""
    shared_norm: bool = False
    further_norms: int | str = 0
    norm_vectors: int = 1
    parallel: Switch = False
    beside: StateReader | None = None
    side: tuple[str, ...] = ()
    streams: str = ""
    positions: str = ""
    offset: int = 0
    embedding_norms: int = 0
    head_bias: Switch = False
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def told(config: ConfigFile, switch: Switch) -> bool:
    """Whether a switch is on."""
    return config.flag(switch) if isinstance(switch, str) else switch
