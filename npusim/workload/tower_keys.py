"""Towers for images and sound from the keys of a Hugging Face configuration."""

from __future__ import annotations

from typing import Any

from npusim.workload.config_file import ConfigFile
from npusim.workload.towers import Tower

_TOWERS = (
    "vision_config", "visual", "audio_config", "thinker_config.vision_config", "thinker_config.audio_config",
    "vision_tower", "sound_config",
)  # fmt: skip
_LAYERS = ("depth", "num_hidden_layers", "vt_num_hidden_layers", "encoder_layers", "layers")
_HIDDEN = ("embed_dim", "vt_hidden_size", "hidden_size", "d_model", "width")
_WIDTH = ("intermediate_size", "vt_intermediate_size", "encoder_ffn_dim")
_FOURFOLD = 4
"""Width of a tower's MLP by its hidden size where the file tells none (Dosovitskiy et al., arXiv 2010.11929)."""
_MOST_LAYERS, _MOST_WIDTH = 1000, 10**6
"""Beyond these a size counts as not told."""


def read_towers(config: ConfigFile) -> tuple[Tower, ...]:
    """Every tower that the file describes. What it does not tell counts as nothing: no prompt of text needs it."""
    found = []
    for key in _TOWERS:
        given = config.get(key)
        if isinstance(given, dict) and given:
            layers, hidden = _first(given, _LAYERS, _MOST_LAYERS), _first(given, _HIDDEN, _MOST_WIDTH)
            width = _first(given, _WIDTH, _MOST_WIDTH) or _FOURFOLD * hidden
            found.append(Tower(key, layers, hidden, layers * hidden * (4 * hidden + 2 * width)))
    return (*found, *_image_experts(config))


def _image_experts(config: ConfigFile) -> tuple[Tower, ...]:
    """Experts that tokens of images alone go to, the second of two entries (ERNIE 4.5 VL): no word needs them."""
    widths, counts = config.outer("moe_intermediate_size"), config.outer("moe_num_experts")
    layers, hidden = config.outer("num_hidden_layers"), config.outer("hidden_size")
    if not (isinstance(widths, list) and isinstance(counts, list) and len(widths) == len(counts) == _KINDS):
        return ()
    sizes = (layers, hidden, counts[1], widths[1])
    if not all(type(size) is int and 0 < size <= _MOST_WIDTH for size in sizes):
        return ()
    return (Tower(_IMAGE_EXPERTS, layers, hidden, layers * counts[1] * 3 * hidden * widths[1]),)


_IMAGE_EXPERTS, _KINDS = "moe_intermediate_size.1", 2
"""Key of the width of the experts of images, and kinds of experts: of words and of images."""


def _first(given: dict[str, Any], keys: tuple[str, ...], most: int) -> int:
    sizes = (given.get(key) for key in keys)
    return next((size for size in sizes if type(size) is int and 0 < size <= most), 0)
