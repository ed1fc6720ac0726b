"""The shape of a dense decoder-only transformer, and what follows from the shape alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Model:
    """A model's shape. Widths are in elements, `vocab` and `max_context` in tokens.

    windows: per layer the tokens that its attention may look back, 0 for all of them.
    attention_bias, output_bias, mlp_bias: biases on q/k/v, on o, on gate/up/down.
    published_parameters: the maker's count, None where not known; source: where the shape was read.
    """

    name: str
    title: str
    family: str
    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    max_context: int
    tied_embeddings: bool
    qk_norm: bool
    attention_bias: bool
    windows: tuple[int, ...]
    output_bias: bool = False
    mlp_bias: bool = False
    published_parameters: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def query_width(self) -> int:
        """Elements of the queries of one token in one layer."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of the keys (or of the values) of one token in one layer."""
        return self.kv_heads * self.head_dim

    @property
    def kv_elements_per_token_per_layer(self) -> int:
        """Elements of keys and values that one token leaves in one layer's cache."""
        return 2 * self.kv_width

    @cached_property
    def layer_parameters(self) -> int:
        """Parameters of one layer: q, k, v, o, gate, up, down, their biases, two norms, the q and k norms."""
        attention = 2 * self.hidden * (self.query_width + self.kv_width)
        mlp = 3 * self.hidden * self.intermediate
        biases = self.attention_bias * (self.query_width + 2 * self.kv_width)
        biases += self.output_bias * self.hidden + self.mlp_bias * (2 * self.intermediate + self.hidden)
        norms = 2 * self.hidden + self.qk_norm * 2 * self.head_dim
        return attention + mlp + biases + norms

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding table; the LM head has as many, or shares them where tied."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, counted from its shape."""
        tables = self.embedding_parameters * (1 if self.tied_embeddings else 2)
        return self.layers * self.layer_parameters + tables + self.hidden

    def layer_pattern(self) -> tuple[tuple[int, ...], int]:
        """Windows of the shortest run of layers that repeats, and how often (1 where none repeats)."""
        for length in range(1, self.layers):
            run, repeats = self.windows[:length], self.layers // length
            if run * repeats == self.windows:
                return run, repeats
        return self.windows, 1

    def summary(self) -> dict[str, Any]:
        """What `npusim show` tells of the model, as plain JSON values."""
        run, repeats = self.layer_pattern()
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "parameters": self.parameters,
            "published_parameters": self.published_parameters,
            "layer_parameters": self.layer_parameters,
            "hidden": self.hidden,
            "layers": self.layers,
            "intermediate": self.intermediate,
            "heads": self.heads,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab": self.vocab,
            "max_context": self.max_context,
            "tied_embeddings": self.tied_embeddings,
            "qk_norm": self.qk_norm,
            "attention_bias": self.attention_bias,
            "windows": {"run": list(run), "repeats": repeats},
            "kv_elements_per_token": self.layers * self.kv_elements_per_token_per_layer,
            "source": self.source,
            "notes": list(self.notes),
        }
