"""Layers of models that a search made: each block of DeciLM and Nemotron-NAS has an attention and an MLP of its own."""

from __future__ import annotations

from typing import Any

from npusim.workload.attention import Attention
from npusim.workload.attention_keys import read_attention
from npusim.workload.config_file import ConfigFile
from npusim.workload.family import Family
from npusim.workload.feed_keys import read_mlp
from npusim.workload.feeds import Mlp
from npusim.workload.layers import Feed, Mixer

_KEY = "block_configs"
_MULTIPLE = 256
"""Widths of MLPs are multiples of it (DeciLM, configuration class)."""
_MOST_TIMES = 100
"""No MLP is wider than so many hidden sizes."""


def block_mixers(config: ConfigFile, family: Family, layers: int) -> tuple[Mixer | None, ...]:
    """The attention of each block, None where it has none."""
    heads = config.size("num_attention_heads")
    made: dict[int, Attention] = {}
    found: list[Mixer | None] = []
    for at, block in enumerate(_blocks(config, "attention", layers)):
        group = block.get("n_heads_in_group")
        if block.get("no_op"):
            found.append(None)
            continue
        for key in ("replace_with_linear", "window_length", "sparsify", "num_sink_tokens"):
            if block.get(key):
                raise config.mistake(f"{_KEY}", f"block {at}: attention.{key} is not predicted")
        if type(group) is not int or group <= 0 or heads % group:
            raise config.mistake(f"{_KEY}", f"block {at}: attention.n_heads_in_group must divide the {heads} heads")
        if group not in made:
            made[group] = read_attention(config, family, heads, heads // group, 0)
        found.append(made[group])
    return tuple(found)


def block_feeds(config: ConfigFile, family: Family, layers: int) -> tuple[Feed | None, ...]:
    """The MLP of each block, None where it has none."""
    hidden = config.size("hidden_size")
    made: dict[int, Mlp] = {}
    found: list[Feed | None] = []
    for at, block in enumerate(_blocks(config, "ffn", layers)):
        times = block.get("ffn_mult")
        if block.get("no_op"):
            found.append(None)
            continue
        if block.get("replace_with_linear"):
            raise config.mistake(f"{_KEY}", f"block {at}: ffn.replace_with_linear is not predicted")
        width = block.get("intermediate_size")
        if width is None:
            if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times <= _MOST_TIMES:
                raise config.mistake(f"{_KEY}", f"block {at}: ffn.ffn_mult must be a positive number")
            width = -(-int(2 * times * hidden / 3) // _MULTIPLE) * _MULTIPLE
        if type(width) is not int or width <= 0:
            raise config.mistake(f"{_KEY}", f"block {at}: ffn.intermediate_size must be a positive whole number")
        if width not in made:
            made[width] = read_mlp(config, family, width)
        found.append(made[width])
    return tuple(found)


def _blocks(config: ConfigFile, part: str, layers: int) -> list[dict[str, Any]]:
    blocks = config.get(_KEY)
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise config.mistake(_KEY, f"must be a list with one entry for each of the {layers} layers")
    parts = [block.get(part) if isinstance(block, dict) else None for block in blocks]
    if not all(isinstance(found, dict) for found in parts):
        raise config.mistake(_KEY, f"each entry must have an object '{part}'")
    return [found for found in parts if isinstance(found, dict)]
