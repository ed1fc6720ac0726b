"""Reads a Hugging Face `config.json` of a dense model family as a Model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.workload.attention_windows import late_windows, no_windows, one_window, patterned_windows
from npusim.workload.config_file import ConfigFile
from npusim.workload.model import Model


@dataclass(frozen=True)
class Family:
    """What a `model_type` implies that its config.json does not say.

    biased_qkv: q, k and v have biases; bias_keys: `attention_bias` (q, k, v, o) and `mlp_bias` are heeded;
    grouped: `num_key_value_heads` must be given; elsewhere it defaults to the query heads.
    """

    architecture: str
    windows: Callable[[ConfigFile, int], tuple[int, ...]] = no_windows
    layers_key: str = "num_hidden_layers"
    qk_norm: bool = False
    biased_qkv: bool = False
    bias_keys: bool = False
    grouped: bool = True


FAMILIES = {
    "llama": Family("LlamaForCausalLM", bias_keys=True, grouped=False),
    "exaone": Family("ExaoneForCausalLM", layers_key="num_layers", grouped=False),
    "exaone4": Family("Exaone4ForCausalLM", windows=patterned_windows, qk_norm=True),
    "qwen3": Family("Qwen3ForCausalLM", windows=late_windows, qk_norm=True, bias_keys=True),
    "qwen2": Family("Qwen2ForCausalLM", windows=late_windows, biased_qkv=True),
    "mistral": Family("MistralForCausalLM", windows=one_window),
}

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size")
_LATENT_KEYS = ("kv_lora_rank", "q_lora_rank")


@dataclass(frozen=True)
class Description:
    """The `npusim` key of a shipped file: what a config.json does not hold."""

    title: str
    aliases: tuple[str, ...]
    published_parameters: float | None
    source: str
    notes: tuple[str, ...]


def read_model(path: Path, name: str) -> Model:
    """The model of the config.json at `path`, called `name`. Raises UserError naming file and key."""
    config = ConfigFile(path)
    family_name = _family_name(config)
    family = FAMILIES[family_name]
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    layers = config.size(family.layers_key)
    about = read_description(config, name)
    biased = family.bias_keys and config.flag("attention_bias")
    return Model(
        name=name,
        title=about.title,
        family=family_name,
        hidden=hidden,
        layers=layers,
        intermediate=config.size("intermediate_size"),
        heads=heads,
        kv_heads=_kv_heads(config, heads, family.grouped),
        head_dim=_head_dim(config, hidden, heads),
        vocab=config.size("vocab_size"),
        max_context=config.size("max_position_embeddings"),
        tied_embeddings=config.flag("tie_word_embeddings"),
        qk_norm=family.qk_norm,
        attention_bias=family.biased_qkv or biased,
        output_bias=biased,
        mlp_bias=family.bias_keys and config.flag("mlp_bias"),
        windows=family.windows(config, layers),
        published_parameters=about.published_parameters,
        source=about.source,
        notes=about.notes,
    )


def read_description(config: ConfigFile, name: str) -> Description:
    """The `npusim` key; a file without one is titled by its name and is its own source."""
    given = config.get("npusim") or {}
    if not isinstance(given, dict):
        raise config.mistake("npusim", "must be an object, e.g. with title and source")
    billions = given.get("published_parameters_b")
    valid = isinstance(billions, int | float) and not isinstance(billions, bool)
    if billions is not None and not (valid and billions > 0 and math.isfinite(billions)):
        raise config.mistake("npusim.published_parameters_b", f"'{billions}' is not a positive number")
    return Description(
        title=_text(config, given, "title", name),
        aliases=_texts(config, given, "aliases"),
        published_parameters=None if billions is None else round(billions * 1e9),
        source=_text(config, given, "source", str(config.path)),
        notes=_texts(config, given, "notes"),
    )


def _family_name(config: ConfigFile) -> str:
    for key in _LATENT_KEYS + _EXPERT_KEYS:
        if config.get(key):
            kind = "multi-head latent attention (MLA)" if key in _LATENT_KEYS else "mixture-of-experts"
            raise config.mistake(key, f"is a {kind} model; dense models are handled")
    model_type, architectures = config.get("model_type"), config.get("architectures")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return model_type
    if model_type is None and isinstance(architectures, list):
        for name, family in FAMILIES.items():
            if family.architecture in architectures:
                return name
    key, given = ("model_type", model_type) if model_type is not None else ("architectures", architectures)
    known = ", ".join(FAMILIES)
    if given is None:
        raise config.mistake("model_type", f"this key is missing; add one of: {known}")
    raise config.mistake(key, f"unknown model family '{given}'; known: {known}")


def _kv_heads(config: ConfigFile, heads: int, required: bool) -> int:
    key = "num_key_value_heads"
    kv_heads = config.size(key) if required or config.get(key) is not None else heads
    if heads % kv_heads:
        raise config.mistake(key, f"the {heads} query heads must be a multiple of the {kv_heads} KV heads")
    return kv_heads


def _head_dim(config: ConfigFile, hidden: int, heads: int) -> int:
    given = config.optional_size("head_dim")
    if given is not None:
        return given
    if hidden % heads:
        raise config.mistake("head_dim", f"hidden_size {hidden} is no multiple of {heads} heads; add it")
    return hidden // heads


def _text(config: ConfigFile, given: dict[str, Any], key: str, default: str) -> str:
    value = given.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise config.mistake(f"npusim.{key}", "must be a text")
    return value


def _texts(config: ConfigFile, given: dict[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise config.mistake(f"npusim.{key}", "must be a list of texts")
    return tuple(value)
