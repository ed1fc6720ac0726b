"""Names of a layer's modules in weight files, and which of them the rules of a quantisation tool mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate

from npusim.workload.checkpoint import EXPERTS, INPUT, MLP, OUTPUT, SHARED

_PREFIXES = (
    "model.layers", "language_model.model.layers", "model.language_model.layers", "backbone.layers", "layers",
    "language_model.layers", "transformer.h", "transformer.encoder.layers", "model.decoder.layers", "gpt_neox.layers",
)  # fmt: skip
_MIXERS = ("self_attn", "attn", "linear_attn", "attention", "self_attention", "mixer", "mamba")
_FEEDS = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "mixer")
_BESIDE = ("shared_experts", "shared_expert", "shared_mlp")
_UP = ("gate_proj", "gate_up_proj", "up_proj", "w1", "fc1", "c_fc", "dense_h_to_4h")
_IN = ("q_proj", "q_b_proj", "wq_b", "qkv_proj", "query_key_value", "W_pack", "wqkv", "in_proj", "in_proj_qkv",
       "in_proj_qkvz", "c_attn")  # fmt: skip
_OUT = ("o_proj", "out_proj", "wo_b", "dense", "wo", "c_proj")
PARTS: Mapping[str, tuple[str, ...]] = {
    INPUT: tuple(f"{mixer}.{linear}" for mixer in _MIXERS for linear in _IN),
    OUTPUT: tuple(f"{mixer}.{linear}" for mixer in _MIXERS for linear in _OUT),
    MLP: tuple(f"{feed}.{linear}" for feed in _FEEDS for linear in _UP),
    EXPERTS: tuple(f"{feed}.experts.{linear}" for feed in _FEEDS for linear in ("gate_up_proj", "0.up_proj", "0.w1")),
    SHARED: tuple(f"{feed}.{beside}.{linear}" for feed in _FEEDS for beside in _BESIDE for linear in _UP),
}
"""The widest product of each part of a layer, by which the part is known, in the spellings of the families."""
_EVERYTHING = frozenset({"Linear", "FusedMoE", "MoEGate", "*", "re:.*"})
"""Targets that mean every product: names of classes, and patterns of anything."""
_MOST_PATTERN = 500
"""Characters of a regular expression; a longer one is no list of modules."""
_SLOW = re.compile(r"[+*}]\)?[+*{]|\([^)]*[+*][^)]*\)[+*{]")
"""Repeats within repeats, which may take a regular expression for ever."""


class NameRules:
    """Rules that name modules.

    A name means all that is below it, wherever its whole components stand: "gate" is `mlp.gate` and never
    `mlp.gate_proj`, and a kept `self_attn.kv_a_layernorm` keeps no attention. A name with * is matched as file names
    are; "re:..." is a regular expression from the name's start (transformers, compressed-tensors, ModelOpt).
    """

    def __init__(self, rules: Iterable[str]) -> None:
        given = tuple(dict.fromkeys(rules))
        self.everything = any(rule in _EVERYTHING for rule in given)
        self.words = frozenset(word for rule in given for word in re.findall(r"[A-Za-z_]\w*", rule))
        self._names = frozenset(rule.strip(".") for rule in given if "*" not in rule and not rule.startswith("re:"))
        self._patterns = _joined(given)

    def mean(self, name: str) -> bool:
        """Whether a module, or one that it is in, is meant."""
        if self.everything:
            return True
        parts = name.split(".")
        ends = range(1, len(parts) + 1)
        if any(".".join(parts[start:end]) in self._names for end in ends for start in range(end)):
            return True
        return self._patterns is not None and self._patterns.match(name) is not None


def _joined(rules: tuple[str, ...]) -> re.Pattern[str] | None:
    """All patterns as one regular expression; a wildcard's match goes on below, and may begin at any component."""
    found = []
    for rule in rules:
        if rule.startswith("re:"):
            text = rule.removeprefix("re:")
            if len(text) <= _MOST_PATTERN and not _SLOW.search(text) and _compiles(text):
                found.append(f"(?:{text})")
        elif "*" in rule:
            found.append(rf"(?:.*\.)?{translate(rule).removesuffix(_END)}(?:\..*)?$")
    return re.compile("|".join(found)) if found else None


_END = r"\Z"


def _compiles(text: str) -> bool:
    try:
        return re.compile(text).groupindex == {}
    except (re.error, OverflowError, RecursionError):
        return False


def names_of(layer: int, role: str, words: frozenset[str], own: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names that a part of a layer may have.

    words: of the rules, by which the spelling of the file is known; own: parts in the family's own spelling.
    """
    parts = own.get(role, PARTS[role])
    first = [part for part in parts if part.split(".")[0] in words] or [part for part in parts if role not in own][:12]
    heads = [prefix for prefix in _PREFIXES if prefix.rsplit(".", 1)[-1] in words] or list(_PREFIXES[:1])
    return tuple(f"{head}.{layer}.{part}" for head in heads for part in first or parts)
