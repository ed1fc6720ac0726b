"""Attention of families whose layers the common keys do not describe."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.attention import Attention
from npusim.workload.attention_keys import attention_of, read_attention
from npusim.workload.config_file import MOST_SIZE, ConfigFile
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


def gemma4_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """Gemma 4 and 3n: global layers may have heads of their own, the last ones borrow keys and values."""
    windows = family.windows(config, layers)
    heads, kv_heads = config.size("num_attention_heads"), config.size("num_key_value_heads")
    near = read_attention(config, family, heads, kv_heads, max(windows, default=0))
    own_keys = _of_some_layer(config, "per_layer_config")
    far_dim = own_keys.get("head_dim") or config.optional_size("global_head_dim") or near.head_dim
    joint = config.flag("attention_k_eq_v")
    far_heads = own_keys.get("num_key_value_heads") or config.optional_size("num_global_key_value_heads") or kv_heads
    far = replace(
        near,
        window=0,
        head_dim=far_dim,
        value_dim=far_dim,
        kv_heads=far_heads if joint else kv_heads,
        norms=2 * far_dim,
        joint=joint,
    )
    own = layers - min(layers, config.whole("num_kv_shared_layers"))
    mixers = [near if window else far for window in windows]
    return tuple(
        mixer if at < own else replace(mixer, borrows=True, joint=False, norms=mixer.head_dim)
        for at, mixer in enumerate(mixers)
    )


def _of_some_layer(config: ConfigFile, key: str) -> dict[str, int]:
    """Sizes that the object `key` has for some layers by their numbers, the same for all of them; Raises UserError."""
    given = list(config.part(key).values())
    if not given:
        return {}
    sizes = given[0]
    if not isinstance(sizes, dict) or any(one != sizes for one in given):
        raise config.mistake(key, "must have the same sizes for each layer that it names")
    if not all(type(size) is int and 0 < size <= MOST_SIZE for size in sizes.values()):
        raise config.mistake(key, "must hold positive whole numbers")
    return sizes


def step_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """Step 3.5: layers with a window may have more heads; a number for each head gates its result."""
    windows = family.windows(config, layers)
    far = attention_of(config, family)
    near = config.optional_size("num_sliding_attention_heads") or config.optional_size(
        "attention_other_setting.num_attention_heads"
    )
    kv_heads = config.optional_size("attention_other_setting.num_attention_groups") or far.kv_heads
    made = {window: replace(far, window=window, gate=far.heads) for window in set(windows)}
    for window in made.keys() - {0}:
        heads = near or far.heads
        made[window] = replace(made[window], heads=heads, kv_heads=kv_heads, gate=heads)
    return tuple(made[window] for window in windows)


def laguna_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """Laguna: heads of each layer, and a number for each that gates its result."""
    windows, kv_heads = family.windows(config, layers), config.size("num_key_value_heads")
    listed = config.get("num_attention_heads_per_layer") is not None
    heads = config.each("num_attention_heads_per_layer" if listed else "num_attention_heads", layers)
    made: dict[tuple[int, int], Attention] = {}
    for count, window in set(zip(heads, windows, strict=True)):
        made[count, window] = replace(read_attention(config, family, count, kv_heads, window), gate=count)
    return tuple(made[key] for key in zip(heads, windows, strict=True))
