"""npusim predicts how an LLM-inference chip will score on K-Perf, with its assumptions named.

From Python: `npusim.step`, `npusim.run`, `npusim.kperf`, `npusim.sweep` (see `npusim.api`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npusim.api import kperf, run, step, sweep

__version__ = "0.2.0"
__all__ = ["__version__", "kperf", "run", "step", "sweep"]


def __getattr__(name: str) -> Any:
    """The functions of `npusim.api`, loaded when first asked for, so that `npusim --help` stays quick.

    All are bound at once: importing the package `npusim.kperf` would leave its module under the function's name.
    """
    if name not in __all__:
        raise AttributeError(f"module 'npusim' has no attribute '{name}'")
    api = importlib.import_module("npusim.api")
    globals().update({each: getattr(api, each) for each in __all__ if each != "__version__"})
    return globals()[name]
