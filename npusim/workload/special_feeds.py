"""MLPs and experts of families whose layers the common keys do not describe."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.feed_keys import has_experts, read_dense_layers, read_experts, read_feeds, read_mlp
from npusim.workload.feeds import Mlp
from npusim.workload.hybrid_mixers import roles
from npusim.workload.layers import Feed

_MOST_TIMES = 100
"""No MLP is wider than so many hidden sizes."""


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


def role_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed | None, ...]:
    """Nemotron-H: layers that are one part each."""
    pattern = roles(config, layers)
    parts: dict[str, Feed | None] = {"M": None, "*": None}
    parts["-"] = read_mlp(config, family, config.size("intermediate_size")) if "-" in pattern else None
    parts["E"] = read_experts(config, family) if "E" in pattern else None
    return tuple(parts[letter] for letter in pattern)


def no_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed | None, ...]:
    """Layers that mix tokens alone."""
    return (None,) * layers


def shared_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """Granite 4: an MLP in every layer, with experts beside it where the file has any."""
    if has_experts(config, family):
        return (read_experts(config, family),) * layers
    return (read_mlp(config, family, config.size("shared_width")),) * layers


def periodic_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """Jamba: experts by period and offset."""
    mlp = read_mlp(config, family, config.size("intermediate_size"))
    if config.get("num_experts") == 1:
        return (mlp,) * layers
    period, offset = config.size("expert_layer_period"), config.whole("expert_layer_offset")
    experts = read_experts(config, family)
    return tuple(experts if at % period == offset else mlp for at in range(layers))


def gemma4_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """Gemma 4 and 3n: experts beside an MLP; layers without keys of their own may be twice as wide."""
    if config.flag("enable_moe_block"):
        return (replace(read_experts(config, family), shared_width=config.size("intermediate_size")),) * layers
    widths = config.each("intermediate_size", layers)
    own = layers - min(layers, config.whole("num_kv_shared_layers"))
    doubled = 2 if config.flag("use_double_wide_mlp") else 1
    widths = tuple(width if at < own else width * doubled for at, width in enumerate(widths))
    mlps = {width: read_mlp(config, family, width) for width in set(widths)}
    return tuple(mlps[width] for width in widths)


def adjusted_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed | None, ...]:
    """LFM2: two thirds of the width that the file tells, in whole blocks, where it says that it is to be adjusted."""
    feeds = read_feeds(config, replace(family, feeds=None), layers)
    if not config.flag("block_auto_adjust_ff_dim"):
        return feeds
    multiple = config.size("block_multiple_of")
    adjusted = {
        feed: replace(feed, width=-(-int(2 * feed.width / 3) // multiple) * multiple)
        for feed in set(feeds)
        if isinstance(feed, Mlp)
    }
    return tuple(adjusted[feed] if isinstance(feed, Mlp) else feed for feed in feeds)


def openelm_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed, ...]:
    """OpenELM: a multiplier of the width for each layer, in multiples of `ffn_dim_divisor`."""
    given, hidden, multiple = config.get("ffn_multipliers"), config.size("hidden_size"), config.size("ffn_dim_divisor")
    good = isinstance(given, list) and len(given) == layers
    if not good or not all(type(one) in (int, float) and 0 < one <= _MOST_TIMES for one in given):
        raise config.mistake("ffn_multipliers", f"must be a list of a positive number for each of the {layers} layers")
    widths = [max(multiple, int(one * hidden + multiple / 2) // multiple * multiple) for one in given]
    mlps = {width: read_mlp(config, family, width) for width in set(widths)}
    return tuple(mlps[width] for width in widths)
