"""npusim from Python: a function for each command, whose options are the command's and whose results are typed.

Each takes its options as keywords, or whole: `step.of(StepOptions(...))`; `step.options` is that class. Each is
loaded when it is first asked for, and what it needs when it is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npusim.api.calibrating import calibrate
    from npusim.api.catalog import list_shipped, show
    from npusim.api.channels import dram
    from npusim.api.checking import check
    from npusim.api.collectives import collective
    from npusim.api.evaluating import evaluate
    from npusim.api.fleets import fleet
    from npusim.api.grids import kperf
    from npusim.api.importing import import_model
    from npusim.api.new_chips import lint, new_chip
    from npusim.api.pim_comparing import pim_compare
    from npusim.api.pims import pim_attention, pim_gemv, pim_stream
    from npusim.api.precisions import precision
    from npusim.api.registering import predict, score
    from npusim.api.runs import run
    from npusim.api.steps import step
    from npusim.api.sweeps import sweep
    from npusim.api.validating import validate
    from npusim.api.verifying import verify_run

_MODULES = {
    "calibrate": "calibrating",
    "check": "checking",
    "collective": "collectives",
    "dram": "channels",
    "evaluate": "evaluating",
    "fleet": "fleets",
    "import_model": "importing",
    "kperf": "grids",
    "lint": "new_chips",
    "list_shipped": "catalog",
    "new_chip": "new_chips",
    "pim_attention": "pims",
    "pim_compare": "pim_comparing",
    "pim_gemv": "pims",
    "pim_stream": "pims",
    "precision": "precisions",
    "predict": "registering",
    "run": "runs",
    "score": "registering",
    "show": "catalog",
    "step": "steps",
    "sweep": "sweeps",
    "validate": "validating",
    "verify_run": "verifying",
}
"""Module of each function."""

__all__ = [
    "calibrate",
    "check",
    "collective",
    "dram",
    "evaluate",
    "fleet",
    "import_model",
    "kperf",
    "lint",
    "list_shipped",
    "new_chip",
    "pim_attention",
    "pim_compare",
    "pim_gemv",
    "pim_stream",
    "precision",
    "predict",
    "run",
    "score",
    "show",
    "step",
    "sweep",
    "validate",
    "verify_run",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'npusim.api' has no attribute '{name}'")
    globals()[name] = getattr(importlib.import_module(f"npusim.api.{_MODULES[name]}"), name)
    return globals()[name]
