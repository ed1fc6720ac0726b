"""A graph of operators, whatever file it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from npusim.errors import UserError

Dialect = Literal["onnx", "aten"]
"""Whose names the operators have."""
_MOST_ELEMENTS = 2**60
"""Elements that no memory holds."""


@dataclass(frozen=True)
class GraphTensor:
    """shape: its extents, None where they cannot be told; bits: of an element; weight: it is stored with the model."""

    shape: tuple[int, ...] | None
    bits: float
    weight: bool = False

    @property
    def elements(self) -> int | None:
        """Number of elements, None where the shape is not known."""
        return None if self.shape is None else math.prod(self.shape)

    @property
    def size(self) -> float | None:
        """Bytes, None where the shape is not known."""
        return None if self.elements is None else self.elements * self.bits / 8.0


def graph_tensor(
    location: str, name: str, shape: tuple[int, ...] | None, bits: float, weight: bool = False
) -> GraphTensor:
    """A tensor of a file. Raises UserError for extents below zero, and for more elements than any memory holds."""
    if shape is not None and (any(each < 0 for each in shape) or math.prod(shape) > _MOST_ELEMENTS):
        raise UserError(location, name, f"has the shape {list(shape)}, which no tensor has; export the model anew")
    return GraphTensor(shape, bits, weight)


@dataclass(frozen=True)
class GraphNode:
    """An operator. op: its name in its dialect; inputs, outputs: names of tensors, "" where an input is left out."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelGraph:
    """nodes: in an order in which they can be run; tensors: by name; results: names of what the graph gives."""

    dialect: Dialect
    nodes: tuple[GraphNode, ...]
    tensors: Mapping[str, GraphTensor]
    results: tuple[str, ...]

    def tensor(self, name: str) -> GraphTensor | None:
        """The tensor of that name, None where nothing is told of it."""
        return self.tensors.get(name)

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights that a node reads, each once."""
        read = {name for node in self.nodes for name in node.inputs}
        found = (self.tensors[name] for name in read if name in self.tensors)
        return sum(tensor.size or 0.0 for tensor in found if tensor.weight)
