"""A function of the API: asked by keywords, or with its options whole."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from npusim.api.options import Options
from npusim.inputs import recording

_P = ParamSpec("_P")
O = TypeVar("O", bound=Options)  # noqa: E741
_R = TypeVar("_R")


class Function(Generic[_P, O, _R]):
    """`function(...)` takes the fields of its options, `function.of(options)` takes them whole; results are equal."""

    def __init__(self, options: Callable[_P, O], answer: Callable[[O], _R]) -> None:
        self.options, self._answer = options, answer
        functools.update_wrapper(self, answer)

    def __call__(self, *given: _P.args, **named: _P.kwargs) -> _R:
        return self.of(self.options(*given, **named))

    def of(self, asked: O) -> _R:
        """The answer to options that are made already; the files that are read for it are in their record."""
        with recording(asked.record):
            return self._answer(asked)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.options)


def asked_by(options: Callable[_P, O]) -> Callable[[Callable[[O], _R]], Function[_P, O, _R]]:
    """Makes a function of options one that can be asked by their fields."""
    return lambda answer: Function(options, answer)
