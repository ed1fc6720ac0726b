"""Which of a chip's engines (PEs) work on a step, and which stay idle."""

from __future__ import annotations

from typing import Any

from npusim.engine.stepcost import StepCost
from npusim.mapping.deployment import Deployment


def working_pes(deployment: Deployment, cost: StepCost) -> dict[str, Any]:
    """pes: those that the chip has, that work on the step and that stay idle; empty for a chip without any."""
    unit = deployment.system.chip.unit
    if not unit.TRAITS.engines:
        return {}
    existing = int(unit.engines)
    return {"pes": {"existing": existing, "working": cost.pes, "idle": existing - cost.pes}}


def idle_text(told: dict[str, Any]) -> str | None:
    """A sentence where PEs of an answer with `working_pes` stay idle, else None."""
    pes = told.get("pes")
    if not pes or not pes["idle"]:
        return None
    return (
        f"{pes['working']} of {pes['existing']} PEs work; {pes['idle']} stay idle: to fuse more is not faster, or the "
        "runtime does not."
    )
