"""How far each layer's attention looks back, from the keys of a Hugging Face configuration.

Windows are tokens, 0 for all of them, negative for those of a chunk of so many.
"""

from __future__ import annotations

from collections.abc import Callable

from npusim.workload.config_file import ConfigFile

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
_SPELLINGS = {
    FULL: FULL,
    "attention": FULL,
    "global_attention": FULL,
    "global": FULL,
    "full": FULL,
    SLIDING: SLIDING,
    "local_attention": SLIDING,
    "local": SLIDING,
    CHUNKED: CHUNKED,
}
"""Kinds of attention by the words of `layer_types`."""

Windows = Callable[[ConfigFile, int], tuple[int, ...]]


def no_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """Full attention in every layer, unless `layer_types` says otherwise."""
    return _listed(config, layers) if config.get("layer_types") is not None else (0,) * layers


def unused_window(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """Full attention in every layer: the file has a window, and says that it is not used."""
    for key in ("sliding_window", "layer_types"):
        config.get(key)
    return (0,) * layers


def one_window(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """The Mistral family: `sliding_window` holds for every layer unless `layer_types` says otherwise."""
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    return (config.whole("sliding_window"),) * layers


def late_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """The Qwen family: with `use_sliding_window`, layers from `max_window_layers` on have the window."""
    if not config.flag("use_sliding_window"):
        return unused_window(config, layers)
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    window = config.size("sliding_window")
    full = config.get("max_window_layers")
    if isinstance(full, bool) or not isinstance(full, int) or not 0 <= full <= layers:
        raise config.mistake("max_window_layers", f"must be a whole number from 0 to the {layers} layers")
    return (0,) * full + (window,) * (layers - full)


def patterned_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """`layer_types`, or `sliding_window_pattern`: letters ("LLLG"), or the period of the global layers.

    Gemma, Cohere 2, OLMo 3 and EXAONE 4; the last layer of each period attends all tokens.
    """
    window = config.optional_size("sliding_window")
    if window is None:
        return (0,) * layers
    pattern = config.get("sliding_window_pattern")
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    if isinstance(pattern, str):
        if not pattern or set(pattern) - {"L", "G"}:
            raise config.mistake("sliding_window_pattern", f"'{pattern[:40]}' may hold only L (local) and G (global)")
        return tuple(window if pattern[layer % len(pattern)] == "L" else 0 for layer in range(layers))
    period = config.size("sliding_window_pattern")
    return tuple(0 if (layer + 1) % period == 0 else window for layer in range(layers))


def told_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """As `patterned_windows`, of a family that must say whether it has a window."""
    if not config.has("sliding_window"):
        raise config.mistake("sliding_window", "this key is missing; add tokens, or null for none")
    return patterned_windows(config, layers)


def optional_pattern(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """`layer_types` where it is given, else `sliding_window` in every layer if `use_sliding_window` says so."""
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    if config.get("use_sliding_window") is False:
        return unused_window(config, layers)
    return one_window(config, layers)


def flagged_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """MiMo: `hybrid_layer_pattern` has a 1 for each layer with the window."""
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    flagged = config.each("hybrid_layer_pattern", layers, least=0)
    window = config.size("sliding_window") if any(flagged) else 0
    return tuple(window if flag else 0 for flag in flagged)


def chunked_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """Llama 4: layers with rotary positions attend their own chunk; those of `no_rope_layers` without attend all."""
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    chunk = config.whole("attention_chunk_size")
    if not config.get("no_rope_layers"):
        period = config.size("no_rope_layer_interval")
        return tuple(0 if (layer + 1) % period == 0 else -chunk for layer in range(layers))
    rotary = config.each("no_rope_layers", layers, least=0)
    return tuple(-chunk if positions else 0 for positions in rotary)


def _listed(config: ConfigFile, layers: int) -> tuple[int, ...]:
    kinds = [_SPELLINGS[word] for word in config.words("layer_types", layers, _SPELLINGS)]
    reach = {FULL: 0}
    for key in ("sliding_window", "attention_chunk_size"):
        config.get(key)
    if SLIDING in kinds:
        reach[SLIDING] = config.size("sliding_window")
    if CHUNKED in kinds:
        reach[CHUNKED] = -config.size("attention_chunk_size")
    return tuple(reach[kind] for kind in kinds)
