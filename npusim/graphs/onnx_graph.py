"""ONNX: the graph of a model's file, with the shapes that follow from those of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.errors import UserError
from npusim.graphs.graph import GraphNode, GraphTensor, ModelGraph, graph_tensor
from npusim.inputs import read_bytes

if TYPE_CHECKING:
    import onnx

_MOST_BYTES = 2**31 - 1
"""What one protobuf message may be; larger models keep their weights in files beside it, which are not read."""
_MAIN = ("", "ai.onnx")
"""Spellings of the domain of ONNX's own operators."""
_BITS_PER_BYTE = 8.0


def read_onnx(path: Path, sizes: Mapping[str, int]) -> ModelGraph:
    """The graph of an ONNX file. sizes: of the dimensions that it leaves open, by name. Nothing in it is run.

    Raises UserError for a file that is none, for an open dimension, and without the extra.
    """
    content = read_bytes(path, _MOST_BYTES)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UserError(str(path), "", "ONNX files need the extra onnx; pip install 'npusim[onnx]'") from error
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise UserError(str(path), "", "is no ONNX model, or is cut; export it anew") from error
    if not model.graph.node:
        raise UserError(str(path), "", "is no ONNX model with operators in it; export it anew")
    _settle(model, sizes, str(path))
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise UserError(str(path), "", f"has shapes that contradict each other ({error}); mend the model") from error
    graph = inferred.graph
    tensors = dict(_tensors(graph, str(path)))
    return ModelGraph("onnx", tuple(_nodes(graph)), tensors, tuple(each.name for each in graph.output))


def _settle(model: onnx.ModelProto, sizes: Mapping[str, int], location: str) -> None:
    """Gives every named dimension its size. Raises UserError for one of an input that has none."""
    graph, used = model.graph, set[str]()
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                used.add(dimension.dim_param)
                dimension.dim_value = sizes[dimension.dim_param]
    stored = {each.name for each in graph.initializer}
    for value in (each for each in graph.input if each.name not in stored):
        for at, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value"):
                continue
            name = dimension.dim_param
            told = f"'{name}'" if name else f"{at}, which has no name,"
            mend = f"give it by --dim {name}=N" if name else "give it a size, or a name, in the model"
            raise UserError(location, value.name, f"leaves dimension {told} open; {mend}")
    unused = [name for name in sizes if name not in used]
    if unused:
        raise UserError("--dim", unused[0], f"{location} has no dimension of that name; leave it out")


def _nodes(graph: onnx.GraphProto) -> Iterator[GraphNode]:
    import onnx

    for number, node in enumerate(graph.node):
        domain, name = _text(node.domain), _text(node.op_type)
        op = name if domain in _MAIN else f"{domain}.{name}"
        plain = {
            _text(each.name): onnx.helper.get_attribute_value(each)
            for each in node.attribute
            if each.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT)
        }
        inputs, outputs = tuple(map(_text, node.input)), tuple(map(_text, node.output))
        yield GraphNode(_text(node.name) or f"{op}_{number}", op, inputs, outputs, plain)


def _tensors(graph: onnx.GraphProto, location: str) -> Iterator[tuple[str, GraphTensor]]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        name, kind = _text(value.name), value.type.tensor_type
        yield name, graph_tensor(location, name, _shape(kind), _bits(location, name, kind.elem_type))
    for weight in graph.initializer:
        name, shape = _text(weight.name), tuple(weight.dims)
        yield name, graph_tensor(location, name, shape, _bits(location, name, weight.data_type), weight=True)


def _text(word: str | bytes) -> str:
    """A word of the file; what is no text in it (protobuf then gives bytes) becomes text that can be shown."""
    return word if isinstance(word, str) else word.decode(errors="replace")


def _shape(kind: Any) -> tuple[int, ...] | None:
    if not kind.HasField("shape") or any(not each.HasField("dim_value") for each in kind.shape.dim):
        return None
    return tuple(each.dim_value for each in kind.shape.dim)


def _bits(location: str, tensor: str, code: int) -> float:
    """Bits of an element of a type of ONNX; 0 of what is no number (texts). Raises UserError for another type."""
    import onnx

    if code not in onnx.TensorProto.DataType.values():
        raise UserError(location, tensor, f"has elements of type {code}, which ONNX does not have; export it anew")
    name = onnx.TensorProto.DataType.Name(code)
    if name in ("INT4", "UINT4", "FLOAT4E2M1"):
        return 4.0
    if name in ("INT2", "UINT2"):
        return 2.0
    if name in ("UNDEFINED", "STRING"):
        return 0.0
    return _BITS_PER_BYTE * onnx.helper.tensor_dtype_to_np_dtype(code).itemsize
