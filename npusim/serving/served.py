"""Requests that were answered, as columns of arrays; whoever asks for one of them gets it as an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np

from npusim.serving.request import Request

_TIMES = ("due_s", "sent_s", "queued_s", "admitted_s", "first_token_s", "last_token_s")
"""Of a request and its row."""


class ServedRequests(Sequence[Request]):
    """rows: a structured array, a row each, named as the attributes of Request; make: gives the requests themselves."""

    def __init__(self, rows: np.ndarray, make: Callable[[], list[Request]]) -> None:
        self.rows = rows
        self._make = make

    @cached_property
    def _requests(self) -> list[Request]:
        return self._make()

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._requests[index]

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)


def column_of(requests: Sequence[Request], name: str) -> np.ndarray:
    """An attribute of every request."""
    if isinstance(requests, ServedRequests):
        return np.asarray(requests.rows[name])
    return np.array([getattr(request, name) for request in requests])


def as_requests(rows: np.ndarray, requests: list[Request]) -> list[Request]:
    """Those of `requests` that have rows, brought to where their rows are."""
    found = [requests[index] for index in rows["index"].tolist()]
    for name in (*_TIMES, "generated", "computed", "preemptions"):
        for request, value in zip(found, rows[name].tolist(), strict=True):
            setattr(request, name, value)
    return found
