"""Reads a Hugging Face `config.json` as a Model: dense families, mixtures of experts, latent attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.ledger import Provenance, Quantity
from npusim.workload.attention_windows import late_windows, no_windows, one_window, patterned_windows
from npusim.workload.block_keys import COUNT_KEYS, LATENT_KEYS, read_dense_layers, read_experts, read_latent
from npusim.workload.config_file import ConfigFile
from npusim.workload.model import Model

_BILLION = 1e9
"""Parameters are published in billions."""


@dataclass(frozen=True)
class Family:
    """What a `model_type` implies that its config.json does not say.

    biased_qkv: q, k and v have biases; bias_keys: `attention_bias` (q, k, v, o) and `mlp_bias` are read;
    grouped: `num_key_value_heads` must be given; elsewhere it defaults to the query heads; routed: layers have experts,
    whose router has a bias (router_bias) and whose matrices have (biased_experts); latent: attention is MLA; sinks:
    attention sinks of a head.
    """

    architecture: str
    windows: Callable[[ConfigFile, int], tuple[int, ...]] = no_windows
    layers_key: str = "num_hidden_layers"
    qk_norm: bool = False
    biased_qkv: bool = False
    bias_keys: bool = False
    grouped: bool = True
    routed: bool = False
    router_bias: bool = False
    biased_experts: bool = False
    latent: bool = False
    sinks: int = 0


_DEEPSEEK: dict[str, Any] = {"grouped": False, "routed": True, "router_bias": True, "latent": True}
FAMILIES = {
    "llama": Family("LlamaForCausalLM", bias_keys=True, grouped=False),
    "exaone": Family("ExaoneForCausalLM", layers_key="num_layers", grouped=False),
    "exaone4": Family("Exaone4ForCausalLM", windows=patterned_windows, qk_norm=True),
    "qwen3": Family("Qwen3ForCausalLM", windows=late_windows, qk_norm=True, bias_keys=True),
    "qwen2": Family("Qwen2ForCausalLM", windows=late_windows, biased_qkv=True),
    "mistral": Family("MistralForCausalLM", windows=one_window),
    "mixtral": Family("MixtralForCausalLM", windows=one_window, routed=True),
    "qwen3_moe": Family("Qwen3MoeForCausalLM", windows=late_windows, qk_norm=True, bias_keys=True, routed=True),
    "gpt_oss": Family(
        "GptOssForCausalLM",
        windows=one_window,
        bias_keys=True,
        routed=True,
        router_bias=True,
        biased_experts=True,
        sinks=1,
    ),
    "exaone_moe": Family(
        "ExaoneMoEForCausalLM", windows=patterned_windows, qk_norm=True, routed=True, router_bias=True
    ),
    "solar_open": Family("SolarOpenForCausalLM", routed=True, router_bias=True),
    "deepseek_v3": Family("DeepseekV3ForCausalLM", **_DEEPSEEK),
    "axk1": Family("AXK1ForCausalLM", **_DEEPSEEK),
}

_KEYS = (
    "architectures", "model_type", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "num_hidden_layers", "num_layers", "intermediate_size", "vocab_size", "max_position_embeddings",
    "tie_word_embeddings", "attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "max_window_layers",
    "layer_types", "sliding_window_pattern", *COUNT_KEYS, "num_experts_per_tok", "experts_per_token",
    "n_shared_experts", "num_shared_experts", "decoder_sparse_step", "moe_layer_freq", "mlp_only_layers",
    "first_k_dense_replace", "moe_intermediate_size", "shared_expert_intermediate_size", *LATENT_KEYS,
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "quantization_config", "npusim",
)  # fmt: skip
"""Every key of a config.json that is read for some family."""
_PARTS = {
    "quantization_config": ("quant_method", "modules_to_not_convert"),
    "npusim": ("title", "aliases", "published_parameters_b", "published_active_b", "source", "notes", "assumptions",
               "expert_skew"),
}  # fmt: skip
_MOST_LAYERS, _MOST_PARAMETERS, _MOST_BILLIONS = 10_000, 10**15, 10**6
"""Beyond these a model is mistaken."""
_SINGLE_KEYS = (*COUNT_KEYS, "moe_intermediate_size")


_MLP_KEY = "intermediate_size"


@dataclass(frozen=True)
class NpusimKey:
    """The `npusim` key of a shipped file: what a config.json does not hold."""

    title: str
    aliases: tuple[str, ...]
    published_parameters: float | None
    published_active: float | None
    source: str
    notes: tuple[str, ...]


def read_model(path: Path, name: str) -> Model:
    """The model of the config.json at `path`, called `name`. Raises UserError naming file and key."""
    config = ConfigFile(path)
    _check_keys(config)
    family_name = _family_name(config)
    family = FAMILIES[family_name]
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    layers = config.size(family.layers_key, _MOST_LAYERS)
    about = read_description(config, name)
    biased = family.bias_keys and config.flag("attention_bias")
    latent = read_latent(config) if family.latent else None
    model = Model(
        name=name,
        title=about.title,
        family=family_name,
        hidden=hidden,
        layers=layers,
        intermediate=config.optional_size("intermediate_size") or 0 if family.routed else config.size(_MLP_KEY),
        heads=heads,
        kv_heads=heads if latent else _kv_heads(config, heads, family.grouped),
        head_dim=latent.query if latent else _head_dim(config, hidden, heads),
        vocab=config.size("vocab_size"),
        max_context=config.size("max_position_embeddings"),
        tied_embeddings=config.flag("tie_word_embeddings"),
        qk_norm=family.qk_norm,
        attention_bias=family.biased_qkv or biased,
        output_bias=biased,
        mlp_bias=family.bias_keys and config.flag("mlp_bias"),
        windows=family.windows(config, layers),
        **_routed_parts(config, family, layers),
        latent=latent,
        sinks=family.sinks,
        published_parameters=about.published_parameters,
        published_active=about.published_active,
        assumptions=_assumptions(config, name),
        source=about.source,
        notes=about.notes,
    )
    if model.parameters > _MOST_PARAMETERS:
        raise config.mistake("", f"describes {model.parameters:.3g} parameters, more than any machine holds")
    return model


def _check_keys(config: ConfigFile) -> None:
    """Raises UserError for a key that is misspelt: a key that npusim overlooked would make it another model."""
    config.refuse_near_misses(_KEYS)
    for part, known in _PARTS.items():
        if isinstance(config.get(part), dict):
            config.refuse_near_misses(known, part)
    own = config.get("npusim")
    strange = next((key for key in own if key not in _PARTS["npusim"]), None) if isinstance(own, dict) else None
    if strange is not None:
        raise config.mistake(f"npusim.{strange}", f"unknown key; known: {', '.join(_PARTS['npusim'])}")


def _routed_parts(config: ConfigFile, family: Family, layers: int) -> dict[str, Any]:
    """Experts, the layers without them, and the format in which the maker stores the experts alone."""
    if not family.routed:
        return {}
    dense = read_dense_layers(config, layers)
    if dense:
        config.size(_MLP_KEY)
    return {
        "experts": read_experts(config, family.biased_experts, family.router_bias),
        "dense_layers": dense,
        "experts_only": _experts_only(config),
    }


def _experts_only(config: ConfigFile) -> str:
    """The weight format of `quantization_config` where that leaves attention unconverted, else ""."""
    given = config.get("quantization_config") or {}
    if not isinstance(given, dict):
        raise config.mistake("quantization_config", "must be an object")
    method, kept = given.get("quant_method"), given.get("modules_to_not_convert") or []
    if not isinstance(kept, list):
        raise config.mistake("quantization_config.modules_to_not_convert", "must be a list of names of modules")
    return str(method) if any("self_attn" in str(module) for module in kept) else ""


def _assumptions(config: ConfigFile, name: str) -> tuple[Provenance, ...]:
    """`npusim.assumptions`: keys of the file that were not found, with low, high and the reason for the value."""
    given = (config.get("npusim") or {}).get("assumptions", {})
    if not isinstance(given, dict):
        raise config.mistake("npusim.assumptions", "must be an object of keys, each with low, high and reason")
    made = []
    for key, words in given.items():
        if not isinstance(words, dict) or set(words) != {"low", "high", "reason"}:
            raise config.mistake(f"npusim.assumptions.{key}", "must give low, high and reason")
        value, low, high = config.size(key), words["low"], words["high"]
        if not (type(low) is int and type(high) is int and low <= value <= high):
            raise config.mistake(f"npusim.assumptions.{key}", f"low and high must enclose {value}")
        quantity = Quantity(
            value=value, unit="", kind="assumed", source=str(words["reason"]), low=low, high=high, text=str(value)
        )
        made.append(Provenance(name, key, quantity))
    return tuple(made)


def read_description(config: ConfigFile, name: str) -> NpusimKey:
    """The `npusim` key; a file without one is titled by its name and is its own source."""
    given = config.get("npusim") or {}
    if not isinstance(given, dict):
        raise config.mistake("npusim", "must be an object, e.g. with title and source")
    return NpusimKey(
        title=_text(config, given, "title", name),
        aliases=_texts(config, given, "aliases"),
        published_parameters=_billions(config, given, "published_parameters_b"),
        published_active=_billions(config, given, "published_active_b"),
        source=_text(config, given, "source", str(config.path)),
        notes=_texts(config, given, "notes"),
    )


def _billions(config: ConfigFile, given: dict[str, Any], key: str) -> float | None:
    billions = given.get(key)
    if billions is None:
        return None
    valid = isinstance(billions, int | float) and not isinstance(billions, bool)
    if not (valid and 0 < billions < _MOST_BILLIONS):
        raise config.mistake(f"npusim.{key}", f"'{billions}' is not a positive number")
    return round(billions * _BILLION)


def _family_name(config: ConfigFile) -> str:
    """The family that model_type or architectures names, and whose kind of layer the file describes."""
    name = _named_family(config)
    for keys, has, kind in (
        (LATENT_KEYS, FAMILIES[name].latent, "multi-head latent attention (MLA)"),
        (_SINGLE_KEYS, FAMILIES[name].routed, "a mixture of experts"),
    ):
        key = next((key for key in keys if config.get(key)), None)
        if key is not None and not has:
            raise config.mistake(key, f"is a key of {kind}, which models of type {name} do not have; give their type")
    return name


def _named_family(config: ConfigFile) -> str:
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
