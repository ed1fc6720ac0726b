"""Attention of families whose layers the common keys do not describe."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.attention import Attention
from npusim.workload.attention_keys import read_attention
from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.layers import Mixer


def falcon_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """Falcon: `num_kv_heads` counts under the new decoder architecture; before it, one KV head or one a query head."""
    heads = config.size("num_attention_heads")
    if config.flag("new_decoder_architecture"):
        kv_heads = config.size("num_key_value_heads")
    else:
        kv_heads = 1 if config.flag("multi_query") else heads
    return (read_attention(config, family, heads, kv_heads, 0),) * layers


def hunyuan_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """Hunyuan: with cross-layer attention the first of `cla_share_factor` layers keeps the keys and values of all.

    Brandon et al., "Reducing Transformer Key-Value Cache Size with Cross-Layer Attention", arXiv 2405.12981.
    """
    heads = config.size("num_attention_heads")
    own = read_attention(config, family, heads, config.optional_size("num_key_value_heads") or heads, 0)
    period = config.whole("cla_share_factor")
    if not config.flag("use_cla") or period <= 1:
        return (own,) * layers
    borrowed = replace(own, borrows=True)
    return tuple(borrowed if at % period else own for at in range(layers))


def mimo_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """MiMo-V2: layers with a window have heads of their own, and sinks."""
    made: dict[int, Attention] = {}
    windows = family.windows(config, layers)
    for window in set(windows):
        prefix = "swa_" if window and config.get("swa_head_dim") else ""
        heads = config.size(f"{prefix}num_attention_heads")
        kv_heads = config.size(f"{prefix}num_key_value_heads")
        sinks = config.flag("add_swa_attention_sink_bias" if window else "add_full_attention_sink_bias")
        made[window] = replace(
            read_attention(config, family, heads, kv_heads, window),
            head_dim=config.size(f"{prefix}head_dim"),
            value_dim=config.size(f"{prefix}v_head_dim"),
            sinks=int(sinks),
        )
    return tuple(made[window] for window in windows)
