"""Models that draft tokens for another one: a smaller one of its vocabulary, or a head of one layer on it."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.attention import Attention, Latent
from npusim.workload.layers import Layer
from npusim.workload.model import Model


def drafting_model(model: Model) -> Model:
    """A model that drafts: only the last of a sequence's new tokens needs logits, from which the next one is drawn."""
    return replace(model, drafts=True)


def drafting_head(model: Model, features: int, vocabulary: int | None) -> Model:
    """A head on `model`: `features` hidden vectors joined by a projection, one layer as the last one, logits.

    It embeds by the model's table, and uses its LM head unless it has one of its own with `vocabulary` tokens (Li et
    al., EAGLE-3, arXiv 2503.01840; DeepSeek-AI, DeepSeek-V3, arXiv 2412.19437, section 2.2).
    """
    return replace(
        model,
        name=f"{model.name} head",
        title=f"Drafting head of {model.title}",
        layer_kinds=(_last_whole_layer(model),),
        towers=(),
        predictors=0,
        tied_embeddings=True,
        vocab=vocabulary or model.vocab,
        joined=features,
        borrows_head=vocabulary is None,
        drafts=True,
        published_parameters=None,
        published_active=None,
    )


def _last_whole_layer(model: Model) -> Layer:
    """The last layer with attention and a feed, the last one where none has both."""
    whole = (
        layer
        for layer in reversed(model.layer_kinds)
        if isinstance(layer.mixer, Attention | Latent) and layer.feed is not None
    )
    return next(whole, model.layer_kinds[-1])
