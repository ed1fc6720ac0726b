"""MLPs and experts of families whose layers the common keys do not describe."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.feed_keys import read_dense_layers, read_experts, read_mlp
from npusim.workload.layers import Feed


def llama4_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """Llama 4: experts beside a shared one as wide; dense layers have a width of their own."""
    experts = read_experts(config, family)
    experts = replace(experts, shared_width=experts.width)
    dense = read_dense_layers(config, layers)
    mlp = read_mlp(config, family, config.size("intermediate_size_mlp")) if dense else None
    return tuple(mlp if mlp is not None and at in dense else experts for at in range(layers))


def grok_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """Grok and Arctic: an MLP beside the experts where the file says so; dense layers are as wide as that MLP."""
    experts = read_experts(config, family)
    beside = 0
    if config.flag("residual_moe"):
        beside = config.size("intermediate_size")
    elif config.flag("parallel_attn_mlp_res"):
        beside = config.size("hidden_size")
    routed, dense = replace(experts, shared_width=beside), read_dense_layers(config, layers)
    mlp = read_mlp(config, family, beside or config.size("intermediate_size")) if dense else None
    return tuple(mlp if mlp is not None and at in dense else routed for at in range(layers))


def longcat_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """LongCat-Flash: each layer has two MLPs, and experts beside the first; some choices lead to no expert."""
    dense = read_mlp(config, family, config.size("intermediate_size"))
    experts = read_experts(config, family)
    beside = replace(experts, shared_width=dense.width, zeros=config.whole("zero_expert_num"))
    return tuple(dense if at % 2 else beside for at in range(layers))
