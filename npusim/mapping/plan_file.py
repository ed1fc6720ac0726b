"""A plan as it is asked for: by its name, or by a file of its degrees."""

from __future__ import annotations

from pathlib import Path

from npusim.errors import UserError
from npusim.hardware.base import Part, Whole
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.mapping.plan import Plan, named_plan, plan_of
from npusim.workload.model import Model


class PlanFile(Part):
    """Degrees of a parallel plan, 1 if omitted."""

    tensor_parallel: Whole = 1
    """Number of chips across which each layer's matrices are split."""
    pipeline_parallel: Whole = 1
    """Number of pipeline stages."""
    expert_parallel: Whole = 1
    """Number of chips of a stage, over all replicas, across which whole experts are spread."""
    data_parallel: Whole = 1
    """Number of replicas that serve requests of their own."""
    micro_batches: Whole | None = None
    """Number of micro-batches in the pipeline, as many as stages if omitted."""


def read_plan(wanted: str | Plan, system: System, model: Model) -> Plan:
    """The plan that a name (tp4-pp2) or a file says, checked for the architecture and the model. Raises UserError."""
    if isinstance(wanted, Plan):
        return wanted
    named = named_plan(system, model, wanted)
    if named is not None:
        return named
    if not is_file(Path(wanted)):
        raise UserError("--plan", wanted, "is no file and no plan; give auto, degrees such as tp4-pp2, or a YAML file")
    degrees = load_yaml(Path(wanted), PlanFile).model_dump(exclude_none=True)
    return plan_of(system, model, **degrees)
