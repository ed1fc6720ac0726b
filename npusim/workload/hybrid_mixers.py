"""Which layers attend and which keep a state, from the keys of hybrid families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npusim.workload.attention import Attention, Latent
from npusim.workload.attention_keys import attention_of, read_latent
from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.layers import Mixer
from npusim.workload.recurrent_keys import StateReader

_STATE = frozenset({"linear_attention", "mamba", "conv", "linear", "mamba2", "recurrent", "kda"})
_NEAR = "sliding_attention"
_ATTENDS = frozenset({"full_attention", "attention", "full", "hybrid", _NEAR})
_ROLES = {"mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E",
          "hybrid": "*"}  # fmt: skip
"""Letters of `hybrid_override_pattern` by the words of `layers_block_type` (Nemotron-H)."""

Kinds = Callable[[ConfigFile, int], tuple[bool, ...]]
"""Whether each layer attends."""


def mixed_layers(state: StateReader, attends: Kinds) -> Callable[[ConfigFile, Family, int], tuple[Mixer | None, ...]]:
    """Mixers of a family in which layers attend, or keep the state of `state`."""

    def mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer | None, ...]:
        kinds = attends(config, layers)
        kept = None if all(kinds) else state(config)
        attention = _attention(config, family) if any(kinds) else None
        listed = config.get("layer_types")
        if not isinstance(attention, Attention | Latent) or not isinstance(listed, list) or _NEAR not in listed:
            return tuple(attention if attending else kept for attending in kinds)
        near = replace(attention, window=config.size("sliding_window"))
        attending = {True: attention, False: near}
        return tuple(
            attending[word != _NEAR] if attends_here else kept for word, attends_here in zip(listed, kinds, strict=True)
        )

    return mixers


def _attention(config: ConfigFile, family: Family) -> Mixer:
    if not family.latent:
        return attention_of(config, family)
    latent = read_latent(config)
    gate = latent.heads * latent.value if config.flag("mla_use_output_gate") else 0
    return replace(latent, gate=latent.heads if config.flag("mla_head_gate") else gate)


def listed_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """By `layer_types`, else by the period of layers that attend all."""
    if config.get("layer_types") is not None:
        words = config.words("layer_types", layers, sorted(_STATE | _ATTENDS))
        return tuple(word in _ATTENDS for word in words)
    period = config.size("full_attention_interval")
    return tuple((at + 1) % period == 0 for at in range(layers))


def numbered_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """By the list of the layers that attend, from 0 (Bamba), or from 1 where the last is listed so (Kimi)."""
    if config.get("layer_types") is not None:
        return listed_layers(config, layers)
    attending = _layer_numbers(config, "attention_layers", layers)
    others = config.get("state_layers")
    first = 1 if isinstance(others, list) and layers in (*others, *attending) else 0
    return tuple(at + first in attending for at in range(layers))


def _layer_numbers(config: ConfigFile, key: str, layers: int) -> frozenset[int]:
    given = config.get(key) or []
    if not isinstance(given, list) or not all(type(at) is int and 0 <= at <= layers for at in given):
        raise config.mistake(key, f"must be a list of layers from 0 to {layers}")
    return frozenset(given)


def flagged_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """By a list with a 1 for each layer that attends (MiniMax-Text-01), else by `layer_types`."""
    if config.get("attn_type_list") is None:
        return listed_layers(config, layers)
    return tuple(map(bool, config.each("attn_type_list", layers, least=0)))


def periodic_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """By period and offset of the layers that attend (Jamba)."""
    if config.get("layer_types") is not None:
        return listed_layers(config, layers)
    period, offset = config.size("attn_layer_period"), config.whole("attn_layer_offset")
    return tuple(at % period == offset for at in range(layers))


def grouped_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """The last layer of each group attends, and so do those beyond the last whole group (Ring-linear)."""
    if config.get("layer_types") is not None:
        return listed_layers(config, layers)
    size = config.size("layer_group_size")
    whole = layers // size * size
    return tuple((at + 1) % size == 0 or at >= whole for at in range(layers))


def no_layers(config: ConfigFile, layers: int) -> tuple[bool, ...]:
    """No layer attends."""
    return (False,) * layers


def roles(config: ConfigFile, layers: int) -> str:
    """A letter for each layer of one part: M keeps a state, * attends, - is an MLP, E has experts (Nemotron-H)."""
    pattern = config.get("hybrid_override_pattern")
    if pattern is None:
        words = config.words("layers_block_type", layers, _ROLES)
        return "".join(_ROLES[word] for word in words)
    if not isinstance(pattern, str) or len(pattern) != layers or set(pattern) - set(_ROLES.values()):
        raise config.mistake("hybrid_override_pattern", f"must have one of M * - E for each of the {layers} layers")
    return pattern


def role_mixers(state: StateReader) -> Callable[[ConfigFile, Family, int], tuple[Mixer | None, ...]]:
    """Mixers of a family whose layers are one part each."""

    def mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer | None, ...]:
        pattern = roles(config, layers)
        parts: dict[str, Mixer | None] = {"-": None, "E": None}
        parts["M"] = state(config) if "M" in pattern else None
        parts["*"] = _attention(config, family) if "*" in pattern else None
        return tuple(parts[letter] for letter in pattern)

    return mixers
