"""Descriptions as flat NumPy records: the names come from the pydantic models, so a new key needs no second list.

A quantity of a part in a list (a step path, a kernel library) is one element of an array field.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from npusim.compilation import record_type
from npusim.errors import UserError
from npusim.hardware.compute import Unit
from npusim.ledger import Quantity

MAX_PARTS = 8


class FlatField(NamedTuple):
    """Name of a field of a record, and whether it is an array over the parts of a list."""

    name: str
    is_list: bool


class FlatQuantity(NamedTuple):
    """A quantity with its field, and its index where the field is an array."""

    name: str
    position: int | None
    quantity: Quantity


def quantity_fields(
    schema: type[BaseModel], prefix: str = "", in_list: bool = False, skipped: tuple[str, ...] = ()
) -> Iterator[FlatField]:
    """Fields of every quantity of a schema but of the parts `skipped`; a compute unit's carry its own prefix."""
    for name, field in schema.model_fields.items():
        if name in skipped:
            continue
        for model, listed in _models(field.annotation, in_list):
            if issubclass(model, Quantity):
                yield FlatField(f"{prefix}{name}", listed)
            else:
                yield from quantity_fields(model, _inner_prefix(prefix, name, model), listed)


def quantities(description: BaseModel, prefix: str = "", position: int | None = None) -> Iterator[FlatQuantity]:
    """Every quantity of a description with its field."""
    for name in type(description).model_fields:
        value = getattr(description, name)
        if isinstance(value, Quantity):
            yield FlatQuantity(f"{prefix}{name}", position, value)
        elif isinstance(value, BaseModel):
            yield from quantities(value, _inner_prefix(prefix, name, type(value)), position)
        elif isinstance(value, tuple):
            for index, part in enumerate(value):
                if isinstance(part, BaseModel):
                    yield from quantities(part, _inner_prefix(prefix, name, type(part)), index)


def fill(record: Any, description: BaseModel, prefix: str = "") -> None:
    """Write every quantity of `description` into `record`; one that it leaves out stays NaN."""
    for name, position, quantity in quantities(description, prefix):
        if position is None:
            record[name] = quantity.value
        elif position < MAX_PARTS:
            record[name][position] = quantity.value
        else:
            raise UserError(str(getattr(description, "name", "description")), name, f"more than {MAX_PARTS} parts")


def record_dtype(fields: Iterable[FlatField], extra: list[tuple[Any, ...]]) -> np.dtype[np.void]:
    """A record of float64 fields (arrays for parts of lists) after the fields of `extra`."""
    shaped = [
        (name, np.float64, (MAX_PARTS,)) if is_list else (name, np.float64) for name, is_list in dict.fromkeys(fields)
    ]
    return record_type([*extra, *shaped])


def empty_record(dtype: np.dtype[np.void]) -> np.ndarray:
    """An array of one record, every float NaN."""
    records = np.zeros(1, dtype)
    for name in dtype.names or ():
        if dtype[name].base == np.float64:
            records[name] = math.nan
    return records


def _inner_prefix(prefix: str, name: str, model: type[BaseModel]) -> str:
    return f"{model.TRAITS.prefix}_" if issubclass(model, Unit) else f"{prefix}{name}_"


def _models(annotation: Any, in_list: bool) -> list[tuple[type[BaseModel], bool]]:
    """Models in an annotation, and whether they are in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, in_list)]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated, tuple):
        listed = in_list or origin is tuple
        return [found for inner in typing.get_args(annotation) for found in _models(inner, listed)]
    return []
