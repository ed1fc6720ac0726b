"""What a format of traces is, and all of them: those of the modules in `formats/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from npusim.workload.traces import formats
from npusim.workload.traces.row import TracedRequest

TraceCells = Mapping[str, Any]
"""A row of a CSV file by its columns, or an object of a JSONL file."""


@dataclass(frozen=True)
class TraceFormat:
    """says: what it is, for the list of known formats; is_json: whether its rows are objects, one a line.

    recognises: whether a file is of it, from the columns of its header or the keys of its first object; requests: those
    of a row (raises BadCell); block_tokens: of a block of a prompt, 0 where rows tell of none.
    """

    says: str
    is_json: bool
    recognises: Callable[[frozenset[str]], bool]
    requests: Callable[[TraceCells], Sequence[TracedRequest] | Iterator[TracedRequest]]
    block_tokens: int = 0


@cache
def all_trace_formats() -> tuple[TraceFormat, ...]:
    """The formats of every module in `formats/`, in the order of the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    modules = (importlib.import_module(f"{formats.__name__}.{name}") for name in names)
    return tuple(each for module in modules for each in module.FORMATS)
