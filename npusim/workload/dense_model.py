"""A dense model of which only the number of parameters is told: "dense 20B", in the shape of its day."""

from __future__ import annotations

import re
from typing import Annotated

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Count, Quantity, in_unit, provenances
from npusim.workload.model import Model

_NAMED = re.compile(r"dense[ -]?(\d+(?:\.\d+)?)\s?b", re.IGNORECASE)
_BILLION = 1e9
"""Parameters in the B of "20B"."""
_NEAR = 0.02
"""Part by which the model's parameters may miss those that are told."""
_ALIGNED = 256
"""Widths of an MLP are multiples of it, as those of shipped models are."""
_Ratio = Annotated[Quantity, in_unit("")]


class Shape(Part):
    """Proportions of a dense decoder with gated MLPs and grouped queries."""

    hidden_per_layer: _Ratio
    """Ratio of the hidden size to the number of layers."""
    head_dim: Count
    """Number of elements of a head."""
    kv_heads: Count
    """Number of KV heads, which share the query heads evenly."""
    vocabulary: Count
    """Number of tokens of the vocabulary; table and LM head are two."""
    context: Count
    """Largest number of tokens of a sequence."""
    intermediate_per_hidden: _Ratio
    """Ratio of the width of the MLP to the hidden size, from which layers are counted."""


class Dense(Part):
    """The shipped assumption about dense models of which only the number of parameters is told."""

    name: str
    """Name under which it is looked up and shown."""
    shape: Shape
    """Proportions."""


@remembered
def dense_shape() -> Dense:
    """The shipped assumption with its provenances."""
    return load_yaml(data_root("workloads") / "dense.yaml", Dense)


def told_parameters(name: str) -> float | None:
    """The parameters that "dense 20B" tells, None for another name."""
    found = _NAMED.fullmatch(name.strip())
    return float(found[1]) * _BILLION if found and float(found[1]) > 0.0 else None


def dense_model(parameters: float) -> Model:
    """A dense model with that many parameters: as many layers as its proportions give, the MLP takes what is left.

    Raises UserError for fewer than such a shape has.
    """
    described = dense_shape()
    shape = described.shape
    vocab, head_dim = int(shape.vocabulary.value), int(shape.head_dim.value)
    kv_heads = int(shape.kv_heads.value)

    def of_layers(layers: int, intermediate: int | None = None) -> Model:
        heads = max(1, round(layers * shape.hidden_per_layer.value / head_dim / kv_heads)) * kv_heads
        hidden = heads * head_dim
        width = intermediate or round(hidden * shape.intermediate_per_hidden.value / _ALIGNED) * _ALIGNED
        title = f"Dense {parameters / _BILLION:g}B (assumed shape)"
        return Model(
            name=f"dense-{parameters / _BILLION:g}b",
            title=title,
            family="dense",
            hidden=hidden,
            layers=layers,
            intermediate=width,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            vocab=vocab,
            max_context=int(shape.context.value),
            tied_embeddings=False,
            qk_norm=False,
            attention_bias=False,
            windows=(0,) * layers,
            published_parameters=parameters,
            assumptions=tuple(provenances(described.name, described)),
            source="the number of parameters alone; the proportions are assumed (workloads/dense.yaml)",
        )

    layers = 2
    while of_layers(layers + 1).parameters <= parameters:
        layers += 1
    drawn = of_layers(layers)
    left = (parameters - drawn.parameters) / (3 * drawn.hidden * layers)
    width = max(_ALIGNED, round((drawn.intermediate + left) / _ALIGNED) * _ALIGNED)
    found = of_layers(layers, width)
    if abs(found.parameters / parameters - 1.0) > _NEAR:
        message = f"no model of the assumed shape has {parameters / _BILLION:g}B parameters; give a config.json"
        raise UserError("model", found.name, message)
    return found
