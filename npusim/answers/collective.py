"""One collective on the fabric of an architecture: its time, what bounds it, and the algorithms that it beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.catalog import calibration_of, load_runtime, load_system
from npusim.hardware.collectives import ALL_REDUCE, OPERATIONS, least_part
from npusim.hardware.draws import draw
from npusim.hardware.machine import DEPTH, GROUP_TENSOR, PLACED, build_machine
from npusim.hardware.reductions import TOPOLOGIES
from npusim.hardware.system import System
from npusim.kernels.collective import (
    collective_time,
    link_rate,
    schedule_time,
    stage_cost,
)
from npusim.kernels.units.contraction_processor.fusion import clusters_at_work
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.mapping.placement import Groups, together, write_group, write_transports
from npusim.serving.uncertainty import DRAWS, interval
from npusim.units import US_PER_S


@dataclass(frozen=True)
class GroupedCollective:
    """A collective: `groups` groups of `ranks` neighbouring chips run it at the same time on `byte_count` bytes each.

    byte_count: the full vector (reduced, gathered, or sent by a rank in an all-to-all); algorithm, library: None for
    the fastest, and for the fabric's first.
    """

    operation: int
    byte_count: float
    ranks: int
    groups: int = 1
    algorithm: str | None = None
    library: str | None = None


def operation_code(name: str) -> int:
    """The code of the operation of that name. Raises UserError."""
    if name not in OPERATIONS:
        raise UserError("--op", "", f"no collective '{name}'; use one of {', '.join(OPERATIONS)}")
    return OPERATIONS.index(name)


def predict_collective(
    arch: str, asked: GroupedCollective, *, seed: int = 0, interval_wanted: bool = False, uncalibrated: bool = False
) -> dict[str, Any]:
    """The answer of `npusim collective`; time_us becomes {value, low, high} with `interval_wanted`. Raises UserError.

    bytes_per_rank: what the busiest rank sends; busbw: the rate that the links would show under the best algorithm
    (github.com/NVIDIA/nccl-tests doc/PERFORMANCE.md); candidates: every algorithm, fastest first.
    """
    system = load_system(arch, uncalibrated)
    groups = neighbours(system, asked)
    machines = place_collective(build_machine(system), system, asked, groups)
    found = _candidates(machines[0], system, asked)
    if not found:
        raise _no_algorithm(system, asked)
    best = found[0]
    time_s = best["time_us"] / US_PER_S
    return {
        "arch": system.name,
        "op": OPERATIONS[asked.operation],
        "bytes": asked.byte_count,
        "ranks": asked.ranks,
        "groups": asked.groups,
        **best,
        "time_us": _ranged(arch, system, asked, groups, seed, uncalibrated) if interval_wanted else best["time_us"],
        "bytes_per_rank": _sent_per_rank(system, asked, best["algorithm"], groups[0]),
        "algbw_bytes_per_s": asked.byte_count / time_s,
        "busbw_bytes_per_s": asked.byte_count / time_s * least_part(asked.operation, asked.ranks),
        "runner_up": next((each for each in found if each["algorithm"] != best["algorithm"]), None),
        "candidates": found,
    }


def predict_reduction(arch: str, byte_count: float, pes: int, uncalibrated: bool = False) -> dict[str, Any]:
    """The sum of partial results over the PEs of one chip, by its topology."""
    system = load_system(arch, uncalibrated)
    machine = build_machine(system)[0]
    if not system.chip.unit.TRAITS.engines:
        raise UserError("--within", "", f"{system.name} has no PEs that reduce among themselves; leave it out")
    most = int(system.chip.unit.engines)
    if not 1 < pes <= most:
        raise UserError("--ranks", "", f"{pes} PEs, but a chip of {system.name} has {most}; give 2 to {most}")
    assert system.chip.reduction is not None, "a chip with engines has one"
    name = system.chip.reduction.topology
    topology, clusters = TOPOLOGIES[name], int(clusters_at_work(float(pes), machine))
    time_s = float(on_chip_reduction_time(byte_count, machine, float(pes)))
    fixed_s = float(on_chip_reduction_time(0.0, machine, float(pes)))
    return {
        "arch": system.name,
        "op": OPERATIONS[ALL_REDUCE],
        "bytes": byte_count,
        "ranks": pes,
        "groups": 1,
        "algorithm": name,
        "transport": topology.text,
        "time_us": time_s * US_PER_S,
        "latency_us": fixed_s * US_PER_S,
        "bound": "latency" if fixed_s > time_s / 2 else "bandwidth",
        "link": "between PEs",
        "bytes_per_rank": topology.sent(pes, clusters) * byte_count,
        "algbw_bytes_per_s": byte_count / time_s,
        "busbw_bytes_per_s": byte_count / time_s * least_part(ALL_REDUCE, pes),
        "runner_up": None,
        "candidates": [],
    }


def neighbours(system: System, asked: GroupedCollective) -> Groups:
    """The chips of each group, neighbours on the fabric. Raises UserError where it does not join as many."""
    chips = system.server.fabric.chips
    if not 2 <= asked.ranks <= chips:
        raise UserError("--ranks", "", f"{asked.ranks} chips, but {system.name} joins {chips}; give 2 to {chips}")
    if not 1 <= asked.groups <= chips // asked.ranks:
        most = chips // asked.ranks
        raise UserError("--groups", "", f"{asked.groups} groups of {asked.ranks}, but {chips} chips hold {most}")
    return tuple(tuple(range(first * asked.ranks, (first + 1) * asked.ranks)) for first in range(asked.groups))


def place_collective(machines: np.ndarray, system: System, asked: GroupedCollective, groups: Groups) -> np.ndarray:
    """`machines` with what those groups need of the fabric, in place; only the asked library and algorithm serve.

    Raises UserError.
    """
    fabric = system.server.fabric
    libraries = () if asked.library is None else (asked.library,)
    if asked.library is not None and asked.library not in fabric.libraries:
        raise UserError(
            "--library", "", f"'{asked.library}' is no library of {system.name}; it has {', '.join(fabric.libraries)}"
        )
    write_group(machines, fabric, GROUP_TENSOR, groups)
    write_transports(machines, fabric, libraries)
    if asked.algorithm is not None:
        if asked.algorithm not in ALGORITHMS:
            raise UserError("--algorithm", "", f"no algorithm '{asked.algorithm}'; use one of {', '.join(ALGORITHMS)}")
        kept = [name == asked.algorithm for name in ALGORITHMS]
        machines["transport_serves"] *= np.array(kept, np.int64)
    return machines


def _candidates(machine: Any, system: System, asked: GroupedCollective) -> list[dict[str, Any]]:
    """Every schedule that can run, each on its fastest transport, fastest first."""
    found = []
    for number, (operation, algorithm) in enumerate(SCHEDULES):
        if operation != asked.operation:
            continue
        times = [
            (float(schedule_time(number, index, asked.byte_count, GROUP_TENSOR, machine)), index)
            for index in range(len(system.server.fabric.transports))
        ]
        time_s, index = min(times)
        if np.isfinite(time_s):
            found.append(_candidate(machine, system, number, algorithm, index, time_s))
    return sorted(found, key=lambda each: each["time_us"])


def _candidate(machine: Any, system: System, number: int, algorithm: str, index: int, time_s: float) -> dict[str, Any]:
    fabric = system.server.fabric
    fixed_s, _ = stage_cost(number, index, GROUP_TENSOR, machine)
    stages = max(1.0, float(machine["group_shape"][GROUP_TENSOR, number, DEPTH]))
    latency_s = float(machine["fabric_transports_launch"][index]) + stages * float(fixed_s)
    loads = machine["group_load"][GROUP_TENSOR, number]
    busy = [float(loads[level]) / float(link_rate(level, machine)) for level in range(len(fabric.levels))]
    return {
        "algorithm": algorithm,
        "transport": fabric.transports[index].name,
        "library": fabric.transports[index].library,
        "time_us": time_s * US_PER_S,
        "latency_us": latency_s * US_PER_S,
        "bound": "latency" if latency_s > time_s / 2 else "bandwidth",
        "link": fabric.levels[int(np.argmax(busy))].link.name,
    }


def _no_algorithm(system: System, asked: GroupedCollective) -> UserError:
    served = sorted(
        {algorithm for each in system.server.fabric.transports for algorithm in each.algorithms}
        & {algorithm for operation, algorithm in SCHEDULES if operation == asked.operation}
    )
    told = f"{OPERATIONS[asked.operation]} over {asked.ranks} chips of {system.name}"
    key = "--algorithm" if asked.algorithm else "--op"
    return UserError(key, "", f"nothing carries out {told} as asked; its libraries know: {', '.join(served) or 'none'}")


def _sent_per_rank(system: System, asked: GroupedCollective, algorithm: str, group: tuple[int, ...]) -> float:
    made = ALGORITHMS[algorithm].exchange(asked.operation, asked.ranks, together(system.server.fabric, group))
    assert made is not None
    return made.sent_by_busiest() * asked.byte_count


def _ranged(
    arch: str, system: System, asked: GroupedCollective, groups: Groups, seed: int, uncalibrated: bool
) -> dict[str, float]:
    """The time under the description's numbers, with the 90 % interval of its ranges."""
    calibration = None if uncalibrated else calibration_of(arch)
    runtime = load_runtime(system.runtime, system.chip.unit.kind)
    placed = place_collective(build_machine(system), system, asked, groups)
    drawn, _ = draw(system, runtime, DRAWS, seed, calibration)
    for name in PLACED:
        drawn[name] = placed[name]
    times = [
        float(collective_time(asked.operation, asked.byte_count, GROUP_TENSOR, machine)) * US_PER_S
        for machine in (placed[0], *drawn)
    ]
    low, high = interval(times[0], times[1:], 0.0)
    return {"value": times[0], "low": low, "high": high}
