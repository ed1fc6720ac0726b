"""How a checkpoint is quantised, from `quantization_config` or the `hf_quant_config.json` beside the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from npusim.errors import UserError
from npusim.inputs import is_file
from npusim.inputs.json_text import read_json
from npusim.workload.checkpoint import EXPERTS, ROLES, UNQUANTISED, Checkpoint
from npusim.workload.config_file import ConfigFile
from npusim.workload.module_names import NameRules, names_of
from npusim.workload.quantiser_words import quark_kv, quark_scheme, rounded_scheme, torchao_scheme, wide_blocks

_KEY = "quantization_config"
_BESIDE = "hf_quant_config.json"
_HALF, _BYTE = 16.0, 8.0
_LISTS = ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers", "llm_int8_skip_modules", "exclude",
          "modules_in_block_to_quantize_exclude")  # fmt: skip
"""Keys under which modules are kept unquantised."""
_METHODS: Mapping[str, str] = {
    "fp8": "fp8", "fbgemm_fp8": "fp8", "modelopt_fp8": "fp8", "mxfp8": "fp8", "w8a8_fp8": "fp8", "ptpc_fp8": "fp8",
    "awq": "w4a16", "awq_marlin": "w4a16", "gptq": "w4a16", "gptq_marlin": "w4a16", "auto-round": "w4a16",
    "auto_round": "w4a16", "bitsandbytes": "int8", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "modelopt_fp4": "nvfp4",
    "w8a8_int8": "int8", "int8": "int8", "experts_int8": "w8a16", "inc": "w4a16",
}  # fmt: skip
"""Precision schemes by `quant_method`."""
_OTHER_METHODS: Mapping[str, str] = {
    "hqq": "its bits differ by layer",
    "aqlm": "codebooks of 1 to 4 bits",
    "eetq": "8-bit weights in its own layout",
    "vptq": "codebooks of 1 to 4 bits",
    "spqr": "3-bit weights with outliers apart",
    "higgs": "codebooks of 2 to 4 bits",
    "quip": "2-bit weights",
    "bitnet": "weights of -1, 0 and 1",
    "squeezellm": "codebooks of 3 and 4 bits",
}
"""Methods whose kernels no shipped chip describes, and why their weights are none of the schemes."""
_ALGORITHMS: Mapping[str, str] = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_WO": "fp8", "FP8_PB_REAL": "fp8", "MXFP8": "fp8",
    "NVFP4": "nvfp4", "NVFP4_AWQ": "nvfp4", "W4A16_NVFP4": "nvfp4a16", "NVFP4A16": "nvfp4a16", "W4A16_AWQ": "w4a16",
    "W4A16": "w4a16", "W4A8_AWQ": "w4a8", "INT8_SQ": "int8", "W8A8_SQ": "int8", "W8A16": "w8a16", "INT4_AWQ": "w4a16",
    "MXFP4": "mxfp4", "W4A8_MXFP4_FP8": "mxfp4", "W4A8_NVFP4_FP8": "nvfp4a16",
}  # fmt: skip
"""Precision schemes by ModelOpt's `quant_algo`."""
_MIXED = "MIXED_PRECISION"
_KV_ALGORITHMS: Mapping[str, str] = {"FP8": "fp8", "INT8": "int8", "FP8_AFFINE": "fp8"}
_EXPERT_TYPES: Mapping[str, str] = {"fp4": "mxfp4", "fp8": "fp8"}


@dataclass(frozen=True)
class _Group:
    """Products that have a scheme; bits: of a stored element where it is not the usual one."""

    scheme: str
    meant: NameRules
    bits: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Quantisation:
    """groups: the first that means a module counts; kept: what stays unquantised; otherwise: the scheme of the rest."""

    groups: tuple[_Group, ...]
    kept: NameRules
    otherwise: str
    kv: str | None
    label: str

    def scheme(self, layer: int, role: str, own: Mapping[str, tuple[str, ...]]) -> str:
        """The scheme of a part of a layer; own: its modules in the family's spelling."""
        words = self.kept.words.union(*(group.meant.words for group in self.groups))
        names = names_of(layer, role, words, own)
        if any(self.kept.mean(name) for name in names):
            return UNQUANTISED
        return next((one.scheme for one in self.groups if any(one.meant.mean(name) for name in names)), self.otherwise)


def read_quantisation(config: ConfigFile) -> Quantisation | None:
    """What the file, or the one beside it, says; None where weights are as they were trained. Raises UserError."""
    given, where = config.part(_KEY), _KEY
    beside = config.path.parent / _BESIDE
    if not given and config.path.name == "config.json" and is_file(beside):
        outer = read_json(beside)
        given = outer.get("quantization", outer) if isinstance(outer, dict) else {}
        where = _BESIDE
        if not isinstance(given, dict):
            raise config.mistake(_BESIDE, "must hold an object 'quantization'")
    if not given:
        return None
    return _Reading(config, where, given).quantisation()


class _Reading:
    """The keys of one description."""

    def __init__(self, config: ConfigFile, where: str, given: dict[str, Any]) -> None:
        self._config, self._where, self._given = config, where, given

    def quantisation(self) -> Quantisation | None:
        method = self._text("quant_method") or ""
        algorithm = self._text("quant_algo") or ""
        groups = self._groups()
        otherwise = UNQUANTISED
        if not groups or (algorithm == _MIXED and method in _METHODS):
            groups, otherwise = self._of_method(method.lower(), algorithm, groups)
        if not groups and otherwise == UNQUANTISED:
            return None
        kept = NameRules(rule for key in _LISTS for rule in self._texts(key))
        label = " ".join(dict.fromkeys(word for word in (method, algorithm, self._text("format") or "") if word))
        return Quantisation(groups, kept, otherwise, self._kv(), label or self._where)

    def _of_method(self, method: str, algorithm: str, groups: tuple[_Group, ...]) -> tuple[tuple[_Group, ...], str]:
        """Groups and the scheme of the rest, by the method or ModelOpt's algorithm."""
        if algorithm and algorithm != _MIXED:
            return (), self._known("quant_algo", algorithm, _ALGORITHMS)
        if algorithm == _MIXED and not method:
            return groups, UNQUANTISED
        if method in ("", "none", "modelopt", "modelopt_mixed", "compressed-tensors"):
            return groups, UNQUANTISED
        if method in ("quark", "torchao"):
            found = {"quark": quark_scheme, "torchao": torchao_scheme}[method](self._given, self._mistake)
            return _sized(groups, *found)
        rounded = rounded_scheme(self._given)
        if rounded is not None:
            return _sized(groups, *rounded)
        scheme = self._known("quant_method", method, _METHODS)
        if method == "bitsandbytes":
            scheme = "w4a16" if self._given.get("load_in_4bit") is True else "int8"
        scheme, bits = self._of_bits(scheme)
        rest = (_Group(scheme, NameRules(("Linear",)), bits),) if bits else ()
        return (*groups, *rest), scheme

    def _of_bits(self, scheme: str) -> tuple[str, tuple[tuple[str, float], ...]]:
        """The scheme by `bits` (of AWQ and GPTQ), and the size of an element by `group_size`."""
        bits = self._given.get("bits", self._given.get("w_bit"))
        if scheme != "w4a16" or bits is None:
            return scheme, ()
        if bits == _BYTE and type(bits) is int:
            return "w8a16", ()
        if bits != _HALF / 4 or type(bits) is not int:
            raise self._mistake("bits", f"{str(bits)[:20]} bits a weight are not predicted; 4 and 8 are")
        return scheme, _int4_bits(self._given.get("group_size", self._given.get("q_group_size")))

    def _groups(self) -> tuple[_Group, ...]:
        """`config_groups` of compressed-tensors and ModelOpt, and `quantized_layers` of mixed checkpoints."""
        layers = self._given.get("quantized_layers")
        if isinstance(layers, dict) and layers:
            by_scheme: dict[str, list[str]] = {}
            for name, told in layers.items():
                algorithm = told.get("quant_algo") if isinstance(told, dict) else None
                by_scheme.setdefault(self._known("quantized_layers", algorithm, _ALGORITHMS), []).append(name)
            return tuple(_Group(scheme, NameRules(names)) for scheme, names in by_scheme.items())
        groups = self._given.get("config_groups") or {}
        if not isinstance(groups, dict):
            raise self._mistake("config_groups", "must be an object of groups")
        return tuple(self._group(name, told) for name, told in groups.items())

    def _group(self, name: str, told: Any) -> _Group:
        key = f"config_groups.{name[:40]}"
        weights = told.get("weights") if isinstance(told, dict) else None
        if not isinstance(weights, dict):
            raise self._mistake(key, "must give 'weights', an object")
        inputs = told.get("input_activations")
        bits, kind = weights.get("num_bits"), weights.get("type", "int")
        narrow = inputs.get("num_bits") if isinstance(inputs, dict) else None
        micro = weights.get("group_size") == _HALF and type(weights.get("group_size")) is int
        scheme = _SCHEMES.get((kind, bits, narrow)) if type(bits) is int and isinstance(kind, str) else None
        if kind == "float" and bits == 4 and type(bits) is int:
            scheme = "nvfp4" if narrow == 4 else "nvfp4a16" if micro else "mxfp4"
        if scheme is None:
            raise self._mistake(
                key, f"weights of {str(bits)[:9]} bits by activations of {str(narrow)[:9]} are not known"
            )
        targets = told.get("targets", ["Linear"])
        if not isinstance(targets, list) or not all(isinstance(rule, str) for rule in targets):
            raise self._mistake(f"{key}.targets", "must be a list of names of modules")
        sized = _int4_bits(weights.get("group_size")) if scheme == "w4a16" else ()
        sized = wide_blocks() if scheme == "nvfp4" and not micro else sized
        return _Group(scheme, NameRules(targets), sized)

    def _kv(self) -> str | None:
        """The format of the KV cache, None where it is left open."""
        told = self._given.get("kv_cache_quant_algo") or self._given.get("kv_cache_scheme") or quark_kv(self._given)
        if isinstance(told, dict):
            told = _KV_TYPES.get((told.get("type"), told.get("num_bits")))
        return _KV_ALGORITHMS.get(told) if isinstance(told, str) else None

    def _known(self, key: str, word: Any, table: Mapping[str, str]) -> str:
        scheme = table.get(word) if isinstance(word, str) else None
        if word in _OTHER_METHODS:
            mend = "give the nearest scheme by --precision and leave this object out"
            raise self._mistake(key, f"'{word}' is not predicted ({_OTHER_METHODS[word]}); {mend}")
        if scheme is None:
            raise self._mistake(key, f"unknown: {str(word)[:40]!r}; known: {', '.join(table)}")
        return scheme

    def _text(self, key: str) -> str | None:
        value = self._given.get(key)
        if value is not None and not isinstance(value, str):
            raise self._mistake(key, "must be a text")
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._given.get(key) or []
        if not isinstance(value, list) or not all(isinstance(rule, str) for rule in value):
            raise self._mistake(key, "must be a list of names of modules")
        return tuple(value)

    def _mistake(self, key: str, message: str) -> UserError:
        return self._config.mistake(f"{self._where}.{key}", message)


_SCHEMES: Mapping[tuple[str, int, int | None], str] = {
    ("float", 8, 8): "fp8", ("float", 8, None): "w8a16", ("int", 8, 8): "int8", ("int", 8, None): "w8a16",
    ("int", 4, None): "w4a16", ("int", 4, 8): "w4a8",
}  # fmt: skip
"""Precision schemes by type and bits of weights and bits of activations (None: 16)."""
_KV_TYPES: Mapping[tuple[Any, Any], str] = {("float", 8): "FP8", ("int", 8): "INT8"}


def _sized(
    groups: tuple[_Group, ...], scheme: str, bits: tuple[tuple[str, float], ...]
) -> tuple[tuple[_Group, ...], str]:
    """Groups and the scheme of the rest, whose elements are of that size where it is not the usual one."""
    return (*groups, *((_Group(scheme, NameRules(("Linear",)), bits),) if bits else ())), scheme


def _int4_bits(group: Any) -> tuple[tuple[str, float], ...]:
    """Bits of a 4-bit weight with its 16-bit scale, where groups are not the usual ones of 128."""
    if type(group) is not int or group <= 0 or group == _USUAL_GROUP:
        return ()
    return (("element.int4", 4.0 + _HALF / group),)


_USUAL_GROUP = 128
"""Weights that share a scale in `workloads/formats.yaml`."""


def read_checkpoint(
    config: ConfigFile, parts: Callable[[int], Mapping[str, int]], layers: int, own: Mapping[str, tuple[str, ...]]
) -> tuple[Checkpoint | None, tuple[tuple[tuple[str, str], ...], ...]]:
    """The checkpoint, and the parts of each layer that have another scheme than most weights.

    parts: parameters of each part of a layer; own: modules of a part in the family's spelling. Raises UserError.
    """
    found = read_quantisation(config)
    if found is None:
        return None, ((),) * layers
    experts = _EXPERT_TYPES.get(str(config.get("expert_dtype")))
    schemes: list[dict[str, str]] = []
    weights: dict[str, int] = {}
    for layer in range(layers):
        sizes = parts(layer)
        schemes.append({role: found.scheme(layer, role, own) for role in ROLES if sizes.get(role)})
        if experts is not None and found.otherwise == "fp8" and not found.groups and EXPERTS in schemes[-1]:
            schemes[-1][EXPERTS] = experts
        for role, scheme in schemes[-1].items():
            weights[scheme] = weights.get(scheme, 0) + sizes[role]
    main = max(weights, key=lambda scheme: weights[scheme], default=UNQUANTISED)
    if main == UNQUANTISED:
        quantised = [scheme for scheme in weights if scheme != UNQUANTISED]
        main = max(quantised, key=lambda scheme: weights[scheme], default=UNQUANTISED)
    if main == UNQUANTISED:
        return None, ((),) * layers
    told = tuple(tuple((role, scheme) for role, scheme in each.items() if scheme != main) for each in schemes)
    bits = next((group.bits for group in found.groups if group.scheme == main and group.bits), ())
    return Checkpoint(main, found.kv, bits, found.label), told
