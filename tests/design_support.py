"""Designs of a contraction processor around RNGD: fine scans of one resource, random ones of all, and their peaks.

`python tests/design_support.py 10000` searches so many random designs for one that beats a peak of its own.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import cost_designs
from npusim.hardware.machine import GROUP_TENSOR
from npusim.kernels.collective import link_rate
from npusim.kernels.memory import peak_bandwidth
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import COLLECTIVE, LINEAR
from npusim.workload.step import Step, decode, mixed, prefill

LOADS = {
    "decode of one": decode([1024]),
    "decode of 64": decode([1024] * 64),
    "prompt": prefill(1, 1024),
    "mixed": mixed([1024] * 16, [(512, 512)], 16),
}
_MACS = tuple(f"tcp_macs_per_slice_{name}" for name in ("bf16", "fp8", "int8", "int4"))
RATES: dict[str, tuple[str, ...]] = {
    "clock": ("tcp_clock",),
    "MACs": _MACS,
    "operand stream": ("tcp_operand_stream_per_slice",),
    "SRAM": ("tcp_sram_per_slice",),
    "SRAM rate": ("tcp_sram_bandwidth_per_slice",),
    "registers": ("tcp_register_file_per_slice",),
    "DMA rate": ("tcp_dma_bandwidth_per_pe",),
    "memory": ("memory_channel_bandwidth",),
    "reduction rate": ("reduction_bandwidth",),
    "vector lanes": ("tcp_vector_lanes",),
}
"""Resources by the fields of the machine's record that scale with them."""
COUNTS = {"clusters": "tcp_clusters", "PEs": "tcp_pes_per_cluster", "slices": "tcp_slices_per_pe"}


def scan_times(deployment: Deployment, step: Step, fields: tuple[str, ...], factors: np.ndarray) -> np.ndarray:
    """Seconds of a step with these fields of the machine times each of `factors`, float64 (factors,)."""
    machines = np.repeat(deployment.machine, len(factors))
    for name in fields:
        machines[name] *= factors
    engine = AnalyticEngine(deployment, max_sequences=len(step.query))
    return cost_designs(engine, step, machines, np.repeat(deployment.runtime_record, len(factors))).time_s


@dataclass(frozen=True)
class Design:
    """A random design, and the fraction of each peak that a step reaches on it."""

    numbers: dict[str, float]
    load: str
    reached: dict[str, float]


def random_deployment(base: Deployment, rng: np.random.Generator) -> tuple[Deployment, dict[str, float]]:
    """RNGD with every resource drawn between a sixteenth and sixteen times its own, and what was drawn; a power cap
    that leaves something to work is enforced."""
    machine = base.machine.copy()
    drawn: dict[str, float] = {}
    for name in [name for fields in RATES.values() for name in fields if name not in _MACS]:
        drawn[name] = float(machine[name][0]) * 16.0 ** rng.uniform(-1.0, 1.0)
    wide = 2.0 ** rng.integers(-3, 4)
    drawn |= {name: max(1.0, float(machine[name][0]) * wide) for name in _MACS}
    drawn |= {name: float(math.ceil(2.0 ** rng.uniform(0.0, 7.0))) for name in COUNTS.values()}
    drawn["reduction_topology"] = float(rng.integers(0, 5))
    drawn["tcp_packet"] = 2.0 ** rng.integers(4, 9)
    drawn["tcp_lanes"] = 2.0 ** rng.integers(0, 6)
    drawn["power_over_nominal"] = drawn["tcp_clock"] / float(machine["tcp_clock"][0] / machine["power_over_nominal"][0])
    static_w = float(machine["power_idle"][0] + machine["power_loaded_static"][0])
    drawn |= {"power_cap": static_w * 8.0 ** rng.uniform(0.02, 1.0), "power_cap_enforced": True}
    for name, value in drawn.items():
        machine[name] = value
    record = base.runtime_record.copy()
    record["kept_in_sram"] = rng.uniform()
    record["kv_block"] = 2.0 ** rng.integers(0, 6)
    return base.with_records(machine, record), drawn


def fractions_of_peak(deployment: Deployment, step: Step) -> dict[str, float]:
    """What a step reaches of each peak of all that the chip has: multipliers, memory, SRAM's ports and links, and of
    an enforced power cap."""
    engine, machine = AnalyticEngine(deployment, max_sequences=len(step.query)), deployment.machine[0]
    unit = deployment.system.chip.unit
    prefix, ports = unit.TRAITS.prefix, f"{unit.TRAITS.prefix}_sram_bandwidth_per_slice"
    elements = math.prod(float(machine[f"{prefix}_{name}"]) for name in unit.TRAITS.elements)
    cycles = elements * float(machine[f"{prefix}_clock"])
    spent: dict[str, float] = dict.fromkeys(("MACs", "memory", "SRAM", "link", "power"), 0.0)
    total = 0.0
    for piece in engine.pieces(step):
        cost = engine.cost(piece)
        total += cost.time_s
        spent["memory"] += cost.memory_bytes / float(peak_bandwidth(machine))
        if machine["power_cap_enforced"]:
            spent["power"] += cost.energy_j / (deployment.plan.chips * float(machine["power_cap"]))
        for row in engine.operators(piece)[0].rows:
            repeat, dtype = float(row["repeat"]), dtypes.name(row["activation_dtype"])
            rate = float(machine[f"{prefix}_{unit.TRAITS.macs}_{dtype}"])
            spent["MACs"] += repeat * float(row["flops"]) / 2.0 / (cycles * rate)
            if row["kind"] == LINEAR and ports in machine.dtype.names:
                moved = 2.0 * float(row["weight_bytes"] * (1.0 - row["stays"]))
                spent["SRAM"] += repeat * moved / (cycles * float(machine[ports]))
            if row["kind"] == COLLECTIVE and row["group"] == GROUP_TENSOR:
                spent["link"] += repeat * _least_link_s(row, deployment, machine)
    return {name: seconds / total for name, seconds in spent.items()}


def _least_link_s(row: Any, deployment: Deployment, machine: Any) -> float:
    """Each chip sends at least what it has not got to keep, over all its links of the fastest level."""
    ranks = deployment.plan.tensor_parallel
    levels = enumerate(deployment.system.server.fabric.levels)
    fastest = max(min(level.links, ranks - 1) * float(link_rate(index, machine)) for index, level in levels)
    return float(row["collective_bytes"]) * (ranks - 1) / ranks / fastest


def search(base: Deployment, designs: int, seed: int) -> list[Design]:
    """The design that reaches the largest fraction of each peak, among random ones."""
    rng, best = np.random.default_rng(seed), {}
    for _ in range(designs):
        load = str(rng.choice(list(LOADS)))
        deployment, numbers = random_deployment(base, rng)
        reached = fractions_of_peak(deployment, LOADS[load])
        for name, fraction in reached.items():
            if not fraction <= best.get(name, (-1.0,))[0]:
                best[name] = (fraction, Design(numbers, load, reached))
    return [found for _, found in best.values()]


def _main() -> None:
    from npusim.mapping.deployment import deploy

    for model, cards in (("llama-3.1-8b", 1), ("llama-3.3-70b", 4)):
        base = deploy("rngd", model, cards=cards, uncalibrated=True)
        record = base.runtime_record.copy()
        record["pe_fusion"] = math.nan
        for design in search(base.with_records(base.machine, record), int(sys.argv[1]), seed=12):
            print(model, design.load, {name: round(value, 4) for name, value in design.reached.items()})


if __name__ == "__main__":
    _main()
