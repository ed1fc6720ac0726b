"""Formulas of specifications and of what is usual: arithmetic over numbers and metrics.

They are read into a tree of their own and never executed as Python.

    2 * chip.unit.clusters
    power_w <= 0.9 * chip.power.cap

A name is a number's dotted path or the end of one where no other ends so, a metric, or a unit (GB, KiB, GHz, us):
numbers are SI.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_LONGEST = 400
_UNITS = {
    "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
    "MHz": 1e6, "GHz": 1e9, "ns": 1e-9, "us": 1e-6, "ms": 1e-3,
}  # fmt: skip
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: np.float_power,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.LtE: operator.le, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.Gt: operator.gt, ast.Eq: operator.eq,
}  # fmt: skip
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "min": (2, np.minimum), "max": (2, np.maximum), "ceil": (1, np.ceil), "floor": (1, np.floor), "round": (1, np.rint),
    "sqrt": (1, np.sqrt), "log2": (1, np.log2),
}  # fmt: skip
Values = Mapping[str, Any]
_Node = Callable[[Values], Any]


@dataclass(frozen=True)
class Formula:
    """text: as written; names: of numbers and metrics in it; is_condition: whether it compares."""

    text: str
    names: tuple[str, ...]
    is_condition: bool
    _value: _Node

    def of(self, values: Values) -> np.ndarray:
        """Its value, or for a condition whether it holds, from float64 arrays by name; NaN holds nothing."""
        with np.errstate(all="ignore"):
            return np.asarray(self._value(values))


def parse(text: str) -> Formula:
    """The formula in that text. Raises ValueError with the mend."""
    if len(text) > _LONGEST:
        raise ValueError(f"a formula has at most {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names: dict[str, None] = {}
        value = _condition(tree, names) if isinstance(tree, ast.Compare) else _number(tree, names)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"'{text}' is no formula; write e.g. 2 * chip.unit.clusters") from error
    return Formula(text, tuple(names), isinstance(tree, ast.Compare), value)


def _condition(tree: ast.Compare, names: dict[str, None]) -> _Node:
    sides = [_number(each, names) for each in (tree.left, *tree.comparators)]
    checks = [_COMPARED.get(type(each)) for each in tree.ops]
    if None in checks:
        raise ValueError("compare with <=, <, >=, > or ==")

    def holds(values: Values) -> Any:
        found = [side(values) for side in sides]
        pairs = zip(checks, found, found[1:], strict=False)
        return np.logical_and.reduce(np.broadcast_arrays(*[check(a, b) for check, a, b in pairs if check]))

    return holds


def _number(tree: ast.expr, names: dict[str, None]) -> _Node:
    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            constant = float(value)
            return lambda _: constant
        case ast.Name() | ast.Attribute():
            return _named(_dotted(tree), names)
        case ast.BinOp(op=sign) if type(sign) in _BINARY:
            first, second, both = _number(tree.left, names), _number(tree.right, names), _BINARY[type(sign)]
            return lambda values: both(np.float64(1.0) * first(values), second(values))
        case ast.UnaryOp(op=turn) if type(turn) in _UNARY:
            inner, turned = _number(tree.operand, names), _UNARY[type(turn)]
            return lambda values: turned(inner(values))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
            count, function = _FUNCTIONS[name]
            if len(tree.args) != count:
                raise ValueError(f"{name} takes {count} {'number' if count == 1 else 'numbers'}")
            inputs = [_number(each, names) for each in tree.args]
            return lambda values: function(*(each(values) for each in inputs))
    raise ValueError(
        f"'{ast.unparse(tree)}' cannot be in a formula; it takes numbers, names, + - * / // % ** and "
        f"{', '.join(_FUNCTIONS)}"
    )


def _named(name: str, names: dict[str, None]) -> _Node:
    if name in _UNITS:
        factor = _UNITS[name]
        return lambda _: factor
    names[name] = None
    return lambda values: values[name]


def _dotted(tree: ast.expr) -> str:
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute):
        return f"{_dotted(tree.value)}.{tree.attr}"
    raise ValueError(f"'{ast.unparse(tree)}' is no name")


def resolved(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` paths that a name means: the same, or the only one that ends so. None for none or several."""
    ending = [path for path in known if path == name or path.endswith(f".{name}")]
    if name in ending:
        return name
    return ending[0] if len(ending) == 1 else None
