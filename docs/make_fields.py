"""Writes docs/fields.md, the keys of every description, from the models: `python docs/make_fields.py`."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from npusim.explore.evaluate.proposal import Proposal
from npusim.explore.evaluate.scoring import ScoringRule
from npusim.explore.evaluate.worlds_best import WorldsBest
from npusim.explore.sweep.spec import SweepSpec
from npusim.fidelity.assumptions import FidelityTable
from npusim.fidelity.recovery import RecoveryTable
from npusim.graphs.operators import HostOperators, OperatorTable, UnitSupport
from npusim.hardware.calibration import Calibration
from npusim.hardware.cluster import DeviceNames
from npusim.hardware.drafting import Drafting
from npusim.hardware.dram import Dram
from npusim.hardware.field_docs import field_docs
from npusim.hardware.kv_tier import KvTier
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.hardware.pim import Pim
from npusim.hardware.runtime import Runtime
from npusim.hardware.server_link import ServerLink
from npusim.hardware.software import Software
from npusim.hardware.system import System
from npusim.hardware.technology.area import AreaModel
from npusim.hardware.technology.cost import CostTable
from npusim.hardware.technology.energy import EnergyTable
from npusim.hardware.undisclosed import Undisclosed
from npusim.hardware.yaml_file import models_of
from npusim.lab.certify.rules_file import Rules
from npusim.lab.certify.submission import Submission
from npusim.lab.planning.sampling_file import Sampling
from npusim.ledger import Domain, Quantity, domain_of
from npusim.mapping.plan_file import PlanFile
from npusim.workload.dense_model import Dense
from npusim.workload.formats import Formats
from npusim.workload.grid import Grid
from npusim.workload.layered import LayeredNetwork
from npusim.workload.loads.description import LoadDescription
from npusim.workload.profile import Profile
from npusim.workload.routing import Routing

PAGE = Path(__file__).with_name("fields.md")
ROOTS: dict[str, type[BaseModel]] = {
    "An architecture (`arch_configs/*.yaml`)": System,
    "A runtime (`arch_configs/runtimes/*.yaml`)": Runtime,
    "How tokens are drafted (`arch_configs/drafting/*.yaml`, `--speculate`)": Drafting,
    "What software can do (`arch_configs/software/*.yaml`)": Software,
    "A memory with PIM units (`arch_configs/pims/*.yaml`)": Pim,
    "An event-driven unit (`arch_configs/neuromorphic/*.yaml`, `npusim neuromorphic`)": Neuromorphic,
    "Layers of a hybrid (`npusim neuromorphic --layers`)": LayeredNetwork,
    "A DRAM standard (`arch_configs/memories/*.yaml`)": Dram,
    "A link between servers (`arch_configs/links/*.yaml`)": ServerLink,
    "A memory below the prefix cache (`arch_configs/tiers/*.yaml`)": KvTier,
    "The area of parts of a die (`arch_configs/technology/area.yaml`)": AreaModel,
    "The energy of accesses (`arch_configs/technology/energy.yaml`)": EnergyTable,
    "What silicon costs (`arch_configs/technology/cost.yaml`)": CostTable,
    "A calibration (`arch_configs/calibrations/*.yaml`)": Calibration,
    "Chips that are not described (`arch_configs/undisclosed/*.yaml`)": Undisclosed,
    "A grid (`workloads/grids/*.yaml`)": Grid,
    "A load (`workloads/loads/*.yaml`, `--load`)": LoadDescription,
    "A profile of users (`workloads/profiles/*.yaml`, `npusim fleet --profile`)": Profile,
    "Names of cards in clusters (`arch_configs/cluster/devices.yaml`)": DeviceNames,
    "A parallel plan (`--plan FILE`)": PlanFile,
    "A sweep (`npusim sweep`)": SweepSpec,
    "A proposal (`npusim evaluate`)": Proposal,
    "Rules of certification (`rules/*.yaml`, `npusim certify --rules`)": Rules,
    "A submission (`submission.yaml`)": Submission,
    "A sampling plan (`rules/sampling/*.yaml`, `npusim plan-tests --sampling`)": Sampling,
    "A rule of scores (`validation/proposals/rules/*.yaml`, `evaluate --rule`)": ScoringRule,
    "Best levels that are known (`validation/proposals/worlds_best.yaml`)": WorldsBest,
    "The routing of experts (`workloads/routing.yaml`)": Routing,
    "A dense model by its parameters (`workloads/dense.yaml`)": Dense,
    "Formats of numbers (`workloads/formats.yaml`)": Formats,
    "Numerical fidelity (`workloads/fidelity.yaml`)": FidelityTable,
    "Published recovery (`workloads/recovery.yaml`)": RecoveryTable,
    "Kinds of operators (`workloads/operators.yaml`)": OperatorTable,
    "Operators of a kind of unit (`arch_configs/operators/*.yaml`)": UnitSupport,
    "Operators on the host (`arch_configs/operators/host.yaml`)": HostOperators,
}
_PLAIN = {str: "text", bool: "true or false", int: "whole number", float: "number", str | float | int: "text or number"}
_PLAIN |= {bool | int | float | str: "text, number, true or false", typing.Any: "anything that a description may say"}


def page() -> str:
    """The page: a section a file, a table a part."""
    lines = [
        "# Keys of descriptions",
        "",
        "Made by `python docs/make_fields.py` from the models in the code. A number is written with its provenance",
        "([describe a chip](describe-a-chip.md)); its column `takes` gives the unit to which it is converted and the",
        "values that are accepted. Keys in *italics* may be omitted.",
    ]
    shown: set[type[BaseModel]] = set()
    for title, root in ROOTS.items():
        lines += ["", f"## {title}"]
        for model in models_of(root):
            if model not in shown:
                shown.add(model)
                lines += ["", f"### {model.__name__}", "", *_table(model)]
    return "\n".join(lines) + "\n"


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield from (" ".join(paragraph.split()) + "\n" for paragraph in (model.__doc__ or "").split("\n\n")[:1])
    yield from ("| key | takes | meaning |", "|---|---|---|")
    told = field_docs(model)
    for name, field in model.model_fields.items():
        optional = field.default is not PydanticUndefined or field.default_factory is not None
        written = field.alias or name
        key = f"*`{written}`*" if optional else f"`{written}`"
        domain = domain_of(field)
        takes = _span(domain) if domain else _takes(field.annotation)
        yield f"| {key} | {takes} | {told[name]} |"


def _span(domain: Domain) -> str:
    unit = domain.unit or ("count" if domain.whole else "number")
    if domain.least is None and domain.most is None:
        return f"{unit}, 0 or more" if domain.zero else unit
    least, most = domain.ends()
    return (
        f"{unit}, {0 if domain.zero else least:g} to {most:g}"
        if domain.least or domain.zero
        else f"{unit}, to {most:g}"
    )


def _takes(annotation: Any) -> str:
    """What may stand under a key, in words."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})" if annotation is not Quantity else "number"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin is tuple:
        return f"list of {_takes(inner[0])}"
    if origin is dict:
        return f"map to {_takes(inner[1])}"
    if origin is typing.Annotated:
        return _takes(inner[0])
    assert origin in (typing.Union, types.UnionType, frozenset), annotation
    return " or ".join(_takes(each) for each in inner if each is not type(None))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
