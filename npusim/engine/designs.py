"""One step on many machines under many runtimes, for sweeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.host import host_times_of
from npusim.engine.run import cost_sequences, make_workspace
from npusim.engine.stepcost import RESOURCES
from npusim.hardware.power import waiting_w
from npusim.kernels.power import IDLE, LOADED
from npusim.kernels.step import STEP_COST_DTYPE
from npusim.mapping.micro_batches import bubble_s
from npusim.workload.step import Step

_SUMS = ("time_s", "energy_j", *(f"{name}_s" for name in RESOURCES), "memory_bytes", "parts_j")
HOST = "host"
"""Beside the chip's resources: host time that the chip does not hide."""


@dataclass(frozen=True)
class DesignCosts:
    """A step on each machine, the host time that the device does not hide included.

    time_s, energy_j (all chips): float64 (machines,); shares_s: seconds by resource and host, which sum to time_s;
    memory_bytes: of one rank; clock: least part of the full one; parts_j: the energy by ENERGY_PARTS, float64
    (machines, parts).
    """

    time_s: np.ndarray
    energy_j: np.ndarray
    shares_s: dict[str, np.ndarray]
    memory_bytes: np.ndarray
    clock: np.ndarray
    parts_j: np.ndarray

    @property
    def device_s(self) -> np.ndarray:
        """Seconds of the chip alone."""
        return np.asarray(self.time_s - self.shares_s[HOST])


def cost_designs(engine: AnalyticEngine, step: Step, machines: np.ndarray, runtimes: np.ndarray) -> DesignCosts:
    """The cost of `step` on machine i of `machines` (its `machine_dtype`) under record i of `runtimes` (RUNTIME_DTYPE).

    They may differ from the engine's own in numbers, not in compiled shapes.
    """
    chips, static_w = engine.plan.chips, machines["power_idle"] + waiting_w(machines)
    steps = np.zeros(len(machines), STEP_COST_DTYPE)
    steps["clock"] = 1.0
    parts = []
    for pieces in engine.parts(step):
        part_s = np.zeros(len(machines))
        for piece in pieces:
            work = make_workspace(engine.template, len(piece.query), 0, len(machines))
            cost_sequences(
                engine.template, piece.query, piece.context, piece.decoding, piece.slots, machines, runtimes, work
            )
            for name in _SUMS:
                steps[name] += work.step[name]
            part_s += work.step["time_s"]
            steps["clock"] = np.minimum(steps["clock"], work.step["clock"])
        parts.append(part_s)
    waiting = bubble_s(parts, engine.plan, bool(step.decoding.any()))
    device_s, host_s = steps["time_s"] + waiting, np.zeros(len(machines))
    host_times_of(device_s, len(step.query), engine.logit_bytes, machines, runtimes, host_s)
    times = device_s + host_s
    energies = steps["energy_j"] * chips + waiting * static_w * chips + host_s * static_w * chips
    shares = {name: steps[f"{name}_s"] for name in RESOURCES} | {HOST: host_s}
    shares["overhead"] = shares["overhead"] + waiting
    parts_j, static_s = steps["parts_j"] * chips, (waiting + shares[HOST]) * chips
    parts_j[:, IDLE] += static_s * machines["power_idle"]
    parts_j[:, LOADED] += static_s * waiting_w(machines)
    return DesignCosts(times, energies, shares, steps["memory_bytes"], steps["clock"], parts_j)
