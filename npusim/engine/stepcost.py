"""StepCost: time and energy of one step, from either engine, and how two steps are combined."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from npusim.hardware.power import headroom_w, loaded_w
from npusim.kernels.power import ENERGY_PARTS
from npusim.units import US_PER_S
from npusim.workload.step import Step

_STATIC = ("idle", "loaded")
"""Parts of the energy that the time alone decides, and the machine's watts for each."""
RESOURCES = ("contraction", "vector", "memory", "pim", "link", "overhead")


@dataclass(frozen=True)
class StepCost:
    """Seconds, joules (all chips of the plan), share of the elapsed time by resource, bytes and flops of one rank.

    The shares sum to time_s, and parts_j (by ENERGY_PARTS) to energy_j. clock, duty: fractions of the full clock and of
    the time at which the power cap let the step run; pes: engines of a chip that worked on it, in that of its pieces
    with the most; sub_batches: parts of its batch, of which one was on units in memory while another was on the chip;
    host_s: of time_s, in which the chip waited for the host.
    """

    time_s: float
    energy_j: float
    shares_s: dict[str, float]
    memory_bytes: float
    flops: float
    clock: float
    parts_j: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ENERGY_PARTS, 0.0))
    duty: float = 1.0
    pes: int = 1
    sub_batches: int = 1
    host_s: float = 0.0

    @property
    def time_us(self) -> float:
        return self.time_s * US_PER_S

    @property
    def power_w(self) -> float:
        return self.energy_j / self.time_s

    @property
    def held(self) -> bool:
        """Whether the power cap held it back."""
        return not math.isclose(self.clock * self.duty, 1.0)

    @property
    def parts_in_order(self) -> np.ndarray:
        """Joules by ENERGY_PARTS, in their order."""
        return np.array([self.parts_j[name] for name in ENERGY_PARTS])

    @property
    def largest_share(self) -> str:
        """The resource with the largest share of the time, which need not be what moves it (`elasticity`)."""
        return max(self.shares_s, key=lambda name: self.shares_s[name])


class StepEngine(Protocol):
    """An engine that knows the cost of a step of its deployment."""

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step."""
        ...


def from_record(record: Any, chips: int) -> StepCost:
    """A StepCost from a STEP_COST_DTYPE record of one rank of `chips`."""
    return StepCost(
        time_s=float(record["time_s"]),
        energy_j=float(record["energy_j"]) * chips,
        shares_s={name: float(record[f"{name}_s"]) for name in RESOURCES},
        memory_bytes=float(record["memory_bytes"]),
        flops=float(record["flops"]),
        clock=float(record["clock"]),
        parts_j=parts_by_name(record["parts_j"], chips),
        duty=float(record["duty"]),
        pes=int(record["pes"]),
        sub_batches=int(record["sub_batches"]),
        host_s=float(record["launch_wait_s"]),
    )


def parts_by_name(parts_j: Any, chips: float) -> dict[str, float]:
    """The joules of `chips` by ENERGY_PARTS, from those of one in that order."""
    return {name: float(joules) * chips for name, joules in zip(ENERGY_PARTS, parts_j, strict=True)}


def retimed(known: StepCost, time_s: float, shares_s: dict[str, float], machine: Any, chips: int) -> StepCost:
    """The same work when it takes `time_s`, by resource `shares_s`: static energy follows the time.

    Under a power cap it takes as much longer as the cap asks for: energy of the work / what is left over static power.
    """
    work_j = math.fsum(joules for name, joules in known.parts_j.items() if name not in _STATIC)
    headroom = float(headroom_w(machine, known.clock)) * chips if machine["settled"] == 1.0 else math.inf
    least_s = work_j / headroom if headroom > 0.0 else math.inf
    longer = max(1.0, least_s / time_s)
    static_w = float(machine["power_idle"]), float(loaded_w(machine, known.clock))
    static_j = {name: time_s * longer * watts * chips for name, watts in zip(_STATIC, static_w, strict=True)}
    parts_j = known.parts_j | static_j
    return replace(
        known,
        time_s=time_s * longer,
        energy_j=sum(parts_j.values()),
        shares_s={name: seconds * longer for name, seconds in shares_s.items()},
        parts_j=parts_j,
        duty=1.0 / longer,
    )


def interpolated(first: StepCost, second: StepCost, share: float) -> StepCost:
    """The cost between two steps of equal work, at the fraction `share` of the way from one to the other."""
    return StepCost(
        time_s=first.time_s + share * (second.time_s - first.time_s),
        energy_j=first.energy_j + share * (second.energy_j - first.energy_j),
        shares_s={
            name: first.shares_s[name] + share * (second.shares_s[name] - first.shares_s[name]) for name in RESOURCES
        },
        memory_bytes=first.memory_bytes,
        flops=first.flops,
        clock=first.clock + share * (second.clock - first.clock),
        parts_j={name: joules + share * (second.parts_j[name] - joules) for name, joules in first.parts_j.items()},
        duty=first.duty + share * (second.duty - first.duty),
        pes=max(first.pes, second.pes),
        sub_batches=max(first.sub_batches, second.sub_batches),
        host_s=first.host_s + share * (second.host_s - first.host_s),
    )


def combine(first: StepCost, second: StepCost) -> StepCost:
    """One step after the other."""
    time_s = first.time_s + second.time_s
    return StepCost(
        time_s=time_s,
        energy_j=first.energy_j + second.energy_j,
        shares_s={name: first.shares_s[name] + second.shares_s[name] for name in RESOURCES},
        memory_bytes=first.memory_bytes + second.memory_bytes,
        flops=first.flops + second.flops,
        clock=(first.clock * first.time_s + second.clock * second.time_s) / time_s,
        parts_j={name: joules + second.parts_j[name] for name, joules in first.parts_j.items()},
        duty=(first.duty * first.time_s + second.duty * second.time_s) / time_s,
        pes=max(first.pes, second.pes),
        sub_batches=max(first.sub_batches, second.sub_batches),
        host_s=first.host_s + second.host_s,
    )
