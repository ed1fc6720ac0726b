"""The work of each operator of a graph: its extents, floating-point operations and bytes, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from npusim.graphs.graph import Dialect, GraphNode, GraphTensor, ModelGraph
from npusim.graphs.operators import ATTENTION, CONVOLUTION, PRODUCT, UNKNOWN_KIND, VIEW, OperatorKind, kind_of_operator

_GATHER = "gather"
_Shape = tuple[int, ...]
_Shapes = list[_Shape | None]


@dataclass(frozen=True)
class Extents:
    """A product of m x k by k x n elements, `batch` times."""

    m: int
    n: int
    k: int
    batch: int = 1

    @property
    def flops(self) -> float:
        """A multiplication and an addition for each element of each sum."""
        return 2.0 * self.m * self.n * self.k * self.batch


@dataclass(frozen=True)
class OperatorWork:
    """An operator. kind: of its work; extents: of its product, None where it is none; flops, input_bytes, output_bytes:
    None where a shape is not known; weight_bytes: of the stored tensors that it names, whole; input_bytes: of what it
    reads beside them."""

    node: GraphNode
    kind: str
    extents: Extents | None
    flops: float | None
    weight_bytes: float
    input_bytes: float | None
    output_bytes: float | None

    @property
    def touched_bytes(self) -> float:
        """What it reads and writes as far as it is known; of gathered weights only what is taken."""
        weights = 0.0 if self.kind == _GATHER else self.weight_bytes
        return weights + (self.input_bytes or 0.0) + (self.output_bytes or 0.0)


def works_of(graph: ModelGraph) -> tuple[OperatorWork, ...]:
    """The work of every operator, in the order of the graph."""
    return tuple(_work(graph, node) for node in graph.nodes)


def _work(graph: ModelGraph, node: GraphNode) -> OperatorWork:
    kind = kind_of_operator(node.op, graph.dialect)
    name = UNKNOWN_KIND if kind is None else kind.kind
    read = [graph.tensor(each) for each in node.inputs if each]
    written = [graph.tensor(each) for each in node.outputs if each]
    weights = sum(each.size or 0.0 for each in read if each is not None and each.weight)
    if name == VIEW:
        return OperatorWork(node, name, None, 0.0, weights, 0.0, 0.0)
    moved_in, moved_out = _bytes([each for each in read if each is None or not each.weight]), _bytes(written)
    if name == _GATHER and moved_in is not None:
        moved_in = _gathered_bytes(read, moved_out)
    extents = _extents(graph, node, name)
    flops = _flops(graph, node, kind, extents, read, written)
    return OperatorWork(node, name, extents, flops, weights, moved_in, moved_out)


def _bytes(tensors: list[GraphTensor | None]) -> float | None:
    sizes = [None if each is None else each.size for each in tensors]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _gathered_bytes(read: list[GraphTensor | None], written: float | None) -> float | None:
    """The indices, and of a table that is no weight the elements that are taken."""
    indices = _bytes([each for each in read[1:] if each is None or not each.weight])
    taken = 0.0 if read and read[0] is not None and read[0].weight else written
    return None if indices is None or taken is None else indices + taken


def _flops(
    graph: ModelGraph,
    node: GraphNode,
    kind: OperatorKind | None,
    extents: Extents | None,
    read: list[GraphTensor | None],
    written: list[GraphTensor | None],
) -> float | None:
    """Operations of an operator; of attention those of its two products, a mask not taken off."""
    if kind is None:
        return None
    if kind.kind == ATTENTION:
        return _attention_flops(_shape(graph, node, 0), _shape(graph, node, 1), _result(graph, node))
    if kind.flops_per_element is None:
        return None if extents is None else extents.flops
    counted = [each for each in read if each is None or not each.weight] if kind.of_inputs else written[:1]
    elements = [None if each is None else each.elements for each in counted]
    known = [each for each in elements if each is not None]
    return kind.flops_per_element.value * sum(known) if len(known) == len(elements) else None


def _attention_flops(queries: _Shape | None, keys: _Shape | None, result: _Shape | None) -> float | None:
    if queries is None or keys is None or result is None or min(len(queries), len(keys)) < 2:
        return None
    return 2.0 * keys[-2] * (math.prod(queries) + math.prod(result))


def _shape(graph: ModelGraph, node: GraphNode, at: int) -> _Shape | None:
    tensor = graph.tensor(node.inputs[at]) if at < len(node.inputs) else None
    return None if tensor is None else tensor.shape


def _result(graph: ModelGraph, node: GraphNode) -> _Shape | None:
    tensor = graph.tensor(node.outputs[0]) if node.outputs else None
    return None if tensor is None else tensor.shape


def _extents(graph: ModelGraph, node: GraphNode, kind: str) -> Extents | None:
    """The extents of a product, None where it is none or its shapes are not known."""
    if kind == ATTENTION:
        queries, keys = _shape(graph, node, 0), _shape(graph, node, 1)
        if queries is None or keys is None or min(len(queries), len(keys)) < 2:
            return None
        return Extents(queries[-2], keys[-2], queries[-1], math.prod(queries[:-2]))
    if kind == CONVOLUTION:
        return _convolved(_shape(graph, node, 1), _result(graph, node), node)
    if kind != PRODUCT:
        return None
    shapes = [_shape(graph, node, at) for at in range(len(node.inputs))]
    return _PRODUCTS.get((graph.dialect, node.op), _multiplied)(shapes, node)


def _multiplied(shapes: _Shapes, _node: GraphNode) -> Extents | None:
    """The last two dimensions of both; where the second has no others, the first's are rows."""
    if len(shapes) < 2 or not shapes[0] or not shapes[1]:
        return None
    left = shapes[0] if len(shapes[0]) > 1 else (1, *shapes[0])
    right = shapes[1] if len(shapes[1]) > 1 else (*shapes[1], 1)
    if left[-1] != right[-2]:
        return None
    if len(right) == 2:
        return Extents(math.prod(left[:-1]), right[-1], right[-2])
    return Extents(left[-2], right[-1], right[-2], max(math.prod(left[:-2]), math.prod(right[:-2])))


def _after_a_bias(shapes: _Shapes, node: GraphNode) -> Extents | None:
    return _multiplied(shapes[1:], node)


def _linear(shapes: _Shapes, node: GraphNode) -> Extents | None:
    """Weights are stored as outputs x inputs."""
    if len(shapes) < 2 or shapes[1] is None:
        return None
    return _multiplied([shapes[0], shapes[1][::-1]], node)


def _gemm(shapes: _Shapes, node: GraphNode) -> Extents | None:
    turned = [
        shape[::-1] if shape is not None and node.attributes.get(name) else shape
        for shape, name in zip(shapes[:2], ("transA", "transB"), strict=False)
    ]
    return _multiplied(turned, node)


def _of_attributes(shapes: _Shapes, node: GraphNode) -> Extents | None:
    """Packed weights, whose extents the node tells."""
    n, k = node.attributes.get("N"), node.attributes.get("K")
    if not shapes or shapes[0] is None or n is None or k is None:
        return None
    return Extents(math.prod(shapes[0][:-1]), int(n), int(k))


_PRODUCTS: dict[tuple[Dialect, str], Callable[[_Shapes, GraphNode], Extents | None]] = {
    ("onnx", "Gemm"): _gemm,
    ("onnx", "com.microsoft.MatMulNBits"): _of_attributes,
    ("aten", "linear"): _linear,
    ("aten", "addmm"): _after_a_bias,
    ("aten", "baddbmm"): _after_a_bias,
}
"""How extents follow from the operands, where not as those of a plain product."""


def _convolved(weights: _Shape | None, result: _Shape | None, node: GraphNode) -> Extents | None:
    """A sum over a window for each point of the result; groups are products apart."""
    if weights is None or result is None or len(result) < 2 or node.attributes.get("transposed"):
        return None
    groups = int(node.attributes.get("group", node.attributes.get("groups", 1)))
    if groups < 1:
        return None
    points = result[0] * math.prod(result[2:])
    return Extents(points, weights[0] // groups, math.prod(weights[1:]), groups)
