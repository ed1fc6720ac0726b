"""The attention of every layer from the keys of a Hugging Face configuration."""

from __future__ import annotations

from npusim.workload.attention import Attention, Latent
from npusim.workload.config_file import ConfigFile
from npusim.workload.family import EACH_HEAD, PER_HEAD, WHOLE, Family, told
from npusim.workload.layers import Mixer


def read_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer | None, ...]:
    """What mixes the tokens of each layer. Raises UserError."""
    if family.mixers is not None:
        return family.mixers(config, family, layers)
    windows = family.windows(config, layers)
    if family.latent:
        latents = {window: read_latent(config, window) for window in set(windows)}
        return tuple(latents[window] for window in windows)
    heads = config.each("num_attention_heads", layers)
    kv_heads = _kv_heads(config, family, heads)
    made: dict[tuple[int, int, int], Attention] = {}
    for key in zip(heads, kv_heads, windows, strict=True):
        if key not in made:
            made[key] = read_attention(config, family, *key)
    return tuple(made[key] for key in zip(heads, kv_heads, windows, strict=True))


def attention_of(config: ConfigFile, family: Family) -> Attention:
    """The attention of a layer that attends all tokens. Raises UserError."""
    heads = config.size("num_attention_heads")
    (kv_heads,) = _kv_heads(config, family, (heads,))
    return read_attention(config, family, heads, kv_heads, 0)


def read_attention(config: ConfigFile, family: Family, heads: int, kv_heads: int, window: int) -> Attention:
    """The attention of a layer with these heads. Raises UserError."""
    head_dim = _head_dim(config, heads)
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=config.optional_size("v_head_dim") or head_dim,
        window=window,
        bias=told(config, family.qkv_bias),
        output_bias=told(config, family.output_bias),
        norms=_norms(config, family, heads, kv_heads, head_dim),
        sinks=family.sinks,
        gate=heads * head_dim if told(config, family.gate) else heads * told(config, family.head_gate or False),
        query_rank=config.whole("share_q_dim"),
    )


def read_latent(config: ConfigFile, window: int = 0) -> Latent:
    """The latents of a family with MLA. Raises UserError."""
    config.get("head_dim")
    return Latent(
        kv_rank=config.size("kv_lora_rank"),
        query_rank=config.whole("q_lora_rank"),
        nope=config.size("qk_nope_head_dim"),
        rope=config.size("qk_rope_head_dim"),
        value=config.size("v_head_dim"),
        heads=config.size("num_attention_heads"),
        window=window,
    )


def _norms(config: ConfigFile, family: Family, heads: int, kv_heads: int, head_dim: int) -> int:
    """Weights of the norms of queries and keys."""
    if not family.qk_norm or (family.qk_norm_key and not config.flag(family.qk_norm_key)):
        return 0
    return {PER_HEAD: 2, WHOLE: heads + kv_heads, EACH_HEAD: heads + kv_heads}[family.qk_norm] * head_dim


def _kv_heads(config: ConfigFile, family: Family, heads: tuple[int, ...]) -> tuple[int, ...]:
    if family.multi_query and config.flag(family.multi_query):
        return (1,) * len(heads)
    key = "num_key_value_heads"
    told_heads = family.grouped or config.get(key) is not None
    kv_heads = config.each(key, len(heads)) if told_heads else heads
    for of_queries, of_keys in zip(heads, kv_heads, strict=True):
        if of_queries % of_keys:
            raise config.mistake(key, f"the {of_queries} query heads must be a multiple of the {of_keys} KV heads")
    return kv_heads


def _head_dim(config: ConfigFile, heads: int) -> int:
    given = config.optional_size("head_dim")
    if given is not None:
        return given
    hidden = config.size("hidden_size")
    if hidden % heads:
        raise config.mistake("head_dim", f"hidden_size {hidden} is no multiple of {heads} heads; add it")
    return hidden // heads
