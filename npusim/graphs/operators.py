"""Data about operators: what kind of work each is, which units run it, and what the host takes for one."""

from __future__ import annotations

from typing import Annotated, Literal

from npusim.graphs.graph import Dialect
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.units import KINDS
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file, remembered
from npusim.ledger import Bandwidth, Duration, Quantity, in_unit

Status = Literal["native", "decomposed", "host", "unknown"]
STATUSES: tuple[Status, ...] = ("native", "decomposed", "host", "unknown")
"""From the most favourable to the least."""
PRODUCT, CONVOLUTION, ATTENTION, VIEW, UNKNOWN_KIND = "matrix_product", "convolution", "attention", "view", "unknown"

_Flops = Annotated[Quantity, in_unit("", zero=True, most=1e4)]
"""Operations for an element."""
_Rate = Annotated[Quantity, in_unit("", least=1e6, most=1e16)]
"""Operations/s: from a microcontroller's to more than a rack's."""


class OperatorKind(Part):
    """A kind of work, and the operators that are of it."""

    kind: str
    """Name of the kind."""
    onnx: tuple[str, ...] = ()
    """Operators of ONNX, those of other domains with their domain before them."""
    aten: tuple[str, ...] = ()
    """Operators of PyTorch's ATen, without their overload."""
    of_inputs: bool = False
    """Whether operations are counted by the elements that are read, in place of those of the result."""
    flops_per_element: _Flops | None = None
    """Operations for each element; omitted where they follow from the shapes."""


class OperatorTable(Part):
    """The shipped table of operators."""

    name: str
    """Name under which it is looked up and shown."""
    kinds: tuple[OperatorKind, ...]
    """Every kind of work."""


class Support(Part):
    """How a unit runs some operators."""

    status: Literal["native", "decomposed", "host"]
    """`native`: a command or kernel of its own; `decomposed`: several; `host`: the host runs it."""
    kinds: tuple[str, ...] = ()
    """Kinds of operators that it holds for."""
    operators: tuple[str, ...] = ()
    """Operators that it holds for, whatever their kind."""
    standing: Literal["published", "assumed"]
    """Whether the maker tells it."""
    source: str
    """Where it stands, or why it is assumed."""


class UnitSupport(Part):
    """Which operators a kind of compute unit runs."""

    name: str
    """The kind of unit."""
    title: str
    """Title as shown in reports."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    support: tuple[Support, ...]
    """What it runs, and how; what stands in none is unknown."""


class HostOperators(Part):
    """What an operator takes on the host."""

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    dispatch: Duration
    """Fixed time of an operator, in seconds."""
    memory_rate: Bandwidth
    """Rate at which it reads and writes its tensors, in bytes/s."""
    operations: _Rate
    """Rate at which it computes, in operations/s."""


@remembered
def operator_table() -> OperatorTable:
    """The shipped kinds of work with their provenances."""
    return load_yaml(data_root("workloads") / "operators.yaml", OperatorTable)


@remembered
def host_operators() -> HostOperators:
    """What the host takes, with its provenances."""
    return load_yaml(data_root("arch_configs") / "operators" / "host.yaml", HostOperators)


@remembered
def unit_support(unit: str) -> UnitSupport:
    """What is told of a kind of unit; nothing where no file tells it."""
    path = data_root("arch_configs") / "operators" / f"{unit}.yaml"
    if not is_file(path):
        return UnitSupport(name=unit, title=unit, support=())
    return load_yaml(path, UnitSupport)


def kind_of_operator(op: str, dialect: Dialect) -> OperatorKind | None:
    """The kind of work of an operator, None where it is not known."""
    return next((each for each in operator_table().kinds if op in getattr(each, dialect)), None)


def support_of(op: str, kind: str, unit: str) -> Support | None:
    """How a unit runs an operator, what is told of the operator before what is told of its kind; None: not told."""
    told = unit_support(unit).support
    return next((each for each in told if op in each.operators), None) or next(
        (each for each in told if kind in each.kinds), None
    )


def unit_kinds() -> tuple[str, ...]:
    """Every kind of unit."""
    return tuple(KINDS)
