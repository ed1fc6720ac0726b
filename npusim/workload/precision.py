"""Precision schemes: in which format weights, activations and the KV cache are kept.

The embedding, the LM head and the norms stay bf16 in every scheme, as Furiosa-LLM and vLLM keep them.
"""

from __future__ import annotations

from dataclasses import dataclass

from npusim.errors import UserError
from npusim.workload.formats import kv_bits, stored_bits


@dataclass(frozen=True)
class Precision:
    """Formats (names of npusim.dtypes) of layer weights, activations and KV cache.

    bits: sizes of stored elements in place of those of the table of formats, by their paths in it.
    """

    name: str
    weights: str
    activations: str
    kv: str
    bits: tuple[tuple[str, float], ...] = ()

    @property
    def weight_bits(self) -> float:
        """Bits of one stored weight, its share of scales included."""
        return self._of(f"element.{self.weights}", stored_bits(self.weights))

    @property
    def activation_bits(self) -> float:
        """Bits of one stored activation, its share of scales included."""
        return self._of(f"element.{self.activations}", stored_bits(self.activations))

    @property
    def kv_bits(self) -> float:
        """Bits of one element of the KV cache, its share of scales included."""
        return self._of(f"kv.{self.kv}", kv_bits(self.kv))

    def _of(self, path: str, shipped: float) -> float:
        return dict(self.bits).get(path, shipped)


SCHEMES = {
    "bf16": ("bf16", "bf16"),
    "fp8": ("fp8", "fp8"),
    "int8": ("int8", "int8"),
    "w8a16": ("int8", "bf16"),
    "w4a16": ("int4", "bf16"),
    "w4a8": ("int4", "int8"),
    "mxfp4": ("mxfp4", "bf16"),
    "nvfp4": ("nvfp4", "nvfp4"),
    "nvfp4a16": ("nvfp4", "bf16"),
}
"""Formats of (weights, activations) by the scheme's name."""

_KV_SPELLINGS = {"bf16": "bf16", "fp16": "bf16", "16": "bf16", "fp8": "fp8", "8": "fp8", "int8": "int8"}


def resolve_precision(name: str, kv: str) -> Precision:
    """The scheme `name` with its KV cache in the format `kv`: bf16 (16, fp16), fp8 (8) or int8.

    Raises UserError for an unknown scheme or KV format.
    """
    scheme = name.strip().lower()
    if scheme not in SCHEMES:
        raise UserError("--precision", "", f"unknown scheme '{name}'; use one of: {', '.join(SCHEMES)}")
    kv_format = _KV_SPELLINGS.get(kv.strip().lower())
    if kv_format is None:
        raise UserError("--kv-precision", "", f"unknown KV format '{kv}'; use bf16 (16), fp8 (8) or int8")
    weights, activations = SCHEMES[scheme]
    return Precision(scheme, weights, activations, kv_format)
