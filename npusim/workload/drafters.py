"""Models that draft tokens for another one: a smaller one of its vocabulary, or a head of one layer on it."""

from __future__ import annotations

from dataclasses import replace

from npusim.workload.model import Model


def drafting_model(model: Model) -> Model:
    """A model that drafts: only the last of a sequence's new tokens needs logits, from which the next one is drawn."""
    return replace(model, drafts=True)


def drafting_head(model: Model, features: int, vocabulary: int | None) -> Model:
    """A head on `model`: `features` hidden vectors joined by a projection, one layer as the last one, logits.

    It embeds by the model's table, and uses its LM head unless it has one of its own with `vocabulary` tokens (Li et
    al., EAGLE-3, arXiv 2503.01840; DeepSeek-AI, DeepSeek-V3, arXiv 2412.19437, section 2.2).
    """
    is_dense = not model.layer_kinds[-1].routed
    return replace(
        model,
        name=f"{model.name} head",
        title=f"Drafting head of {model.title}",
        layers=1,
        windows=model.windows[-1:],
        dense_layers=(0,) if is_dense else (),
        experts=None if is_dense else model.experts,
        tied_embeddings=True,
        vocab=vocabulary or model.vocab,
        joined=features,
        borrows_head=vocabulary is None,
        drafts=True,
        published_parameters=None,
        published_active=None,
    )
