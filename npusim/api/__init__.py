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
    from npusim.api.certifying import certify
    from npusim.api.channels import dram
    from npusim.api.checking import check
    from npusim.api.collectives import collective
    from npusim.api.comparing import compare
    from npusim.api.evaluating import evaluate
    from npusim.api.evidencing import evidence_add, evidence_key, evidence_seal, evidence_sign, evidence_verify
    from npusim.api.fleets import fleet
    from npusim.api.generating import generate
    from npusim.api.grids import kperf
    from npusim.api.importing import import_model
    from npusim.api.neuromorphics import neuromorphic
    from npusim.api.new_chips import lint, new_chip
    from npusim.api.new_proposals import new_proposal
    from npusim.api.pim_comparing import pim_compare
    from npusim.api.pims import pim_attention, pim_gemv, pim_stream
    from npusim.api.planning_tests import plan_tests
    from npusim.api.precisions import precision
    from npusim.api.registering import predict, score
    from npusim.api.runs import run
    from npusim.api.steps import step
    from npusim.api.swapping import swap
    from npusim.api.sweeps import sweep
    from npusim.api.validating import validate
    from npusim.api.verifying import verify_run

_MODULES = {
    "calibrate": "calibrating",
    "certify": "certifying",
    "check": "checking",
    "collective": "collectives",
    "compare": "comparing",
    "dram": "channels",
    "evaluate": "evaluating",
    "evidence_add": "evidencing",
    "evidence_key": "evidencing",
    "evidence_seal": "evidencing",
    "evidence_sign": "evidencing",
    "evidence_verify": "evidencing",
    "fleet": "fleets",
    "generate": "generating",
    "import_model": "importing",
    "kperf": "grids",
    "lint": "new_chips",
    "list_shipped": "catalog",
    "neuromorphic": "neuromorphics",
    "new_chip": "new_chips",
    "new_proposal": "new_proposals",
    "pim_attention": "pims",
    "pim_compare": "pim_comparing",
    "pim_gemv": "pims",
    "pim_stream": "pims",
    "plan_tests": "planning_tests",
    "precision": "precisions",
    "predict": "registering",
    "run": "runs",
    "score": "registering",
    "show": "catalog",
    "step": "steps",
    "swap": "swapping",
    "sweep": "sweeps",
    "validate": "validating",
    "verify_run": "verifying",
}
"""Module of each function."""

__all__ = [
    "calibrate",
    "certify",
    "check",
    "collective",
    "compare",
    "dram",
    "evaluate",
    "evidence_add",
    "evidence_key",
    "evidence_seal",
    "evidence_sign",
    "evidence_verify",
    "fleet",
    "generate",
    "import_model",
    "kperf",
    "lint",
    "list_shipped",
    "neuromorphic",
    "new_chip",
    "new_proposal",
    "pim_attention",
    "pim_compare",
    "pim_gemv",
    "pim_stream",
    "plan_tests",
    "precision",
    "predict",
    "run",
    "score",
    "show",
    "step",
    "swap",
    "sweep",
    "validate",
    "verify_run",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'npusim.api' has no attribute '{name}'")
    globals()[name] = getattr(importlib.import_module(f"npusim.api.{_MODULES[name]}"), name)
    return globals()[name]
