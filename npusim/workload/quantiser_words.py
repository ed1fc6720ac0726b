"""Schemes of checkpoints that AMD Quark, torchao and AutoRound made, each in the words of its own configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from npusim.workload.formats import stored_bits

Refuse = Callable[[str, str], Exception]
"""Makes the error for a key and what is wrong with it."""

Sized = tuple[str, tuple[tuple[str, float], ...]]
"""A scheme, and bits of its elements where they are not the usual ones."""
_QUARK: Mapping[tuple[str | None, str | None], str] = {
    ("fp8_e4m3", "fp8_e4m3"): "fp8", ("fp8_e4m3", None): "w8a16", ("int8", "int8"): "int8", ("int8", None): "w8a16",
    ("int4", None): "w4a16", ("uint4", None): "w4a16", ("int4", "fp8_e4m3"): "w4a8", ("int4", "int8"): "w4a8",
    ("fp4", None): "mxfp4", ("fp4", "fp4"): "nvfp4", ("mx", None): "mxfp4", ("mx", "mx"): "nvfp4",
    ("fp4", "fp8_e4m3"): "mxfp4",
}  # fmt: skip
"""Schemes by `dtype` of weights and of activations (None: 16 bits); fp4 comes in groups of 32 (OCP MX)."""
_MX = "mxfpinference"
_TORCHAO: Mapping[str, str] = {
    "int4weightonly": "w4a16", "int8weightonly": "w8a16", "float8weightonly": "w8a16",
    "int8dynamicactivationint8weight": "int8", "int8dynamicactivationint4weight": "w4a8",
    "float8dynamicactivationint4weight": "w4a8", "float8dynamicactivationfloat8weight": "fp8",
    "float8staticactivationfloat8weight": "fp8", "nvfp4dynamicactivationnvfp4weight": "nvfp4",
    "nvfp4inference": "nvfp4", "nvfp4weightonly": "nvfp4a16", _MX: "nvfp4",
}  # fmt: skip
"""Schemes by torchao's class of configuration or its older function, in small letters without _ and config."""


_BITS = 4
_SHOWN = 40
"""Characters of a word that an error shows."""


def wide_blocks() -> tuple[tuple[str, float], ...]:
    """Size of 4-bit floats of which 32 share a scale (OCP MX v1.0), multiplied as those of blocks of 16 are."""
    return (("element.nvfp4", stored_bits("mxfp4")),)


def quark_scheme(given: Mapping[str, Any], refuse: Refuse) -> Sized:
    """The scheme of `global_quant_config`. Raises what `refuse` makes."""
    told = given.get("global_quant_config")
    if not isinstance(told, dict):
        raise refuse("global_quant_config", "must be an object with 'weight'")
    pair = (_type_of(told.get("weight")), _type_of(told.get("input_tensors")))
    if pair not in _QUARK:
        raise refuse("global_quant_config", f"weights in {_word(pair[0])} by activations in {_word(pair[1])}: unknown")
    return _QUARK[pair], wide_blocks() if _QUARK[pair] == "nvfp4" else ()


def quark_kv(given: Mapping[str, Any]) -> str | None:
    """ModelOpt's word for the format of the KV cache that `kv_cache_quant_config` tells, None where it tells none."""
    told = given.get("kv_cache_quant_config")
    parts = told.values() if isinstance(told, dict) else ()
    types = {_type_of(part.get("output_tensors")) for part in parts if isinstance(part, dict)}
    return "FP8" if "fp8_e4m3" in types else None


def torchao_scheme(given: Mapping[str, Any], refuse: Refuse) -> Sized:
    """The scheme of `quant_type`: a word, or an object whose `default` names a class. Raises what `refuse` makes."""
    told = given.get("quant_type")
    if isinstance(told, dict):
        told = told.get("default", told)
        told = told.get("_type") if isinstance(told, dict) else told
    word = told.lower().replace("_", "").removesuffix("config") if isinstance(told, str) else ""
    if word not in _TORCHAO:
        raise refuse(
            "quant_type", f"{_word(told)} is not known; give the scheme by --precision and leave this object out"
        )
    return _TORCHAO[word], wide_blocks() if word == _MX else ()


def rounded_scheme(given: Mapping[str, Any]) -> Sized | None:
    """The scheme of AutoRound's `data_type` where it is a float with shared scales, None for integers."""
    told = str(given.get("data_type", ""))
    wide = given.get("act_bits") in (None, 16)
    if told.startswith("nv_fp"):
        return "nvfp4a16" if wide else "nvfp4", ()
    if not told.startswith("mx_fp") or given.get("bits") != _BITS:
        return None
    return ("mxfp4", ()) if wide else ("nvfp4", wide_blocks())


def _type_of(tensor: Any) -> str | None:
    tensor = tensor[0] if isinstance(tensor, list) and tensor else tensor
    told = tensor.get("dtype") if isinstance(tensor, dict) else None
    return told if isinstance(told, str) else None


def _word(told: Any) -> str:
    return "16 bits" if told is None else repr(str(told)[:_SHOWN])
