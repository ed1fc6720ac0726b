"""npusim predicts how an LLM-inference chip will score on K-Perf, with its assumptions named.

From Python: `npusim.step`, `npusim.run`, `npusim.kperf` ... the functions of `npusim.api`, one for each command.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npusim.api import *  # noqa: F403

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """The functions of `npusim.api`, loaded when first asked for, so that `npusim --help` stays quick.

    All are bound at once, the package `npusim.kperf` loaded before: loading it later would put it in the function's
    place.
    """
    if name.startswith("_"):
        raise AttributeError(f"module 'npusim' has no attribute '{name}'")
    api = importlib.import_module("npusim.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'npusim' has no attribute '{name}'")
    importlib.import_module("npusim.kperf")
    globals().update({each: getattr(api, each) for each in api.__all__})
    return globals()[name]
