"""Every key of a description is explained in one sentence that names its unit, and docs/fields.md says the same."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from pydantic import BaseModel

from npusim.evidence.measured.sources import Sources
from npusim.explore.evaluate.proposal import Proposal
from npusim.explore.evaluate.scoring import ScoringRule
from npusim.explore.evaluate.worlds_best import WorldsBest
from npusim.explore.sweep.spec import SweepSpec
from npusim.hardware.base import Part
from npusim.hardware.calibration import Calibration
from npusim.hardware.drafting import Drafting
from npusim.hardware.dram import Dram
from npusim.hardware.field_docs import field_docs
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.hardware.pim import Pim
from npusim.hardware.runtime import Runtime
from npusim.hardware.software import Software
from npusim.hardware.system import System
from npusim.hardware.technology.area import AreaModel
from npusim.hardware.technology.cost import CostTable
from npusim.hardware.technology.energy import EnergyTable
from npusim.hardware.yaml_file import models_of
from npusim.ledger import Bytes, Efficiency, domain_of
from npusim.mapping.plan_file import PlanFile
from npusim.workload.dense_model import Dense
from npusim.workload.formats import Formats
from npusim.workload.grid import Grid
from npusim.workload.layered import LayeredNetwork
from npusim.workload.routing import Routing

MAKER = Path(__file__).resolve().parents[1] / "docs" / "make_fields.py"
ROOTS = (
    System,
    Runtime,
    Software,
    Drafting,
    Dram,
    Pim,
    Neuromorphic,
    LayeredNetwork,
    AreaModel,
    EnergyTable,
    CostTable,
    Calibration,
    Grid,
    Routing,
    Dense,
    Formats,
    PlanFile,
    SweepSpec,
    Proposal,
    ScoringRule,
    WorldsBest,
    Sources,
)
MODELS = list(dict.fromkeys(model for root in ROOTS for model in models_of(root)))

UNIT_WORDS = {
    "": r"[Nn]umber of|[Ll]argest number|[Rr]atio|[Ff]actor|[Ff]raction .*0 to 1|[Ff]raction of the|[Ee]xponent|mm2|"
    r"a number of",
    "bit": "in bits",
    "B": "in bytes|[Bb]ytes of",
    "B/s": "in bytes/s",
    "B/cycle": "in bytes per cycle",
    "cycle": "in cycles",
    "cycle/s": "in Hz",
    "s": "in seconds",
    "W": "in watts",
    "J/B": "in joules per byte",
    "J/op": "in joules",
    "token": "in tokens",
    "J": "in joules",
    "degC": "in degrees Celsius",
    "K/W": "in K/W",
    "J/K": "in J/K",
    "op/s": "in operations per second",
    "packet/s": "in packets per second",
}
"""How a sentence names the unit of a quantity, by the unit of its domain."""


def _faults(model: type[BaseModel]) -> list[str]:
    told = field_docs(model)
    faults = []
    for name, field in model.model_fields.items():
        sentence, domain = told.get(name, ""), domain_of(field)
        if not re.fullmatch(r"[A-Z][^\n]*[^.]\.", sentence) or re.search(r"[.!?] [A-Z]", sentence):
            faults.append(f"{model.__name__}.{name}: '{sentence}' is not one sentence")
        elif domain is not None and not re.search(UNIT_WORDS[domain.unit], sentence):
            faults.append(f"{model.__name__}.{name}: '{sentence}' does not name its unit, '{domain.unit}'")
    return faults


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_explained_with_its_unit(model: type[BaseModel]) -> None:
    assert _faults(model) == []


class Unexplained(Part):
    """A part whose keys are explained badly."""

    silent: int
    long: int
    """One sentence. And another."""
    size: Bytes
    """Size of it."""
    share: Efficiency | None = None
    """Fraction of it, 0 to 1."""


def test_a_key_without_a_sentence_or_a_unit_would_be_found() -> None:
    assert [fault.split(":")[0] for fault in _faults(Unexplained)] == [
        "Unexplained.silent",
        "Unexplained.long",
        "Unexplained.size",
    ]


class More(Unexplained):
    """A part with a base."""

    more: bool
    """Whether there is more."""


def test_a_part_explains_the_keys_of_its_base_too() -> None:
    assert list(field_docs(More)) == ["long", "size", "share", "more"]


def test_the_page_of_keys_is_up_to_date() -> None:
    made = runpy.run_path(str(MAKER))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run python docs/make_fields.py"
