"""State-space layers and linear attention from the keys of a Hugging Face configuration."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from npusim.workload.config_file import ConfigFile
from npusim.workload.recurrent import Recurrent

_SCAN_CHUNK = "scan_chunk"
_WIDE, _HALF = 32, 16
"""Bits of an element of a state, where the file says nothing or 32 bits, and where it says 16."""
_STATE_TYPES = ("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
_MOST_WIDTH = 10**7
"""Beyond it a width is mistaken."""

StateReader = Callable[[ConfigFile], Recurrent]


def gated_delta(config: ConfigFile) -> Recurrent:
    """The gated delta rule of Qwen3-Next, Qwen3.5 and OLMo Hybrid: queries, keys, values, gate, two numbers a head."""
    key_heads, heads = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    key, value = config.size("linear_key_head_dim"), config.size("linear_value_head_dim")
    channels, taps = 2 * key_heads * key + heads * value, config.size("linear_conv_kernel_dim")
    return Recurrent(
        kind="gated delta",
        heads=heads,
        key=key,
        value=value,
        projected=channels + heads * value + 2 * heads,
        result=heads * value,
        channels=channels,
        taps=taps,
        chunk=config.size(_SCAN_CHUNK),
        passes=3,
        products=2,
        state_bits=_state_bits(config),
        small=channels * taps + 2 * heads + value,
    )


def delta_attention(config: ConfigFile) -> Recurrent:
    """Kimi Delta Attention: as the gated delta rule, with a decay for each element of the keys."""
    heads, dim = config.size("linear_num_heads"), config.size("linear_head_dim")
    width, taps = heads * dim, config.size("linear_conv_kernel_dim")
    full = config.flag("use_full_rank_gate")
    gates = 2 * width if full else 2 * dim
    return Recurrent(
        kind="delta attention",
        heads=heads,
        key=dim,
        value=dim,
        projected=3 * width + heads + gates,
        result=width,
        further=() if full else ((width, dim), (width, dim)),
        channels=3 * width,
        taps=taps,
        chunk=config.size(_SCAN_CHUNK),
        passes=3,
        products=2,
        state_bits=_state_bits(config),
        small=3 * width * taps + width + heads + dim,
    )


def lightning(config: ConfigFile) -> Recurrent:
    """Lightning attention of MiniMax-Text-01 and Ring-linear: a state with a fixed decay, and a gate of the result."""
    heads = config.size("num_attention_heads")
    dim = config.optional_size("head_dim") or config.size("hidden_size") // heads
    width = heads * dim
    return Recurrent(
        kind="lightning",
        heads=heads,
        key=dim,
        value=dim,
        projected=4 * width,
        result=width,
        chunk=config.size(_SCAN_CHUNK),
        state_bits=_state_bits(config),
        small=width,
    )


def mamba2(config: ConfigFile) -> Recurrent:
    """Mamba-2: gate and input, state inputs and outputs of each group, a step of each head."""
    heads = config.size("mamba_num_heads")
    hidden, expand = config.size("hidden_size"), config.whole("mamba_expand")
    given = config.get("mamba_head_dim")
    inner = config.whole("mamba_d_ssm") or (heads * config.size("mamba_head_dim") if type(given) is int else 0)
    inner = inner or expand * hidden
    if not inner or inner % heads:
        raise config.mistake("mamba_num_heads", f"{heads} heads do not divide the inner width {inner}")
    groups, state, taps = config.size("mamba_n_groups"), config.size("ssm_state_size"), config.size("mamba_conv_kernel")
    channels = inner + 2 * groups * state
    return Recurrent(
        kind="mamba-2",
        heads=heads,
        key=state,
        value=inner // heads,
        projected=inner + channels + heads,
        result=inner,
        channels=channels,
        taps=taps,
        chunk=config.size(_SCAN_CHUNK),
        state_bits=_state_bits(config),
        small=channels * (taps + 1) + 3 * heads + (0 if config.get("mamba_rms_norm") is False else inner),
    )


def mamba1(config: ConfigFile) -> Recurrent:
    """Mamba: a state of each channel; steps, state inputs and outputs are made from the convolution's result.

    Its scan keeps the state on the chip for as many tokens as a block of the kernel takes (arXiv 2312.00752, 3.3).
    """
    hidden, state, taps = config.size("hidden_size"), config.size("ssm_state_size"), config.size("mamba_conv_kernel")
    inner = config.whole("mamba_inner") or config.size("mamba_expand") * hidden
    given = config.get("mamba_dt_rank")
    rank = ceil(hidden / _STATE_ROWS) if given in (None, "auto") else config.size("mamba_dt_rank")
    heads = config.whole("num_attention_heads") or 1
    heads = heads if inner % heads == 0 else 1
    return Recurrent(
        kind="mamba",
        heads=heads,
        key=state,
        value=inner // heads,
        projected=2 * inner,
        result=inner,
        further=((rank + 2 * state, inner), (inner, rank)),
        channels=inner,
        taps=taps,
        chunk=config.size(_SCAN_CHUNK),
        products=0,
        state_bits=_state_bits(config),
        small=inner * (state + taps + 3) + (rank + 2 * state) * config.flag("mamba_inner_norms"),
    )


_STATE_ROWS = 16
"""Width by the rank of the steps where a file says "auto" (Gu, Dao, arXiv 2312.00752, section 3.6)."""


def short_convolution(config: ConfigFile) -> Recurrent:
    """LFM2: a gated convolution over a few tokens."""
    hidden, taps = config.size("hidden_size"), config.size("conv_L_cache")
    return Recurrent(
        kind="short convolution",
        heads=config.size("num_attention_heads"),
        key=0,
        value=0,
        projected=3 * hidden,
        result=hidden,
        channels=hidden,
        taps=taps,
        small=hidden * taps,
    )


def _state_bits(config: ConfigFile) -> int:
    """Bits of an element of the state: 32 unless the file keeps it in 16."""
    told = next((config.get(key) for key in _STATE_TYPES if config.get(key) is not None), None)
    return _HALF if told in ("bfloat16", "float16") else _WIDE
