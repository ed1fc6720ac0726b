"""Which numbers of a chip and its runtimes move a figure, in a battery of loads.

Steps, capacities, areas and collectives are asked of many records in one call, a record for each other value of each
number. What follows from a description (plans, served runs, fabrics) is asked of one description each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import cost_designs
from npusim.engine.event.engine import EventEngine
from npusim.errors import UserError
from npusim.evidence.measured.operator_rows import grouped_linear, op_row, vector
from npusim.hardware.calibration import with_quantities
from npusim.hardware.catalog import load_runtime, load_system, shipped_runtimes
from npusim.hardware.changes import as_changes
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.machine import GROUP_TENSOR, build_machine
from npusim.hardware.technology.reference import reconciliation
from npusim.hardware.technology.silicon import Silicon
from npusim.kernels.collective import collective_time
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.footprint import usable_bytes
from npusim.mapping.memory_layout import is_open, layouts
from npusim.mapping.optable import DOWN, SOFTMAX
from npusim.mapping.placement import write_group, write_transports
from npusim.mapping.plan import all_plans
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import parse_arrival
from npusim.workload.blocks import Experts
from npusim.workload.step import decode, mixed, prefill

LLAMA = "llama-3.1-8b"
STEPS = (
    decode([1024]),
    decode([2048] * 24),
    decode([64] * 160),
    prefill(1, 1024),
    prefill(1, 8192),
    mixed([1024] * 8, [(512, 512)]),
)
_FACTORS = (1 / 512, 1 / 2, 2.0, 64.0)
"""What a number is multiplied by: a little and a lot, since some act at a limit alone."""
_FROM_ZERO = (1e-6, 1e-3, 0.5)
"""What stands in place of a zero, in SI units."""
Key = tuple[str, str]
"""Name of a description, and the path of a number in it."""
Figures = Callable[[Deployment, np.ndarray, np.ndarray], Iterator[np.ndarray]]
"""Figures (designs, figures) of arrays of machines and runtime records (designs,), in parts."""
Answers = Callable[[Deployment], Iterable[float]]
"""Figures of one deployment."""


def other_values(number: RangedNumber) -> list[float]:
    """Values that the number may have beside its own."""
    value, domain = number.quantity.value, number.domain
    assert domain is not None, number.label
    least, most = domain.ends()
    wanted = [value * factor for factor in _FACTORS] if value else list(_FROM_ZERO)
    inside = [min(max(each, least), most) for each in wanted]
    whole = [float(max(1, round(each))) if domain.whole else each for each in inside]
    return [each for each in dict.fromkeys(whole) if each != value]


def runtimes_of(arch: str) -> list[str]:
    """Shipped runtimes that drive its unit, and know PIM units if it has them and only then; its own first."""
    system = load_system(arch, uncalibrated=True)
    found = []
    for name in shipped_runtimes():
        with suppress(UserError):
            runtime = load_runtime(name, system.chip.unit.kind)
            if (runtime.offload is not None) == (system.chip.pim is not None):
                found.append(name)
    return sorted(found, key=lambda name: name != system.runtime)


@dataclass
class Search:
    """numbers: all of them that were seen; moved: those that moved a figure, with the load in which they did."""

    numbers: dict[Key, RangedNumber] = field(default_factory=dict)
    moved: dict[Key, str] = field(default_factory=dict)

    def left(self, where: Deployment) -> list[RangedNumber]:
        """Numbers of this deployment that have moved nothing yet."""
        known = {(number.owner, number.label): number for number in all_numbers(where.system, where.runtime)}
        self.numbers |= known
        return [number for key, number in known.items() if key not in self.moved]

    def records(self, load: str, where: Deployment, figures: Figures) -> None:
        """Moves each number that is left in its record."""
        left = self.left(where)
        chosen = [(number, value) for number in left for value in other_values(number)]
        machines = np.repeat(where.machine, 1 + len(chosen))
        runtimes = np.repeat(where.runtime_record, 1 + len(chosen))
        for row, (number, value) in enumerate(chosen, start=1):
            records = machines if number.owner == where.system.name else runtimes
            number.put(records[row : row + 1], value)
        for found in figures(where, machines, runtimes):
            for (number, _), differs in zip(chosen, (_differ(found[0], other) for other in found[1:]), strict=True):
                if differs:
                    self.moved.setdefault((number.owner, number.label), load)

    def descriptions(self, load: str, where: Deployment, answers: Answers) -> None:
        """Moves each number that is left in its description."""
        own = np.array(list(answers(where)), np.float64)
        for number in self.left(where):
            for value in other_values(number):
                with suppress(UserError):
                    other = np.array(list(answers(described(where, {number.label: value}))), np.float64)
                    if other.shape == own.shape and _differ(own, other):
                        self.moved[number.owner, number.label] = load
                        break


def _differ(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether a figure that is known before and after is another one."""
    return bool((np.isfinite(own) & np.isfinite(other) & (own != other)).any())


def described(where: Deployment, values: dict[str, float]) -> Deployment:
    """The deployment, described with other numbers at these paths of chip and runtime; a cap of its own is enforced."""
    numbers = {number.label: number for number in all_numbers(where.system, where.runtime)}
    changes: dict[bool, dict[str, object]] = {False: {}, True: {}}
    for path, value in values.items():
        known = {"value": value, "low": None, "high": None, "text": f"{value:g}", "source": "a test"}
        of_system = numbers[path].owner == where.system.name
        changes[of_system][path] = numbers[path].quantity.model_copy(update=known | {"kind": "datasheet"})
    system = with_quantities(where.system, changes[True])  # type: ignore[arg-type]
    runtime = with_quantities(where.runtime, changes[False])  # type: ignore[arg-type]
    return replace(where, system=system, runtime=runtime, machine=build_machine(system)).under(where.plan)


def steps(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Time, energy, bytes and clock of steps, in every layout of a memory with units."""
    for laid in [each.put(runtimes) for each in layouts(runtimes)] if is_open(runtimes) else [runtimes]:
        engine = AnalyticEngine(where, max_sequences=160)
        for step in STEPS:
            with suppress(UserError):
                cost = cost_designs(engine, step, machines, laid)
                whole = cost.time_s, cost.energy_j, cost.memory_bytes, cost.clock
                yield np.column_stack([*whole, cost.parts_j, *cost.shares_s.values()])


def capped_steps(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Steps under an enforced cap that leaves 20 W to work."""
    capped = machines.copy()
    capped["power_cap_enforced"] = True
    capped["power_cap"] *= (capped["power_idle"][0] + capped["power_loaded_static"][0] + 20.0) / capped["power_cap"][0]
    return steps(where, capped, runtimes)


def many_engines(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Steps on twice the clusters, beyond the PEs over which a reduction was measured."""
    wide, all_fused = machines.copy(), runtimes.copy()
    wide["tcp_clusters"] *= 2.0
    wide["reduction_further"] *= 0.5
    all_fused["pe_fusion"] = 2.0 * where.system.chip.unit.engines
    return steps(where, wide, all_fused)


def capacity_and_silicon(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Bytes left to weights and KV cache; area, cost, and how far energies are from the tables of accesses."""
    silicon = Silicon(where.system, machines, 1)
    figures = silicon.area_proxy_mm2, silicon.area_mm2.value, silicon.die_cost_usd.value, silicon.package_cost_usd.value
    tables = [each.value for each in reconciliation(where.system, machines).values()]
    yield np.column_stack([*figures, usable_bytes(machines, runtimes), *tables])


def collectives(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Every operation of every library over two chips and over all that the fabric joins."""
    fabric = where.system.server.fabric
    for ranks in {2, fabric.chips}:
        write_group(machines, fabric, GROUP_TENSOR, (tuple(range(ranks)),))
        for library in fabric.libraries:
            write_transports(machines, fabric, (library,))
            sizes = [(code, size) for code in range(len(OPERATIONS)) for size in (1e3, 1e5, 1e9)]
            yield np.array([[collective_time(*each, GROUP_TENSOR, machine) for each in sizes] for machine in machines])


def fabric_times(where: Deployment) -> Iterable[float]:
    """As `collectives`, of a fabric as it is described."""
    for times in collectives(where, where.machine.copy(), where.runtime_record):
        yield from times[0]


def operators_alone(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """A GPU's operators that models of today do not have so, as they are measured one by one: a softmax, and experts'
    products whose rows are aligned to nothing."""
    unaligned = grouped_linear("h200", "bf16", DOWN, 64, 512, 99, Experts(8, 2, 99), 8.0)
    libraries = where.system.chip.unit.libraries()
    for fields, what in ((vector(SOFTMAX, 128, 4096, 2.0), "vector"), (unaligned, "grouped")):
        row, costs = op_row(fields), np.zeros(1, OPERATOR_COST_DTYPE)
        for row["library"] in libraries[what].values():
            step = np.zeros(len(machines), STEP_COST_DTYPE)
            for index, (machine, runtime) in enumerate(zip(machines, runtimes, strict=True)):
                cost_step(row, 1, machine, runtime, 0, costs, step[index])
            yield step["time_s"][:, None]


def plans(where: Deployment) -> Iterable[float]:
    """How many plans there are, and chips of all cards."""
    system = where.system
    yield len(list(all_plans(system, where.model, system.max_cards)))
    yield system.max_cards * system.chips_per_card
    yield system.server.fabric.chips


def served(where: Deployment) -> Iterable[float]:
    """Figures of twelve requests by eight users."""
    return measure(simulate(where, random_load(300, 24, parse_arrival("closed", 8), 12), seed=1)).figures.values()


def simulated(where: Deployment) -> Iterable[float]:
    """A decode step under the event engine."""
    cost = EventEngine(AnalyticEngine(where, max_sequences=8), where.system.name).cost(decode([1024] * 4))
    return cost.time_s, cost.energy_j


def tight(where: Deployment) -> Deployment:
    """The deployment with room for the KV cache of four of the eight requests that are served."""
    room = where.fitting.footprint(where.plan)
    surplus = room.available_bytes - 4 * room.kv_bytes(324)
    usable = where.system.chip.memory.usable_capacity.value
    return described(where, {"chip.memory.usable_capacity": usable - surplus / float(_kept(where))})


def _kept(where: Deployment) -> float:
    """Part of the usable capacity that the runtime takes and metadata leaves."""
    carved = np.nan_to_num(where.machine["memory_metadata_carve_out"][0])
    return float(where.runtime_record["kv_memory_fraction"][0]) * float(1.0 - carved)


def capped(where: Deployment) -> Deployment:
    """The deployment under an enforced cap that leaves 40 W to work."""
    static = float(where.machine["power_idle"][0] + where.machine["power_loaded_static"][0])
    return described(where, {"chip.power.cap": static + 40.0})


_CASES = (
    *((LLAMA, precision, 1) for precision in ("bf16", "fp8", "int8", "w8a16", "w4a16", "w4a8")),
    (LLAMA, "bf16", 8),
    (LLAMA, "bf16", 4),
    ("qwen3-30b-a3b", "fp8", 1),
    ("qwen3-30b-a3b", "bf16", 4),
    ("deepseek-v3", "fp8", 8),
    ("gpt-oss-20b", "bf16", 8),
    ("qwen2.5-7b", "bf16", 1),
)
"""Model, precision and cards: each format, several cards, experts, latent attention, heads that PEs share unevenly."""
_SAMPLING = "runtime.host.sampling"
_LIBRARIES: tuple[dict[str, str], ...] = (
    {"linear": "cublas", "attention": "flash-2", "vector": "eager", "grouped": "triton-block-fp8"},
    {"linear": "block-fp8", "attention": "cudnn", "grouped": "torch-grouped", "latent_prompt": "flash-3-mla"},
    {"latent": "flash-mla", "latent_prompt": "flash-mla"},
    {"latent": "flash-3-latent-prompt"},
)
"""Kernel libraries of a GPU that a runtime may name in place of its own."""


def search(arch: str) -> Search:
    """Moves every number of an architecture and its runtimes, until a figure moves or every load was tried."""
    found, (own, *further) = Search(), runtimes_of(arch)
    unit = load_system(arch, uncalibrated=True).chip.unit
    choices: list[dict[str, str]] = [{}, {_SAMPLING: "host"}, {_SAMPLING: "chip"}]
    if unit.TRAITS.libraries:
        choices += [{f"runtime.kernels.{what}": name for what, name in each.items()} for each in _LIBRARIES]
    for runtime in (own, *further):
        for words in choices if runtime == own else choices[:3]:
            for model, precision, cards in _CASES:
                with suppress(UserError):
                    where = _deployed(arch, model, runtime, cards, precision, words)
                    found.records("steps", where, steps)
                    found.records("steps under a power cap", where, capped_steps)
        where = _deployed(arch, LLAMA, runtime)
        found.records("capacity and silicon", where, capacity_and_silicon)
        if runtime == own:
            found.records("collectives", where, collectives)
            if unit.TRAITS.libraries:
                found.records("operators alone", where, operators_alone)
            if unit.TRAITS.engines:
                found.records("more engines", where, many_engines)
            found.descriptions("plans", where, plans)
            found.descriptions("collectives of a fabric", where, fabric_times)
        found.descriptions("a served run", where, served)
        found.descriptions("a served run in little memory", tight(where), served)
        stalling = described(where, {"host.stall_probability": 0.5, "host.stall_time": 0.01})
        found.descriptions("a served run with stalls", stalling, served)
        found.descriptions("a served run under a power cap", capped(where), served)
        if runtime == own:
            found.descriptions("a simulated step", _deployed(arch, LLAMA, runtime, 2), simulated)
    return found


def _deployed(
    arch: str, model: str, runtime: str, cards: int = 1, precision: str = "bf16", words: dict[str, str] | None = None
) -> Deployment:
    told = {"precision": precision, "runtime": runtime, "uncalibrated": True, "changes": as_changes(words or {})}
    return deploy(arch, model, cards=cards, **told)  # type: ignore[arg-type]
