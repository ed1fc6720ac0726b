"""The shape of a decoder-only model, and what follows from the shape alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from npusim.ledger import Provenance
from npusim.workload.attention import Attention, Latent
from npusim.workload.checkpoint import Checkpoint
from npusim.workload.feeds import Experts, Mlp
from npusim.workload.layers import Feed, Layer, Mixer
from npusim.workload.recurrent import Recurrent, state_bytes
from npusim.workload.segments import LayerRun, segments
from npusim.workload.sparse import Compressed
from npusim.workload.towers import Tower

_PARTS = ("mixer", "beside", "feed")


@dataclass(frozen=True)
class Model:
    """A model's shape. Widths are in elements, `vocab` and `max_context` in tokens.

    layer_kinds: every layer, in order; vectors: parameters beside layers, embedding and head (norms); lookups: of
    further tables of which a token takes a row (positions, embeddings of each layer); front: columns of products of the
    embedding ahead of the layers;
    towers: what turns images or sound into tokens, apart from all counts; predictors: layers that predict further
    tokens, which are neither run nor counted; checkpoint: the formats in which the maker stores it, None for 16 bits.
    drafts: it drafts for another model, logits are wanted of the last new token alone; joined:
    hidden vectors that a projection joins before its first layer, 1 without one; borrows_head: its LM head is that of
    the other model.
    published_parameters, published_active: the maker's counts, None where not known; source: where the shape was read;
    assumptions: numbers of the shape that were not found.
    """

    name: str
    title: str
    family: str
    hidden: int
    vocab: int
    max_context: int
    tied_embeddings: bool
    layer_kinds: tuple[Layer, ...]
    vectors: int
    lookups: int = 0
    front: int = 0
    towers: tuple[Tower, ...] = ()
    predictors: int = 0
    checkpoint: Checkpoint | None = None
    drafts: bool = False
    joined: int = 1
    borrows_head: bool = False
    published_parameters: float | None = None
    published_active: float | None = None
    assumptions: tuple[Provenance, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Of what tells models apart at once; equal models have equal ones."""
        return hash((self.name, self.hidden, self.vocab, len(self.layer_kinds), self.checkpoint))

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.layer_kinds)

    @property
    def windows(self) -> tuple[int, ...]:
        """Per layer the tokens that its attention may look back, 0 for all of them."""
        return tuple(layer.window for layer in self.layer_kinds)

    @cached_property
    def _kinds(self) -> tuple[Layer, ...]:
        """Each kind of layer once, in order."""
        return tuple(dict.fromkeys(self.layer_kinds))

    @property
    def _mixers(self) -> tuple[Mixer | None, ...]:
        return tuple(dict.fromkeys(mixer for layer in self._kinds for mixer in (layer.mixer, layer.beside)))

    @property
    def _feeds(self) -> tuple[Feed | None, ...]:
        return tuple(dict.fromkeys(layer.feed for layer in self._kinds))

    @property
    def attention(self) -> Attention | Latent | Compressed | None:
        """The attention with the most heads, None without attention."""
        found = [mixer for mixer in self._mixers if isinstance(mixer, Attention | Latent | Compressed)]
        return max(found, key=lambda mixer: mixer.heads) if found else None

    @property
    def latent(self) -> Latent | None:
        """The latent attention, None without it."""
        return next((mixer for mixer in self._mixers if isinstance(mixer, Latent)), None)

    @property
    def experts(self) -> Experts | None:
        """The mixture of experts, None without it."""
        return next((feed for feed in self._feeds if isinstance(feed, Experts)), None)

    @property
    def intermediate(self) -> int:
        """Width of the widest MLP in place of experts, 0 without one."""
        return max((feed.width for feed in self._feeds if isinstance(feed, Mlp)), default=0)

    @property
    def heads(self) -> int:
        """Most heads of a layer, over which its products are shared."""
        return max(mixer.heads for mixer in self._mixers if mixer is not None)

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values of the attention; 0 without one."""
        return self.attention.kv_heads if self.attention else 0

    @property
    def head_dim(self) -> int:
        """Elements of a query of the attention; 0 without one."""
        return self.attention.head_dim if self.attention else 0

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of keys and values, or of their latents, that one token leaves in the caches of all layers."""
        return sum(mixer.cached for layer in self.layer_kinds for mixer in layer.mixers)

    @property
    def state_bytes(self) -> float:
        """Bytes of the states of one sequence, which do not grow with it; what convolutions keep is 16 bits wide."""
        found = [mixer for layer in self.layer_kinds for mixer in layer.mixers if isinstance(mixer, Recurrent)]
        return sum(state_bytes(mixer) for mixer in found)

    @property
    def segments(self) -> tuple[LayerRun, ...]:
        """Runs of layers that repeat, in order."""
        return segments(self.layer_kinds)

    @property
    def layer_parameters(self) -> int:
        """Parameters of the mean layer, rounded down."""
        return self._layers_parameters(chosen=False) // self.layers

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding table; the LM head has as many, or shares them where tied."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, counted from its shape; heads that predict further tokens are left out."""
        tables = self.embedding_parameters * (1 if self.tied_embeddings else 2)
        return self._layers_parameters(chosen=False) + tables + self.vectors + self.front * self.hidden + self.lookups

    @property
    def active_parameters(self) -> int:
        """Parameters that one token is multiplied with: of the experts the chosen ones, of the tables the LM head."""
        beside = self.embedding_parameters + self.vectors + self.front * self.hidden
        return self._layers_parameters(chosen=True) + beside

    def _layers_parameters(self, chosen: bool) -> int:
        """Parameters of all layers, with all routed experts or with the chosen ones."""
        counts = {layer: layer.parameters(self.hidden, chosen) for layer in self._kinds}
        return sum(counts[layer] for layer in self.layer_kinds)

    def with_experts(self, **changes: Any) -> Model:
        """The model with these fields of its experts in every layer that has them."""
        return self._with({feed: replace(feed, **changes) for feed in self._feeds if isinstance(feed, Experts)})

    def with_mixers(self, **changes: Any) -> Model:
        """The model with these fields of what mixes tokens in every layer that has it."""
        return self._with({mixer: replace(mixer, **changes) for mixer in self._mixers if mixer is not None})

    def _with(self, parts: dict[Any, Any]) -> Model:
        """The model with other parts in place of these."""
        changed = {
            layer: layer._replace(**{name: parts.get(part, part) for name in _PARTS if (part := getattr(layer, name))})
            for layer in self._kinds
        }
        return replace(self, layer_kinds=tuple(changed[layer] for layer in self.layer_kinds))

    def summary(self) -> dict[str, Any]:
        """What `npusim show` says about the model, as plain JSON values."""
        told = ("hidden", "layers", "intermediate", "heads", "kv_heads", "head_dim", "vocab", "max_context")
        flags = ("tied_embeddings", "kv_elements_per_token", "state_bytes", "predictors")
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
                {"layers": [layer.summary() for layer in run], "repeats": repeats} for run, repeats in self.segments
            ],
            "attention": asdict(self.attention) if self.attention else None,
            "experts": asdict(self.experts) if self.experts else None,
            "latent": asdict(self.latent) if self.latent else None,
            "checkpoint": asdict(self.checkpoint) if self.checkpoint else None,
            "towers": [tower.summary() for tower in self.towers],
            "assumptions": [
                {"name": item.path, **item.quantity.model_dump(exclude={"sd", "date"})} for item in self.assumptions
            ],
            "source": self.source,
            "notes": list(self.notes),
        }
