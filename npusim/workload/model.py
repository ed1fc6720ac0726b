"""The shape of a decoder-only transformer, and what follows from the shape alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from npusim.ledger import Provenance
from npusim.workload.blocks import Experts, Latent
from npusim.workload.segments import Layer, LayerRun, segments


@dataclass(frozen=True)
class Model:
    """A model's shape. Widths are in elements, `vocab` and `max_context` in tokens.

    windows: per layer the tokens that its attention may look back, 0 for all of them.
    intermediate: of the MLP, 0 where every layer has experts; experts: what layers have in place of the MLP, beyond
    the first ones (`dense_layers`); latent: the latents of MLA, whose queries have `head_dim` elements a head.
    sinks: attention sinks of a head, logits without a key; experts_only: weight format in which the maker stores the
    experts alone, "" where there is none.
    attention_bias, output_bias, mlp_bias: biases on q/k/v, on o, on gate/up/down.
    published_parameters, published_active: the maker's counts, None where not known; source: where the shape was read;
    assumptions: numbers of the shape that were not found.
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
    experts: Experts | None = None
    dense_layers: tuple[int, ...] = ()
    latent: Latent | None = None
    sinks: int = 0
    experts_only: str = ""
    published_parameters: float | None = None
    published_active: float | None = None
    assumptions: tuple[Provenance, ...] = ()
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
        """Elements of keys and values, or of their latent, that one token leaves in one layer's cache."""
        return self.latent.cached if self.latent else 2 * self.kv_width

    @property
    def layer_kinds(self) -> tuple[Layer, ...]:
        """The kind of every layer."""
        routed = self.experts is not None
        dense = frozenset(self.dense_layers)
        return tuple(Layer(window, routed and at not in dense) for at, window in enumerate(self.windows))

    @property
    def segments(self) -> tuple[LayerRun, ...]:
        """Runs of layers that repeat, in order."""
        return segments(self.layer_kinds)

    @cached_property
    def attention_parameters(self) -> int:
        """Parameters of one layer's attention: its projections, their biases, norms of queries and keys, sinks."""
        if self.latent:
            return self.latent.parameters(self.hidden, self.heads)
        matrices = 2 * self.hidden * (self.query_width + self.kv_width)
        biases = self.attention_bias * (self.query_width + 2 * self.kv_width) + self.output_bias * self.hidden
        return matrices + biases + self.qk_norm * 2 * self.head_dim + self.sinks * self.heads

    @property
    def mlp_parameters(self) -> int:
        """Parameters of one dense MLP: gate, up and down, their biases."""
        return 3 * self.hidden * self.intermediate + self.mlp_bias * (2 * self.intermediate + self.hidden)

    @property
    def layer_parameters(self) -> int:
        """Parameters of the mean layer, rounded down."""
        return self._layers_parameters(self.experts.count if self.experts else 0) // self.layers

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding table; the LM head has as many, or shares them where tied."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, counted from its shape; heads that predict further tokens are left out."""
        tables = self.embedding_parameters * (1 if self.tied_embeddings else 2)
        return self._layers_parameters(self.experts.count if self.experts else 0) + tables + self.hidden

    @property
    def active_parameters(self) -> int:
        """Parameters that one token is multiplied with: of the experts the chosen ones, of the tables the LM head."""
        layers = self._layers_parameters(self.experts.chosen if self.experts else 0)
        return layers + self.embedding_parameters + self.hidden

    def _layers_parameters(self, experts: int) -> int:
        """Parameters of all layers with two norms each, counting `experts` routed experts a layer."""
        routed = sum(layer.routed for layer in self.layer_kinds)
        total = self.layers * (self.attention_parameters + 2 * self.hidden)
        total += (self.layers - routed) * self.mlp_parameters
        return total + (routed * self.experts.parameters(self.hidden, experts) if self.experts else 0)

    def summary(self) -> dict[str, Any]:
        """What `npusim show` says about the model, as plain JSON values."""
        told = ("hidden", "layers", "intermediate", "heads", "kv_heads", "head_dim", "vocab", "max_context")
        flags = ("tied_embeddings", "qk_norm", "attention_bias", "sinks", "experts_only")
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "parameters": self.parameters,
            "published_parameters": self.published_parameters,
            "active_parameters": self.active_parameters,
            "published_active_parameters": self.published_active,
            "layer_parameters": self.layer_parameters,
            **{key: getattr(self, key) for key in (*told, *flags)},
            "segments": [
                {"layers": [layer._asdict() for layer in run], "repeats": repeats} for run, repeats in self.segments
            ],
            "experts": asdict(self.experts) if self.experts else None,
            "latent": asdict(self.latent) if self.latent else None,
            "kv_elements_per_token": self.layers * self.kv_elements_per_token_per_layer,
            "assumptions": [
                {"name": item.path, **item.quantity.model_dump(exclude={"sd", "date"})} for item in self.assumptions
            ],
            "source": self.source,
            "notes": list(self.notes),
        }
