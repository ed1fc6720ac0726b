"""Descriptions as flat NumPy records: the names come from the pydantic models, so a new key needs no second list."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel

from npusim.ledger import Quantity

_UNION_PREFIX = {"contraction_processor": "tcp", "gpu": "gpu"}


def quantity_fields(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Flat names of every quantity of a schema; members of a union of units carry the unit's own prefix."""
    for name, field in schema.model_fields.items():
        for model in _direct_models(field.annotation):
            if issubclass(model, Quantity):
                yield f"{prefix}{name}"
            else:
                yield from quantity_fields(model, _inner_prefix(prefix, name, model))


def quantities(description: BaseModel, prefix: str = "") -> Iterator[tuple[str, Quantity]]:
    """Every quantity of a description with its flat name."""
    for name in type(description).model_fields:
        value = getattr(description, name)
        if isinstance(value, Quantity):
            yield f"{prefix}{name}", value
        elif isinstance(value, BaseModel):
            yield from quantities(value, _inner_prefix(prefix, name, type(value)))


def fill(record: Any, description: BaseModel) -> None:
    """Write every quantity of `description` into `record`; a quantity that it leaves out stays NaN."""
    for name, quantity in quantities(description):
        record[name] = quantity.value


def record_dtype(names: Iterator[str], extra: list[tuple[Any, ...]]) -> np.dtype[np.void]:
    """A record of float64 fields `names` after the fields of `extra`."""
    return np.dtype([*extra, *((name, np.float64) for name in dict.fromkeys(names))])


def empty_record(dtype: np.dtype[np.void]) -> np.ndarray:
    """An array of one record, every float NaN."""
    records = np.zeros(1, dtype)
    for name in dtype.names or ():
        if dtype[name] == np.float64:
            records[name] = math.nan
    return records


def _inner_prefix(prefix: str, name: str, model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    tags = typing.get_args(kind.annotation) if kind is not None else ()
    if len(tags) == 1 and tags[0] in _UNION_PREFIX:
        return f"{_UNION_PREFIX[tags[0]]}_"
    return f"{prefix}{name}_"


def _direct_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [model for inner in typing.get_args(annotation) for model in _direct_models(inner)]
    return []
