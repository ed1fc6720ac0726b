"""npusim from Python: a function for each command, whose options are the command's and whose results are typed.

Each takes its options as keywords, or whole: `step.of(StepOptions(...))`; `step.options` is that class. Loading them
loads nothing heavy: what a function needs is imported when it is called.
"""

from __future__ import annotations

from npusim.api.calibrating import calibrate
from npusim.api.catalog import list_shipped, show
from npusim.api.channels import dram
from npusim.api.checking import check
from npusim.api.collectives import collective
from npusim.api.evaluating import evaluate
from npusim.api.grids import kperf
from npusim.api.pim_comparing import pim_compare
from npusim.api.pims import pim_attention, pim_gemv, pim_stream
from npusim.api.registering import predict, score
from npusim.api.runs import run
from npusim.api.steps import step
from npusim.api.sweeps import sweep
from npusim.api.validating import validate
from npusim.api.verifying import verify_run

__all__ = [
    "calibrate",
    "check",
    "collective",
    "dram",
    "evaluate",
    "kperf",
    "list_shipped",
    "pim_attention",
    "pim_compare",
    "pim_gemv",
    "pim_stream",
    "predict",
    "run",
    "score",
    "show",
    "step",
    "sweep",
    "validate",
    "verify_run",
]
