"""One step on many machines under many runtimes, in one compiled call, for sweeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.compilation import entry
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.run import cost_sequences, exposed_host_time, make_workspace
from npusim.kernels.power import ENERGY_PARTS, IDLE, LOADED
from npusim.mapping.micro_batches import bubble_s
from npusim.workload.step import Step


@dataclass(frozen=True)
class DesignCosts:
    """A step on each machine, the host time that the device does not hide included.

    time_s, energy_j (all chips): float64 (machines,); parts_j: that energy by ENERGY_PARTS, float64 (machines, parts).
    """

    time_s: np.ndarray
    energy_j: np.ndarray
    parts_j: np.ndarray


def cost_designs(engine: AnalyticEngine, step: Step, machines: np.ndarray, runtimes: np.ndarray) -> DesignCosts:
    """The cost of `step` on machine i of `machines` (its `machine_dtype`) under record i of `runtimes` (RUNTIME_DTYPE).

    They may differ from the engine's own in numbers, not in compiled shapes.
    """
    parts, spent = [], np.zeros((len(machines), len(ENERGY_PARTS)))
    for pieces in engine.parts(step):
        times = np.zeros(len(machines))
        for piece in pieces:
            work = make_workspace(engine.template, len(piece.query), 0)
            _add_costs(
                engine.template, piece.query, piece.context, piece.decoding, piece.slots,
                machines, runtimes, work, times, spent,
            )  # fmt: skip
        parts.append(times)
    waiting = bubble_s(parts, engine.plan, bool(step.decoding.any()))
    times = np.sum(parts, axis=0) + waiting
    spent[:, IDLE] += waiting * machines["power_idle"]
    spent[:, LOADED] += waiting * machines["power_loaded_static"]
    _add_host(times, spent, len(step.query), engine.logit_bytes, machines, runtimes)
    spent *= engine.plan.chips
    return DesignCosts(times, spent.sum(axis=1), spent)


@entry
def _add_costs(template, query, context, decoding, slots, machines, runtimes, work, times, spent):
    for index in range(len(machines)):
        cost_sequences(
            template, query, context, decoding, slots, machines[index : index + 1], runtimes[index : index + 1], work
        )
        times[index] += work.step[0].time_s
        spent[index] += work.step[0].parts_j


@entry
def _add_host(times, spent, sequences, logit_bytes, machines, runtimes):
    for index in range(len(machines)):
        machine = machines[index]
        waiting = exposed_host_time(times[index], sequences, logit_bytes, machine, runtimes[index])
        times[index] += waiting
        spent[index, IDLE] += waiting * machine.power_idle
        spent[index, LOADED] += waiting * machine.power_loaded_static
