"""How far each layer's attention looks back, from the keys of a Hugging Face configuration."""

from __future__ import annotations

from npusim.workload.config_file import ConfigFile


def no_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """Full attention in every layer."""
    return (0,) * layers


def one_window(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """The Mistral family: `sliding_window` holds for every layer unless `layer_types` says otherwise."""
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    return (config.optional_size("sliding_window") or 0,) * layers


def late_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """The Qwen family: with `use_sliding_window`, layers from `max_window_layers` on have the window."""
    if not config.flag("use_sliding_window"):
        return (0,) * layers
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    window = config.size("sliding_window")
    full = config.get("max_window_layers")
    if isinstance(full, bool) or not isinstance(full, int) or not 0 <= full <= layers:
        raise config.mistake("max_window_layers", f"must be a whole number from 0 to the {layers} layers")
    return (0,) * full + (window,) * (layers - full)


def patterned_windows(config: ConfigFile, layers: int) -> tuple[int, ...]:
    """EXAONE 4.0: `layer_types`, or `sliding_window_pattern` ("LLLG", or the period of global layers)."""
    if not config.has("sliding_window"):
        raise config.mistake("sliding_window", "this key is missing; add tokens, or null for none")
    window = config.optional_size("sliding_window")
    if window is None:
        return (0,) * layers
    if config.get("layer_types") is not None:
        return _listed(config, layers)
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, str):
        if not pattern or set(pattern) - {"L", "G"}:
            raise config.mistake("sliding_window_pattern", f"'{pattern}' may hold only L (local) and G (global)")
        return tuple(window if pattern[layer % len(pattern)] == "L" else 0 for layer in range(layers))
    period = config.size("sliding_window_pattern")
    return tuple(0 if (layer + 1) % period == 0 else window for layer in range(layers))


def _listed(config: ConfigFile, layers: int) -> tuple[int, ...]:
    kinds = config.get("layer_types")
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise config.mistake("layer_types", f"must be a list with one entry for each of the {layers} layers")
    unknown = [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]
    if unknown:
        raise config.mistake("layer_types", f"{unknown[0]!r} is neither full_attention nor sliding_attention")
    if "sliding_attention" not in kinds:
        return (0,) * layers
    window = config.size("sliding_window")
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
