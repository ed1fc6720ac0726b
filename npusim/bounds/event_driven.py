"""What no event-driven unit passes: synaptic operations a second by memory, mesh, power and stated peak.

A synaptic operation is one weight added to one neuron because one spike met one synapse (Merolla et al. 2014, Science
345:668, synaptic operations per second). A bound holds the ends of the ranges of its numbers: `high` with every
number at its favourable end, `low` with every one at its worse end, so only `high` can say *impossible*. Rates are in
synaptic operations/s where no other unit is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from npusim.hardware.neuromorphic import Mesh, Neuromorphic, SynapseMemory
from npusim.ledger import Quantity

IMPOSSIBLE, NOT_DECIDABLE, WITHIN = "impossible", "not decidable", "within bounds"
_BITS_PER_BYTE = 8


@dataclass(frozen=True)
class Ends:
    """A number over its range: low <= value <= high, in SI units."""

    low: float
    value: float
    high: float

    @classmethod
    def of(cls, quantity: Quantity) -> Ends:
        low = quantity.value if quantity.low is None else quantity.low
        return cls(low, quantity.value, quantity.value if quantity.high is None else quantity.high)

    @classmethod
    def exact(cls, value: float) -> Ends:
        return cls(value, value, value)

    def times(self, factor: float) -> Ends:
        return Ends(self.low * factor, self.value * factor, self.high * factor)


@dataclass(frozen=True)
class RateBound:
    """most: the highest rate, None where `needs`, what would have to be told, is not empty.

    ceiling: a rate that is not passed whatever the untold numbers are, infinite where they leave it open; applies:
    whether the unit has what bounds it at all.
    """

    name: str
    formula: str
    most: Ends | None
    ceiling: float
    needs: tuple[str, ...] = ()
    applies: bool = True


@dataclass(frozen=True)
class RateJudgement:
    """verdict on a wanted rate; broken: bounds that it breaks at their favourable ends; open: those that leave it open,
    by their ranges or because `needs` are not told."""

    verdict: str
    broken: tuple[str, ...]
    open: tuple[str, ...]
    needs: tuple[str, ...]


def bounds_of(unit: Neuromorphic, width: float | None, fan_out: float | None, limit: float | None) -> list[RateBound]:
    """Every bound of a unit. width: bits of a synapse in place of its own; fan_out: synapses that a spike meets in the
    mean; limit: W in place of its own power limit."""
    synapse = unit.synapse if width is None else width
    return [
        _memory(unit.memory, synapse),
        _mesh(unit.mesh, fan_out),
        _power(unit, limit),
        _peak(unit),
    ]


def binding(bounds: Sequence[RateBound]) -> RateBound | None:
    """The lowest of the bounds that are known, at their values; None where none is."""
    known = [each for each in bounds if each.most is not None and math.isfinite(each.most.value)]
    return min(known, key=lambda each: each.most.value if each.most else math.inf, default=None)


def lowest(bounds: Sequence[RateBound]) -> Ends | None:
    """The rate that the known bounds leave together, over their ranges; None where none is known."""
    known = [each.most for each in bounds if each.most is not None and math.isfinite(each.most.value)]
    if not known:
        return None
    high = min(each.ceiling for each in bounds)
    return Ends(min(high, *(each.low for each in known)), min(high, *(each.value for each in known)), high)


def judge_rate(wanted: Ends, bounds: Sequence[RateBound]) -> RateJudgement:
    """Whether a rate can be: impossible where its low end is above a bound's favourable end, within bounds where its
    high end is below every bound's worse end and nothing is untold, else not decidable."""
    broken = tuple(each.name for each in bounds if wanted.low > each.ceiling)
    left = [each for each in bounds if each.applies and (each.most is None or wanted.high > each.most.low)]
    needs = tuple(dict.fromkeys(need for each in left for need in each.needs))
    verdict = IMPOSSIBLE if broken else NOT_DECIDABLE if left else WITHIN
    return RateJudgement(verdict, broken, tuple(each.name for each in left), needs)


_Known = Quantity | float | None
_Numbers = dict[str, tuple[_Known, bool]]
"""By the key that tells it a number, and whether more of it is favourable."""


def _memory(memory: SynapseMemory | None, synapse: _Known) -> RateBound:
    formula = "bandwidth / bytes of a synapse x operations per read"
    if memory is not None and memory.place == "in compute":
        return RateBound("synapse memory", formula, None, math.inf, applies=False)
    told = memory or SynapseMemory(place="read")
    numbers: _Numbers = {
        "memory.bandwidth": (told.bandwidth, True),
        "synapse": (synapse, False),
        "memory.operations_per_read": (told.operations_per_read, True),
    }
    return _made("synapse memory", formula, lambda rate, bits, reads: rate * _BITS_PER_BYTE / bits * reads, numbers)


def _mesh(mesh: Mesh | None, fan_out: float | None) -> RateBound:
    formula = "synapses a spike meets x links x packets/s of a link / links a spike crosses"
    told = mesh or Mesh()
    common: _Numbers = {"fan-in": (fan_out, True), "mesh.links": (told.links, True)}
    hops: _Numbers = {"mesh.hops": (told.hops, False)}
    if told.link_bandwidth is None:
        rate: _Numbers = {"mesh.link_rate": (told.link_rate, True)}
        return _made(
            "mesh", formula, lambda fan, links, each, far: _over(fan * links * each, far), common | rate | hops
        )
    rate = {"mesh.link_bandwidth": (told.link_bandwidth, True), "mesh.packet": (told.packet, False)}

    def carried(fan: float, links: float, each: float, packet: float, far: float) -> float:
        return _over(fan * links * each * _BITS_PER_BYTE / packet, far)

    return _made("mesh", formula, carried, common | rate | hops)


def _power(unit: Neuromorphic, limit: float | None) -> RateBound:
    def rate(most: float, idle: float, energy: float) -> float:
        return _over(max(most - idle, 0.0), energy)

    told = unit.power_limit if limit is None else limit
    numbers: _Numbers = {"power_limit": (told, True), "idle": (unit.idle, False), "energy": (unit.energy, False)}
    found = _made("power", "(power limit - idle power) / energy of an operation", rate, numbers)
    if found.needs != ("idle",):
        return found
    least = _made("power", found.formula, rate, numbers | {"idle": (0.0, False)})
    return RateBound(found.name, found.formula, None, least.ceiling, found.needs)


def _peak(unit: Neuromorphic) -> RateBound:
    """The stated peak, where one is stated: a claim of a peak is not bounded by itself."""
    if unit.peak is None:
        return RateBound("stated peak", "as stated", None, math.inf, applies=False)
    return _made("stated peak", "as stated", lambda peak: peak, {"peak": (unit.peak, True)})


def _made(name: str, formula: str, rate: Callable[..., float], numbers: _Numbers) -> RateBound:
    needs = tuple(key for key, (told, _) in numbers.items() if told is None)
    if needs:
        return RateBound(name, formula, None, math.inf, needs)
    spans = [(_span(told), more) for told, more in numbers.values()]
    high = rate(*(span.high if more else span.low for span, more in spans))
    low = rate(*(span.low if more else span.high for span, more in spans))
    return RateBound(name, formula, Ends(low, rate(*(span.value for span, _ in spans)), high), high)


def _span(told: _Known) -> Ends:
    assert told is not None
    return Ends.of(told) if isinstance(told, Quantity) else Ends.exact(told)


def _over(above: float, below: float) -> float:
    return above / below if below else math.inf
