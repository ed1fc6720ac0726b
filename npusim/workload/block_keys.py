"""Experts and latent attention from the keys of a Hugging Face configuration, in the spellings of their families."""

from __future__ import annotations

from npusim.workload.blocks import Experts, Latent
from npusim.workload.config_file import ConfigFile
from npusim.workload.routing import Skew, shipped_skew

COUNT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts")
LATENT_KEYS = ("kv_lora_rank", "q_lora_rank")
_CHOSEN_KEYS = ("num_experts_per_tok", "experts_per_token")
_SHARED_KEYS = ("n_shared_experts", "num_shared_experts")
# Beyond these a model is mistaken.
MOST_EXPERTS = 16_384
_MOST_EXPONENT, _MOST_SPAN = 10, 10**6
_PERIOD_KEYS = ("decoder_sparse_step", "moe_layer_freq")


def read_experts(config: ConfigFile, biased: bool, router_bias: bool) -> Experts:
    """The experts of a family that has them; their width is the MLP's where no other is given. Raises UserError."""
    count, chosen = config.size(_first(config, COUNT_KEYS), MOST_EXPERTS), config.size(_first(config, _CHOSEN_KEYS))
    if chosen > count:
        raise config.mistake(_first(config, _CHOSEN_KEYS), f"{chosen} experts of {count} cannot be chosen")
    width = config.optional_size("moe_intermediate_size") or config.size("intermediate_size")
    own = config.optional_size("shared_expert_intermediate_size")
    shared = next((config.whole(key) for key in _SHARED_KEYS if config.get(key) is not None), 0)
    return Experts(
        count=count,
        chosen=chosen,
        width=width,
        shared_width=own or shared * width,
        shared_gate=own is not None,
        router_bias=router_bias,
        biased=biased,
        skew=_skew(config),
    )


def read_dense_layers(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """Layers (from 0) that have an MLP in place of experts. Raises UserError."""
    first = config.whole("first_k_dense_replace") if config.get("first_k_dense_replace") is not None else 0
    period = next((config.size(key) for key in _PERIOD_KEYS if config.get(key) is not None), 1)
    listed = config.get("mlp_only_layers") or []
    if not isinstance(listed, list) or not all(type(at) is int and 0 <= at < layers for at in listed):
        raise config.mistake("mlp_only_layers", f"must be a list of layers from 0 to {layers - 1}")
    offset = 1 if config.get("decoder_sparse_step") is not None else 0
    plain = frozenset(listed)
    return tuple(at for at in range(layers) if at < first or at in plain or (at + offset) % period)


def read_latent(config: ConfigFile) -> Latent:
    """The latents of a family with MLA. Raises UserError."""
    return Latent(
        kv_rank=config.size("kv_lora_rank"),
        query_rank=config.optional_size("q_lora_rank") or 0,
        nope=config.size("qk_nope_head_dim"),
        rope=config.size("qk_rope_head_dim"),
        value=config.size("v_head_dim"),
    )


def _first(config: ConfigFile, keys: tuple[str, ...]) -> str:
    """The key among the spellings that the file uses, the first spelling where it uses none."""
    return next((key for key in keys if config.get(key) is not None), keys[0])


def _skew(config: ConfigFile) -> Skew:
    """`npusim.expert_skew` with exponent and span, else the shipped assumption."""
    own = config.get("npusim")
    given = own.get("expert_skew") if isinstance(own, dict) else None
    if given is None:
        return shipped_skew()
    numbers = isinstance(given, dict) and set(given) == {"exponent", "span"}
    numbers = numbers and all(type(value) in (int, float) for value in given.values())
    if not numbers or not (1 <= given["span"] <= _MOST_SPAN and 0 <= given["exponent"] <= _MOST_EXPONENT):
        what = f"must give exponent (0 to {_MOST_EXPONENT}) and span (1 to {_MOST_SPAN:,}), both numbers"
        raise config.mistake("npusim.expert_skew", what)
    return Skew(float(given["exponent"]), float(given["span"]))
