"""Indexers and compressed attention from the keys of a Hugging Face configuration."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.attention import Latent
from npusim.workload.attention_keys import attention_of, read_latent
from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.layers import Mixer
from npusim.workload.sparse import Compressed, Indexer

_FULL, _SHARED = "full", "shared"
_SELECTIVE = 4
"""DeepSeek-V4 chooses among tokens that are compressed at this rate, and overlaps their groups."""
_CHOOSES = ("indexed_attention", "minimax_m3_sparse")
_RATES = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
"""Tokens that are compressed to one by the words of `layer_types` (DeepSeek-V4, configuration class)."""


def read_indexer(config: ConfigFile, inner: int) -> Indexer:
    """The lightning indexer of DeepSeek-V3.2 and GLM-5, whose key has a norm with a bias. Raises UserError."""
    dim = config.size("index_head_dim")
    return Indexer(config.size("index_n_heads"), dim, config.size("index_topk"), inner, vectors=2 * dim)


def indexed_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Latent, ...]:
    """Latent attention with an indexer; `indexer_types` says which layers take an earlier one's choice."""
    latent = read_latent(config)
    indexer = read_indexer(config, latent.query_rank or config.size("hidden_size"))
    own = replace(latent, indexer=indexer)
    if config.get("indexer_types") is None:
        return (own,) * layers
    borrowed = replace(latent, indexer=replace(indexer, shared=True))
    words = config.words("indexer_types", layers, (_FULL, _SHARED))
    return tuple(own if word == _FULL else borrowed for word in words)


def gated_indexed_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Latent, ...]:
    """A.X K2: as `indexed_mixers`, where the product of the queries makes a gate of the result too."""
    return tuple(replace(mixer, query_gate=True) for mixer in indexed_mixers(config, family, layers))


def block_sparse_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """MiniMax-M3: from some layer on, an indexer chooses blocks of tokens by the best score in each."""
    attention = attention_of(config, family)
    sizes = {name: config.size(f"sparse_{name}") for name in ("heads", "dim", "blocks", "block")}
    dim, chosen = sizes["dim"], sizes["blocks"] * sizes["block"]
    indexer = Indexer(sizes["heads"], dim, chosen, config.size("hidden_size"), weighted=False, vectors=2 * dim)
    sparse = replace(attention, indexer=indexer)
    if config.get("layer_types") is not None:
        words = config.words("layer_types", layers, ("full_attention", *_CHOOSES))
        return tuple(sparse if word in _CHOOSES else attention for word in words)
    chooses = config.each("sparse_attention_config.sparse_attention_freq", layers, least=0)
    return tuple(sparse if flag else attention for flag in chooses)


def compressed_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer, ...]:
    """DeepSeek-V4: by `compress_ratios`, or by the words of `layer_types`."""
    if config.get("compress_ratios") is not None:
        rates = config.each("compress_ratios", layers, least=0)
    else:
        told = config.part("compress_rates")
        words = config.words("layer_types", layers, _RATES)
        rates = tuple(told.get(word, _RATES[word]) for word in words)
    made = {rate: _compressed(config, rate) for rate in set(rates)}
    return tuple(made[rate] for rate in rates)


def _compressed(config: ConfigFile, rate: int) -> Compressed:
    if type(rate) is not int or rate < 0:
        raise config.mistake("compress_rates", "must be whole numbers")
    rank, selects = config.size("q_lora_rank"), rate == _SELECTIVE
    return Compressed(
        heads=config.size("num_attention_heads"),
        head_dim=config.size("head_dim"),
        query_rank=rank,
        window=config.size("sliding_window"),
        rate=rate,
        groups=config.size("o_groups"),
        output_rank=config.size("o_lora_rank"),
        indexer=read_indexer(config, rank) if selects else None,
        overlap=selects,
    )
