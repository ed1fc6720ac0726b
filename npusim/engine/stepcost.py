"""StepCost: time and energy of one step, from either engine, and how two steps are combined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from npusim.units import US_PER_S
from npusim.workload.step import Step

RESOURCES = ("contraction", "vector", "memory", "pim", "link", "overhead")


@dataclass(frozen=True)
class StepCost:
    """Seconds, joules (all chips of the plan), share of the elapsed time by resource, bytes and flops of one rank.

    The shares sum to time_s. clock: fraction of the full clock at which the step ran under the power cap; pes:
    engines of a chip that worked on it, in that of its pieces with the most.
    """

    time_s: float
    energy_j: float
    shares_s: dict[str, float]
    memory_bytes: float
    flops: float
    clock: float
    pes: int = 1

    @property
    def time_us(self) -> float:
        return self.time_s * US_PER_S

    @property
    def power_w(self) -> float:
        return self.energy_j / self.time_s

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
        pes=int(record["pes"]),
    )


def between(first: StepCost, second: StepCost, share: float) -> StepCost:
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
        pes=max(first.pes, second.pes),
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
        pes=max(first.pes, second.pes),
    )
