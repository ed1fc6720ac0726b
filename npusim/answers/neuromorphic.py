"""What a claim of operations of an event-driven unit means, and whether its bounds leave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from npusim.bounds.event_driven import (
    IMPOSSIBLE,
    NOT_DECIDABLE,
    WITHIN,
    Ends,
    RateBound,
    binding,
    judge_rate,
    lowest,
)
from npusim.hardware.draws import is_ranged
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.ledger import Quantity, provenances
from npusim.units import to_si

Counted = Literal["spikes", "synapses"]
"""Operations counted for each synapse that a spike meets, or for every synapse of a step whether it does or not."""
COUNTED: tuple[Counted, ...] = ("spikes", "synapses")
OPERATIONS = 1, 2
"""Operations that one synapse counts: the addition alone, or a multiply-accumulate, which is two."""
CONVENTIONS = (
    "A synaptic operation is one weight added to one neuron because one spike met one synapse.",
    "Counted by spikes, a claim is of synaptic operations; counted by synapses, of dense-equivalent operations, which "
    "are synaptic operations / activity.",
    "Activity is the part of the neurons that spike in a step, 0 to 1.",
    "One multiply-accumulate is two operations; a synapse may be counted as one or as two.",
)


@dataclass(frozen=True)
class Claimed:
    """ops_per_s as claimed; counted, operations (a synapse), activity: None where it is not told."""

    ops_per_s: float
    counted: Counted | None
    operations: int | None
    activity: float | None


@dataclass(frozen=True)
class SpikingNetwork:
    """neurons, synapses of each (fan_in), activity, and steps a second (rate); None where it is not told."""

    neurons: int
    fan_in: float | None
    activity: float | None
    rate: float | None


def operations_per_s(text: str) -> float:
    """Operations/s of a claimed rate as people write it: 1 POPS, 46 GSOPS, 5e14 op/s. Raises ValueError."""
    rate = to_si(text, "op/s")
    if rate <= 0:
        raise ValueError(f"'{text}' must be more than zero")
    return rate


def judged_claim(claimed: Claimed, bounds: Sequence[RateBound]) -> dict[str, Any]:
    """Every reading of a claim that it allows, each with its verdict, and the verdict on all of them together."""
    readings = [
        _reading(claimed, counted, operations, bounds)
        for counted in COUNTED
        for operations in OPERATIONS
        if claimed.counted in (None, counted) and claimed.operations in (None, operations)
    ]
    verdicts = {each["verdict"] for each in readings}
    verdict = verdicts.pop() if len(verdicts) == 1 else NOT_DECIDABLE
    needs = [need for each in readings if each["verdict"] != IMPOSSIBLE for need in each["needs"]]
    if len(readings) > 1 and verdict == NOT_DECIDABLE:
        untold = {"counted": claimed.counted, "operations per synapse": claimed.operations}
        needs = [name for name, told in untold.items() if told is None] + needs
    return {
        "ops_per_s": claimed.ops_per_s,
        "verdict": verdict,
        "broken": _broken(bounds, readings) if verdict == IMPOSSIBLE else [],
        "needs": list(dict.fromkeys(needs)) if verdict == NOT_DECIDABLE else [],
        "ranges": _of_ranges(bounds, readings) if verdict == NOT_DECIDABLE else [],
        "readings": readings,
    }


def _reading(claimed: Claimed, counted: Counted, operations: int, bounds: Sequence[RateBound]) -> dict[str, Any]:
    every = claimed.ops_per_s / operations
    activity = claimed.activity
    dense = counted == "synapses"
    wanted = Ends.exact(every)
    if dense:
        wanted = Ends(0.0, every, every) if activity is None else Ends.exact(every * activity)
    found, left = judge_rate(wanted, bounds), lowest(bounds)
    needs = [*found.needs, *(["activity"] if dense and activity is None and found.verdict == NOT_DECIDABLE else [])]
    return {
        "counted": counted,
        "operations_per_synapse": operations,
        "activity": activity if dense else None,
        "synaptic_ops_per_s": None if dense and activity is None else wanted.value,
        "verdict": found.verdict,
        "broken": list(found.broken),
        "open": list(found.open),
        "needs": needs,
        "holds_to_activity": _capped(left, every) if dense and left is not None else None,
    }


def _capped(left: Ends, every: float) -> dict[str, float]:
    """The highest activity at which the known bounds leave dense-equivalent operations, over their ranges."""
    return {end: min(value / every, 1.0) for end, value in asdict(left).items()}


def judged_network(
    network: SpikingNetwork, unit: Neuromorphic, width: float | None, bounds: Sequence[RateBound]
) -> dict[str, Any]:
    """Whether a network fits on the unit, what its steps ask for, and the highest rate of steps that is left."""
    neurons, fan_in, activity = network.neurons, network.fan_in, network.activity
    synapses = None if fan_in is None else neurons * fan_in
    spikes = None if activity is None else neurons * activity
    a_step = None if synapses is None or activity is None else synapses * activity
    wanted = None if a_step is None or network.rate is None else a_step * network.rate
    left = lowest(bounds)
    found = None if wanted is None else judge_rate(Ends.exact(wanted), bounds)
    fits = dict(_fits(unit, neurons, synapses, width))
    told = {"fan-in": fan_in, "activity": activity, "rate of steps": network.rate}
    untold = [name for name, value in told.items() if value is None]
    per_second = network.rate
    return {
        "neurons": neurons,
        "synapses": synapses,
        "spikes_per_step": spikes,
        "spikes_per_s": None if spikes is None or per_second is None else spikes * per_second,
        "synaptic_ops_per_s": wanted,
        "dense_equivalent_ops_per_s": None if synapses is None or per_second is None else 2 * synapses * per_second,
        "power_w": None if wanted is None else _power(unit, wanted),
        "highest_rate_hz": None if a_step is None or left is None else asdict(left.times(1.0 / a_step)),
        "fits": fits,
        "verdict": _network_verdict(fits, None if found is None else found.verdict),
        "broken": [] if found is None else list(found.broken),
        "needs": list(dict.fromkeys([*untold, *(() if found is None else found.needs)])),
        "ranges": [
            *([] if found is None or found.verdict != NOT_DECIDABLE else _of_ranges(bounds, [{"open": found.open}])),
            *(name for name, word in fits.items() if word == "open"),
        ],
    }


def _network_verdict(fits: dict[str, str], of_rate: str | None) -> str:
    if "no" in fits.values() or of_rate == IMPOSSIBLE:
        return IMPOSSIBLE
    return WITHIN if of_rate == WITHIN and set(fits.values()) == {"yes"} else NOT_DECIDABLE


def _fits(unit: Neuromorphic, neurons: int, synapses: float | None, width: float | None) -> Iterator[tuple[str, str]]:
    """Of neurons, synapses and their bytes whether they have room: yes and no at any end of the ranges, else open;
    unknown where a number is not told. What the unit does not have as a limit of its own is left out."""
    cores, each = unit.cores, unit.neurons_per_core
    yield "neurons", _room(neurons, None if cores is None or each is None else _product(cores, each))
    if unit.synapses is not None:
        yield "synapses", _room(synapses, Ends.of(unit.synapses))
    capacity = None if unit.memory is None else unit.memory.capacity
    bits = Ends.exact(width) if width is not None else None if unit.synapse is None else Ends.of(unit.synapse)
    held = None
    if capacity is not None and bits is not None:
        of = Ends.of(capacity)
        held = Ends(of.low * 8 / bits.high, of.value * 8 / bits.value, of.high * 8 / bits.low)
    yield "memory", _room(synapses, held)


def _product(one: Quantity, other: Quantity) -> Ends:
    a, b = Ends.of(one), Ends.of(other)
    return Ends(a.low * b.low, a.value * b.value, a.high * b.high)


def _room(wanted: float | None, room: Ends | None) -> str:
    if wanted is None or room is None:
        return "unknown"
    return "yes" if wanted <= room.low else "no" if wanted > room.high else "open"


def _power(unit: Neuromorphic, wanted: float) -> dict[str, float] | None:
    if unit.energy is None or unit.idle is None:
        return None
    energy, idle = Ends.of(unit.energy), Ends.of(unit.idle)
    return {end: wanted * getattr(energy, end) + getattr(idle, end) for end in ("low", "value", "high")}


def bounds_answer(bounds: Sequence[RateBound]) -> dict[str, Any]:
    """Bounds with the one that binds, as JSON has them."""
    least = binding(bounds)
    return {
        "bounds": [_bound_json(each) for each in bounds],
        "binding": None if least is None else least.name,
        "undecided": [each.name for each in bounds if each.needs],
    }


def unit_assumptions(unit: Neuromorphic) -> list[dict[str, Any]]:
    """The numbers with a range that the answer depends on."""
    return [
        {"path": item.path, **item.quantity.model_dump(exclude={"sd", "date"})}
        for item in provenances(unit.name, unit)
        if is_ranged(item.quantity)
    ]


def _bound_json(bound: RateBound) -> dict[str, Any]:
    return {
        "name": bound.name,
        "applies": bound.applies,
        "synaptic_ops_per_s": None if bound.most is None else asdict(bound.most),
        "ceiling_ops_per_s": bound.ceiling,
        "needs": list(bound.needs),
        "formula": bound.formula,
    }


def _of_ranges(bounds: Sequence[RateBound], readings: Sequence[dict[str, Any]]) -> list[str]:
    """Bounds all of whose numbers are told, and whose ranges yet leave a reading open."""
    told = [each.name for each in bounds if not each.needs]
    return [name for name in told if any(name in each["open"] for each in readings)]


def _broken(bounds: Sequence[RateBound], readings: Sequence[dict[str, Any]]) -> list[str]:
    """Bounds that forbid at least one reading."""
    return [each.name for each in bounds if any(each.name in reading["broken"] for reading in readings)]
