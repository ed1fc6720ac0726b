"""MLPs and experts of every layer from the keys of a Hugging Face configuration, in the spellings of their families."""

from __future__ import annotations

from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family, told
from npusim.workload.feeds import Experts, Mlp
from npusim.workload.layers import Feed
from npusim.workload.routing import Skew, shipped_skew

# Beyond these a model is mistaken.
MOST_EXPERTS = 16_384
_MOST_EXPONENT, _MOST_SPAN = 10, 10**6
_MLP = "intermediate_size"
_ROUTED, _DENSE = "sparse", "dense"


def read_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed | None, ...]:
    """What the tokens of each layer go through after its attention. Raises UserError."""
    if family.feeds is not None:
        return family.feeds(config, family, layers)
    routed = has_experts(config, family)
    dense = read_dense_layers(config, layers) if routed else frozenset(range(layers))
    widths = _widths(config, family, layers) if dense else (0,) * layers
    mlps = {width: read_mlp(config, family, width) for width in set(widths) if width}
    experts = read_experts(config, family) if routed else None
    return tuple(mlps[widths[at]] if at in dense else experts for at in range(layers))


def _widths(config: ConfigFile, family: Family, layers: int) -> tuple[int, ...]:
    """Width of the MLP of each layer."""
    if config.get(_MLP) is None and family.widening:
        return ((config.optional_size("expansion_ratio") or family.widening) * config.size("hidden_size"),) * layers
    return config.each(_MLP, layers)


def has_experts(config: ConfigFile, family: Family) -> bool:
    """Whether layers have experts: the file of a family that may have them can say that there is none."""
    told = config.get("num_experts") is not None
    return family.routed and (config.whole("num_experts") > 0 if told else not family.may_be_dense)


def read_mlp(config: ConfigFile, family: Family, width: int) -> Mlp:
    """An MLP of the family. Raises UserError."""
    return Mlp(width, told(config, family.gated), told(config, family.mlp_bias))


def read_experts(config: ConfigFile, family: Family) -> Experts:
    """The experts of a family that has them; their width is the MLP's where no other is given. Raises UserError."""
    count, chosen = config.size("num_experts", MOST_EXPERTS), config.uniform("num_experts_per_tok")
    if chosen > count:
        raise config.mistake("num_experts_per_tok", f"{chosen} experts of {count} cannot be chosen")
    width = config.uniform(_MLP if config.get("moe_intermediate_size") is None else "moe_intermediate_size")
    beside = "num_shared_experts"
    gated_share = config.whole("gated_shared_width")
    own = gated_share or config.whole("shared_width")
    number = config.uniform(beside) if config.get(beside) else 0
    return Experts(
        count=count,
        chosen=chosen,
        width=width,
        shared_width=own or number * width,
        shared_gate=gated_share > 0,
        router_bias=told(config, family.router_bias),
        biased=family.biased_experts,
        gated=told(config, family.gated),
        latent=config.whole("moe_latent_size"),
        skew=read_skew(config),
    )


def read_dense_layers(config: ConfigFile, layers: int) -> frozenset[int]:
    """Layers (from 0) that have an MLP in place of experts, by whichever keys the family has. Raises UserError."""
    frequency = config.get("moe_layer_freq")
    if config.get("mlp_layer_types") is not None:
        kinds = config.words("mlp_layer_types", layers, (_DENSE, _ROUTED))
        return frozenset(at for at, kind in enumerate(kinds) if kind == _DENSE)
    if config.get("moe_layers") is not None:
        return frozenset(range(layers)) - _layer_list(config, "moe_layers", layers)
    if isinstance(frequency, list):
        flagged = config.each("moe_layer_freq", layers, least=0)
        return frozenset(at for at, flag in enumerate(flagged) if not flag)
    first = min(config.whole("first_k_dense_replace"), layers)
    last = config.get("moe_layer_end_index")
    end = layers if last in (None, -1) else config.whole("moe_layer_end_index") + 1
    plain = _layer_list(config, "mlp_only_layers", layers)
    period, offset = _period(config)
    return frozenset(at for at in range(layers) if at < first or at >= end or at in plain or (at + offset) % period)


def _period(config: ConfigFile) -> tuple[int, int]:
    """Layers from one with experts to the next, and what to add to a layer's number to have it divided by them."""
    for key, offset in (("decoder_sparse_step", 1), ("moe_layer_freq", 0)):
        if config.get(key) is not None:
            return config.size(key), offset
    return 1, 0


def _layer_list(config: ConfigFile, key: str, layers: int) -> frozenset[int]:
    """The layers that a key lists, or writes as text with commas."""
    listed = config.get(key) or []
    if isinstance(listed, str):
        numbers = [part.strip() for part in listed.split(",")]
        listed = [int(part) if part.isdecimal() and len(part) < 6 else -1 for part in numbers]
    if not isinstance(listed, list) or not all(type(at) is int and 0 <= at < layers for at in listed):
        raise config.mistake(key, f"must be a list of layers from 0 to {layers - 1}")
    return frozenset(listed)


def read_skew(config: ConfigFile) -> Skew:
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
