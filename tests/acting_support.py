"""Which numbers of a chip and its runtimes move a figure, in a battery of loads.

Steps, capacities, areas and collectives are asked of many records in one call, a record for each other value of each
number. What follows from a description (plans, served runs, fabrics) is asked of one description each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import ValidationError

from npusim.answers.pim_bench import Operation, attention_commands, gemv_commands
from npusim.answers.pools import Pool, Transfer
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import cost_designs
from npusim.engine.event.engine import EventEngine
from npusim.errors import UserError
from npusim.evidence.measured.operator_rows import grouped_linear, op_row, vector
from npusim.hardware.calibration import with_quantities
from npusim.hardware.catalog import load_system, shipped_runtimes
from npusim.hardware.changes import as_changes
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.machine import GROUP_TENSOR, build_machine
from npusim.hardware.pim import PimRates
from npusim.hardware.server_link import load_server_link
from npusim.hardware.system import System
from npusim.hardware.technology.reference import reconciliation
from npusim.hardware.technology.silicon import Silicon
from npusim.kernels.collective import collective_time
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.pim import PIM_COST_DTYPE, add_own_refreshes, operation_time
from npusim.kernels.pim_energy import PIM_ENERGY_DTYPE, operation_energy
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.footprint import usable_bytes
from npusim.mapping.memory_layout import is_open, layouts
from npusim.mapping.optable import DOWN, SOFTMAX
from npusim.mapping.placement import write_group, write_transports
from npusim.mapping.plan import all_plans
from npusim.serving.instances.disaggregated import simulate_pools
from npusim.serving.load import make_load, random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import parse_arrival
from npusim.workload.feeds import Experts
from npusim.workload.lengths import Lengths
from npusim.workload.step import Step, decode, mixed, prefill

LLAMA = "llama-3.1-8b"
STEPS = (
    decode([1024]),
    decode([2048] * 24),
    decode([64] * 160),
    prefill(1, 1024),
    prefill(1, 8192),
    mixed([1024] * 8, [(512, 512)]),
)
UNIT_STEPS = (decode([2048] * 2), decode([2048] * 128))
_FACTORS = (1 / 512, 1 / 2, 2.0, 64.0)
"""What a number is multiplied by: a little and a lot, since some act at a limit alone."""
_NEAR = (0.97, 1.03)
"""And where the rest of the description leaves little room."""
_FROM_ZERO = (1e-6, 1e-3, 0.5)
"""What stands in place of a zero, in SI units."""
Key = tuple[str, str]
"""Name of a description, and the path of a number in it."""
Figures = Callable[[Deployment, np.ndarray, np.ndarray], Iterator[np.ndarray]]
"""Figures (designs, figures) of arrays of machines and runtime records (designs,), in parts."""
Answers = Callable[[Deployment], Iterable[float]]
"""Figures of one deployment."""


def other_values(number: RangedNumber, factors: tuple[float, ...] = _FACTORS) -> list[float]:
    """Values that the number may have beside its own."""
    value, domain = number.quantity.value, number.domain
    assert domain is not None, number.label
    least, most = domain.ends()
    wanted = [value * factor for factor in factors] if value else list(_FROM_ZERO)
    inside = [min(max(each, least), most) for each in wanted]
    whole = [float(max(1, round(each))) if domain.whole else each for each in inside]
    return [each for each in dict.fromkeys(whole) if each != value]


def runtimes_of(arch: str) -> list[str]:
    """Shipped runtimes that can be deployed on it, and know PIM units if it has them and only then; its own first."""
    system = load_system(arch, uncalibrated=True)
    found = []
    for name in shipped_runtimes():
        with suppress(UserError):
            runtime = _deployed(arch, LLAMA, name).runtime
            if (runtime.offload is not None) == (system.chip.pim is not None):
                found.append(name)
    return sorted(found, key=lambda name: name != system.runtime)


@dataclass
class Search:
    """numbers: all of them that were seen; moved: those that moved a figure, with the load in which they did; refused:
    those of which no other value goes with the rest of the description, with its words."""

    numbers: dict[Key, RangedNumber] = field(default_factory=dict)
    moved: dict[Key, str] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)

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

    def descriptions(self, load: str, where: Deployment, answers: Answers, below: str = "") -> None:
        """Moves each number that is left in its description, of those whose paths begin with `below`."""
        own = np.array(list(answers(where)), np.float64)
        for number in self.left(where):
            if number.label.startswith(below):
                others, reason = _possible(where, number)
                if not others:
                    self.refused[number.owner, number.label] = reason
                if any(_moves(own, other, answers) for other in others):
                    self.moved[number.owner, number.label] = load


def _possible(where: Deployment, number: RangedNumber) -> tuple[list[Deployment], str]:
    """The deployment with other values of a number, nearer ones where those cannot be; and why the last cannot."""
    found: list[Deployment] = []
    reason = ""
    for factors in (_FACTORS, _NEAR):
        for value in other_values(number, factors) if not found else ():
            try:
                found.append(described(where, {number.label: value}))
            except UserError as error:
                reason = str(error)
    return found, reason


def _moves(own: np.ndarray, other: Deployment, answers: Answers) -> bool:
    with suppress(UserError):
        found = np.array(list(answers(other)), np.float64)
        return found.shape == own.shape and _differ(own, found)
    return False


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
    system = _checked(with_quantities(where.system, changes[True]))  # type: ignore[arg-type]
    runtime = with_quantities(where.runtime, changes[False])  # type: ignore[arg-type]
    return replace(where, system=system, runtime=runtime, machine=build_machine(system)).under(where.plan)


def _checked(system: System) -> System:
    try:
        return System.model_validate(dict(system))
    except ValidationError as error:
        raise UserError(system.name, "", str(error)) from error


def steps(
    where: Deployment, machines: np.ndarray, runtimes: np.ndarray, asked: tuple[Step, ...] = STEPS
) -> Iterator[np.ndarray]:
    """Time, energy, bytes and clock of steps, in every layout of a memory with units."""
    for laid in [each.put(runtimes) for each in layouts(runtimes)] if is_open(runtimes) else [runtimes]:
        engine = AnalyticEngine(where, max_sequences=160)
        for step in asked:
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
    reduction, unit = where.system.chip.reduction, where.system.chip.unit
    assert reduction is not None and reduction.measured_pes is not None
    more = 2.0 * reduction.measured_pes.value / unit.engines
    wide["tcp_clusters"] *= more
    wide["reduction_further"] *= 0.5
    all_fused["pe_fusion"] = more * unit.engines
    return steps(where, wide, all_fused)


def steps_on_units(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Decode steps whose products and attention units in memory may run."""
    return steps(where, machines, runtimes, UNIT_STEPS)


def shared_banks(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Steps with units in memory beside which half of the host's traffic passes."""
    beside = machines.copy()
    beside["pim_sharing_beside_host"] = np.maximum(machines["pim_sharing_beside_host"], 0.5)
    return steps_on_units(where, beside, runtimes)


def units_alone(where: Deployment, machines: np.ndarray, runtimes: np.ndarray) -> Iterator[np.ndarray]:
    """Time and energy of operations on units in memory, one by one, in each type that they multiply."""
    pim = where.system.chip.pim
    assert pim is not None
    for dtype in [name for name in PimRates.model_fields if getattr(pim.unit.mac.rates, name) is not None]:
        attention = attention_commands(pim, heads=32, kv=3000, head_dim=128, dtype=dtype)
        for operation in (gemv_commands(pim, 4096, 4096, dtype=dtype), attention):
            yield np.array([_alone(operation, machine) for machine in machines])


def _alone(operation: Operation, machine: np.void) -> list[float]:
    cost, energy = np.zeros(1, PIM_COST_DTYPE)[0], np.zeros(1, PIM_ENERGY_DTYPE)[0]
    operation.fill(machine, cost)
    add_own_refreshes(cost, machine)
    operation_energy(cost, operation.bits, machine, energy)
    return [operation_time(cost, machine), *energy.item()]


def mixed_traffic(where: Deployment) -> Iterable[float]:
    """What the memory delivers command by command: the host's long streams, and reads and writes here and there."""
    memory, dram = where.system.chip.memory, where.system.chip.dram
    assert dram is not None
    yield memory.stream_efficiency.value
    found = measure_channel(dram, Traffic("random", requests=2000, write_fraction=0.5))
    yield from (found.fraction_of_peak, found.latency_s, *found.energy_j.values())


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


def served_alike(where: Deployment) -> Iterable[float]:
    """Figures of long prompts that are alike, by users of whom all read the same keys and values."""
    load = make_load(Lengths(4096), Lengths(24), parse_arrival("closed", 8), 12, 0, alike=True, warm=True)
    return measure(simulate(where, load, seed=1)).figures.values()


def served_apart(where: Deployment) -> Iterable[float]:
    """Figures of prompts that are computed apart from decoding."""
    pool = Pool(where, 1)
    wire = Transfer(load_server_link("nvlink-4"), layer_wise=False).wire(pool, pool)
    load = random_load(300, 24, parse_arrival("closed", 4), 8)
    return measure(simulate_pools(pool.instances, pool.instances, load, 1, wire, "round_robin").whole).figures.values()


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
    ("qwen2.5-0.5b", "bf16", 1),
)
"""Model, precision and cards: each format, several cards, experts, latent attention, heads that PEs share unevenly."""
_SAMPLING = "runtime.host.sampling"
_LIBRARIES: tuple[dict[str, str], ...] = (
    {"linear": "cublas", "attention": "flash-2", "vector": "eager", "grouped": "triton-block-fp8"},
    {"linear": "block-fp8", "attention": "cudnn", "grouped": "torch-grouped", "latent_prompt": "flash-3-mla"},
    {"latent": "flash-mla", "latent_prompt": "flash-mla"},
    {"latent": "flash-3-latent-prompt", "linear": "vllm-cutlass"},
)
"""Kernel libraries of a GPU that a runtime may name in place of its own."""


def search(arch: str) -> Search:
    """Moves every number of an architecture and its runtimes, until a figure moves or every load was tried."""
    found, (own, *further) = Search(), runtimes_of(arch)
    for runtime in (own, *further):
        _in_steps(found, arch, runtime, runtime == own)
        if load_system(arch, uncalibrated=True).chip.pim is not None:
            _on_units(found, arch, runtime)
        where = _deployed(arch, LLAMA, runtime)
        found.records("capacity and silicon", where, capacity_and_silicon)
        _served(found, where)
        if runtime == own:
            _of_the_chip(found, where)
    return found


def _in_steps(found: Search, arch: str, runtime: str, own: bool) -> None:
    """Steps of every model and format, whoever samples, and on a GPU with every library."""
    choices: list[dict[str, str]] = [{}, {_SAMPLING: "host"}, {_SAMPLING: "chip"}]
    if own and load_system(arch, uncalibrated=True).chip.unit.TRAITS.libraries:
        choices.append({"runtime.kv.precision": "fp8"})
        choices += [{f"runtime.kernels.{what}": name for what, name in each.items()} for each in _LIBRARIES]
    for words in choices:
        for model, precision, cards in _CASES:
            with suppress(UserError):
                where = _deployed(arch, model, runtime, cards, precision, words)
                found.records("steps", where, steps)
                found.records("steps under a power cap", where, capped_steps)


def _on_units(found: Search, arch: str, runtime: str) -> None:
    """What units in memory do, in steps and alone, and what their memory does without them."""
    where = _deployed(arch, LLAMA, runtime, precision="w4a8", words={"runtime.kv.precision": "int8"})
    found.records("steps with units", where, steps_on_units)
    found.records("steps with units beside the host", where, shared_banks)
    found.records("units alone", where, units_alone)
    found.descriptions("commands of the memory", where, mixed_traffic, "chip.pim.memory.")


def _of_the_chip(found: Search, where: Deployment) -> None:
    """What follows from the chip and its fabric, whatever drives it."""
    found.records("collectives", where, collectives)
    if where.system.chip.unit.TRAITS.libraries:
        found.records("operators alone", where, operators_alone)
    if where.system.chip.unit.TRAITS.engines:
        found.records("more engines", where, many_engines)
    found.descriptions("plans", where, plans)
    found.descriptions("collectives of a fabric", where, fabric_times)
    on_two_cards = _deployed(where.system.name, LLAMA, where.runtime.name, 2)
    found.descriptions("a simulated step", on_two_cards, simulated)


def _served(found: Search, where: Deployment) -> None:
    """Runs as they are described, in little memory, with stalls and under a power cap."""
    found.descriptions("a served run", where, served)
    if where.runtime.kv.prefix_caching:
        for kv in ("bf16", "fp8") if where.system.chip.unit.TRAITS.libraries else ("bf16",):
            kept = _deployed(where.system.name, LLAMA, where.runtime.name, words={"runtime.kv.precision": kv})
            found.descriptions("a served run of a shared prompt", kept, served_alike)
    if where.runtime.connector is not None:
        found.descriptions("a served run of two pools", where, served_apart, "connector.")
    found.descriptions("a served run in little memory", tight(where), served)
    stalling = described(where, {"host.stall_probability": 0.5, "host.stall_time": 0.01})
    found.descriptions("a served run with stalls", stalling, served)
    found.descriptions("a served run under a power cap", capped(where), served)


def _deployed(
    arch: str, model: str, runtime: str, cards: int = 1, precision: str = "bf16", words: dict[str, str] | None = None
) -> Deployment:
    told = {"precision": precision, "runtime": runtime, "uncalibrated": True, "changes": as_changes(words or {})}
    return deploy(arch, model, cards=cards, **told)  # type: ignore[arg-type]
