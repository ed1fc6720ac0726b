"""Fabrics described in a line or two."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.hardware.algorithms import ALGORITHMS
from npusim.hardware.catalog import load_system
from npusim.hardware.fabric import Fabric
from npusim.hardware.machine import GROUP_TENSOR, build_machine
from npusim.mapping.placement import Groups, write_group, write_transports

LATENCY_S, RATE, LAUNCH_S, STEP_S, MESSAGE_S, COPY = 1e-6, 50e9, 3e-6, 2e-6, 0.25e-6, 400e9


def number(value: float, unit: str = "") -> dict[str, Any]:
    return {"value": f"{value!r} {unit}".strip(), "kind": "measured", "source": "a test"}


def level(shape: str, members: int, rate: float = RATE, latency_s: float = LATENCY_S, **more: Any) -> dict[str, Any]:
    link = {
        "name": f"{shape} of {members}",
        "bandwidth": number(rate, "B/s"),
        "latency": number(latency_s, "s"),
        "efficiency": number(1.0),
    }
    return {"name": f"{shape} of {members}", "shape": shape, "members": number(members), "link": link, **more}


def fabric(*levels: dict[str, Any], copy: float | None = None) -> Fabric:
    """Levels under different names, and one transport that serves every algorithm."""
    transport = {
        "name": "any",
        "library": "any",
        "algorithms": list(ALGORITHMS),
        "launch": number(LAUNCH_S, "s"),
        "step": number(STEP_S, "s"),
        "message": number(MESSAGE_S, "s"),
        "efficiency": number(1.0),
    }
    if copy is not None:
        transport["copy_bandwidth"] = number(copy, "B/s")
    named = [{**each, "name": f"{index} {each['name']}"} for index, each in enumerate(levels)]
    return Fabric.model_validate({"levels": named, "transports": [transport], "overlap": number(0.0)})


def machine_on(joined: Fabric, groups: Groups, algorithm: str | None = None) -> Any:
    """A machine whose tensor group stands for `groups` on that fabric, with all algorithms or one alone."""
    system = load_system("h200", uncalibrated=True)
    server = system.server.model_copy(update={"fabric": joined})
    machine = build_machine(system.model_copy(update={"server": server}))
    write_group(machine, joined, GROUP_TENSOR, groups)
    write_transports(machine, joined, ())
    if algorithm is not None:
        machine["transport_serves"] *= np.array([name == algorithm for name in ALGORITHMS], np.int64)
    return machine[0]


def neighbours(ranks: int, groups: int = 1) -> Groups:
    return tuple(tuple(int(each) for each in row) for row in np.arange(ranks * groups).reshape(groups, ranks))
