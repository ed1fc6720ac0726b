"""npusim predicts how an LLM-inference chip will score on K-Perf, with its assumptions named.

From Python: `npusim.step`, `npusim.run`, `npusim.kperf` ... the functions of `npusim.api`, one for each command.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npusim.api import *  # noqa: F403

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """The functions of `npusim.api`, loaded when first asked for, so that `npusim --help` stays quick."""
    if name.startswith("_"):
        raise AttributeError(f"module 'npusim' has no attribute '{name}'")
    api = importlib.import_module("npusim.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'npusim' has no attribute '{name}'")
    globals().update({each: getattr(api, each) for each in api.__all__})
    return globals()[name]


class _Package(ModuleType):
    """Keeps the name `npusim.kperf` for the function, whenever the package of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "kperf" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
