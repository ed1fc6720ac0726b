"""torch.export: the graph of ATen operators in an archive (.pt2), read as data without PyTorch."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.graphs.graph import GraphNode, GraphTensor, ModelGraph, graph_tensor
from npusim.inputs.exported_program import read_exported_program

_PREFIX = "torch.ops."
_MAIN = "aten."
# Bits of an element by the number of its type (ScalarType of torch/_export/serde/schema.py).
_BITS = {
    1: 8, 2: 8, 3: 16, 4: 32, 5: 64, 6: 16, 7: 32, 8: 64, 9: 32, 10: 64, 11: 128, 12: 8, 13: 16, 28: 16, 29: 8, 30: 8,
    31: 8, 32: 8, 33: 8,
}  # fmt: skip
_STORED = ("parameter", "buffer", "tensor_constant")
_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip


def read_exported(path: Path, sizes: Mapping[str, int]) -> ModelGraph:
    """The graph of an archive of torch.export. sizes: of the dimensions that it leaves open, by name (s0, s77, ...).

    Raises UserError for a file that is none, and for an open dimension.
    """
    program = read_exported_program(path)
    try:
        module = program["graph_module"]
        graph = module["graph"]
        reader = _Reader(str(path), sizes)
        stored = {name for each in module["signature"]["input_specs"] for name in _stored(each)}
        tensors = {name: reader.tensor(name, told, name in stored) for name, told in graph["tensor_values"].items()}
        nodes = tuple(reader.node(number, each) for number, each in enumerate(graph["nodes"]))
        results = tuple(name for each in graph["outputs"] for name in _names(each))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        message = f"has a graph of a schema that npusim does not know ({type(error).__name__}); export it anew"
        raise UserError(str(path), "", message) from error
    if not nodes:
        raise UserError(str(path), "", "is a graph without operators; export it anew")
    reader.require_used()
    return ModelGraph("aten", nodes, tensors, results)


def _stored(specification: Mapping[str, Any]) -> Iterator[str]:
    """The name of an input that is stored with the model."""
    for kind in _STORED:
        if kind in specification:
            yield specification[kind]["arg"]["name"]


def _names(argument: Mapping[str, Any]) -> Iterator[str]:
    """Names of the tensors of an argument; "" for one that is left out."""
    if "as_tensor" in argument:
        yield _name(argument["as_tensor"])
    elif "as_tensors" in argument:
        yield from map(_name, argument["as_tensors"])
    elif "as_optional_tensors" in argument:
        for each in argument["as_optional_tensors"]:
            yield from _names(each)
    elif "as_none" in argument:
        yield ""


def _name(told: Mapping[str, Any]) -> str:
    """The name of a tensor. Raises TypeError where it is none."""
    name = told["name"]
    if not isinstance(name, str):
        raise TypeError("a name that is no text")
    return name


class _Reader:
    """Reads tensors and nodes with the sizes that were told. location: of the file, for messages."""

    def __init__(self, location: str, sizes: Mapping[str, int]) -> None:
        self._location, self._sizes = location, sizes
        self._used: set[str] = set()

    def tensor(self, name: str, told: Mapping[str, Any], stored: bool) -> GraphTensor:
        shape = tuple(self._extent(name, each) for each in told["sizes"])
        return graph_tensor(self._location, name, shape, float(_BITS[told["dtype"]]), stored)

    def _extent(self, name: str, told: Mapping[str, Any]) -> int:
        if "as_int" in told:
            return int(told["as_int"])
        expression = told["as_expr"]
        try:
            return self._value(ast.parse(expression["expr_str"], mode="eval").body, name, expression.get("hint"))
        except (SyntaxError, ValueError) as error:
            message = f"has the size '{expression['expr_str']}', which is not read; export it anew"
            raise UserError(self._location, name, message) from error

    def _value(self, node: ast.expr, tensor: str, hint: Any) -> int:
        """A size of whole numbers, symbols and + - * //. Raises ValueError for anything else."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            left, right = (self._value(each, tensor, hint) for each in (node.left, node.right))
            return _OPERATIONS[type(node.op)](left, right)
        if isinstance(node, ast.Name):
            return self._size(node.id, tensor, hint)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            argument = node.args[0]
            if node.func.id in ("Symbol", "Integer") and isinstance(argument, ast.Constant):
                value = argument.value
                return value if isinstance(value, int) else self._size(str(value), tensor, hint)
        raise ValueError("no size")

    def _size(self, name: str, tensor: str, hint: Any) -> int:
        if name not in self._sizes:
            traced = f" (exported with {hint['as_int']})" if isinstance(hint, Mapping) and "as_int" in hint else ""
            message = f"leaves dimension '{name}' open{traced}; give it by --dim {name}=N"
            raise UserError(self._location, tensor, message)
        self._used.add(name)
        return self._sizes[name]

    def node(self, number: int, told: Mapping[str, Any]) -> GraphNode:
        target = str(told["target"]).removeprefix(_PREFIX)
        # aten.softmax.int: the overload says how arguments are passed, not what is computed.
        op = target.removeprefix(_MAIN).partition(".")[0] if target.startswith(_MAIN) else target
        inputs = tuple(name for each in told["inputs"] for name in _names(each["arg"]))
        outputs = tuple(name for each in told["outputs"] for name in _names(each))
        plain = {
            each["name"]: value
            for each in told["inputs"]
            for kind, value in each["arg"].items()
            if kind in ("as_int", "as_bool") and isinstance(value, int)
        }
        return GraphNode(str(told.get("name") or f"{op}_{number}"), op, inputs, outputs, plain)

    def require_used(self) -> None:
        """Raises UserError for a size of which there is no dimension."""
        unused = [name for name in self._sizes if name not in self._used]
        if unused:
            raise UserError("--dim", unused[0], f"{self._location} has no dimension of that name; leave it out")
