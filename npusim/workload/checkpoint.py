"""The number formats in which a checkpoint is stored: of most weights, of parts that differ, of the KV cache."""

from __future__ import annotations

from dataclasses import dataclass

INPUT, OUTPUT, MLP, EXPERTS, SHARED = "input", "output", "mlp", "experts", "shared"
ROLES = (INPUT, OUTPUT, MLP, EXPERTS, SHARED)
"""Parts of a layer whose weights share a format: projections into and out of what mixes tokens, the MLP, the routed
experts, the shared ones."""
UNQUANTISED = "bf16"


@dataclass(frozen=True)
class Checkpoint:
    """scheme: precision scheme of most weights; kv: format of the KV cache, None where the file leaves it open; bits:
    sizes of stored elements that differ from those of the table of formats, by their paths in it; label: the format in
    the file's own words.

    Parts of other schemes are told by each layer (`Layer.formats`).
    """

    scheme: str
    kv: str | None = None
    bits: tuple[tuple[str, float], ...] = ()
    label: str = ""
