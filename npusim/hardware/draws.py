"""Machines and runtimes drawn from their ranges: one Latin hypercube over all ranged numbers.

The range low ... high of a number is read as the 90 % interval of a split distribution around its value, normal
in the logarithm where the range is positive, else normal (Wallis 2014, "The Two-Piece Normal, Binormal, or Double
Gaussian Distribution", Statistical Science 29(1)). A number without a range stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pydantic import BaseModel

from npusim.hardware.calibration import Calibration
from npusim.hardware.flat import quantities
from npusim.hardware.machine import build_pim, described_machine
from npusim.hardware.pim import Pim
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import RUNTIME_DTYPE, build_runtime
from npusim.hardware.software import HALF_WAY, InUse, between
from npusim.hardware.states import OPEN
from npusim.hardware.system import System
from npusim.hardware.technology.reference import energies_left_out, follow_reference
from npusim.ledger import Domain, Quantity, provenances

RANGE_COVERAGE = 0.90
"""Probability with which a number lies between `low` and `high` of its provenance."""
_FARTHEST = 1.5
"""Largest distance of a drawn number from its value, as a multiple of that to the end of its range."""

_SHARED = 2**32
"""Added to the seed for shared assumptions, whose draws are independent of a machine's."""
_MATURITY = 2**34
"""Added to the seed for the maturity of open software."""
_TUNED = 2**35
"""Added to the seed for what tuned software sets, so that all else is drawn alike in every state."""
_LEFT_OUT = 2**33
"""Added to the seed for energies that a description leaves out, with its position among them."""


@cache
def range_z() -> float:
    """Standard deviations between the middle of a normal distribution and an end of its central range."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + RANGE_COVERAGE / 2.0))


@dataclass(frozen=True)
class RangedNumber:
    """A number that is drawn: its field (and index in an array field) of the owner's record, and its provenance.

    label: its dotted path in the description; domain: what it may be, None where unknown.
    """

    owner: str
    name: str
    position: int | None
    quantity: Quantity
    label: str
    domain: Domain | None = None

    @property
    def is_count(self) -> bool:
        """True for a count, which has no fractions."""
        return self.domain is not None and self.domain.whole

    @property
    def is_shared(self) -> bool:
        """True for an assumption that all chips share: it has a place in no record."""
        return not self.name

    def put(self, records: np.ndarray, values: np.ndarray | float) -> None:
        """Write values, one for each of the owner's records."""
        if self.position is None:
            records[self.name] = values
        else:
            records[self.name][:, self.position] = values


def ranged_numbers(system: System, runtime: Runtime) -> list[RangedNumber]:
    """Every number of an architecture and its runtime whose provenance has a range wider than a point."""
    return [number for number in all_numbers(system, runtime) if is_ranged(number.quantity)]


def draw(
    system: System, runtime: Runtime, count: int, seed: int, calibration: Calibration | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`count` machines and runtime records, arrays (count,), drawn as `drawn_values` says."""
    machines, runtimes, _ = draw_with(system, runtime, (), count, seed, calibration)
    return machines, runtimes


def draw_with(
    system: System,
    runtime: Runtime,
    shared: Sequence[RangedNumber],
    count: int,
    seed: int,
    calibration: Calibration | None = None,
    software: InUse | None = None,
) -> tuple[np.ndarray, np.ndarray, dict[RangedNumber, np.ndarray]]:
    """What `draw` gives, and `count` values of each of the `shared` numbers.

    software: where its state is another one than labs ran, `system` and `runtime` are as labs ran them, and what it
    sets is put in: each draw is tuned, or on the way to it, by one draw of the maturity of all its mechanisms.
    """
    numbers = list(dict.fromkeys(ranged_numbers(system, runtime)))
    machines = np.asarray(np.repeat(described_machine(system), count))
    records = np.repeat(build_runtime(runtime, system), count).astype(RUNTIME_DTYPE)
    drawn = dict(zip([*numbers, *shared], drawn_values([*numbers, *shared], count, seed, calibration), strict=True))
    for number in numbers:
        number.put(records if number.owner == runtime.name else machines, drawn[number])
    if software is not None:
        _mature(software, machines, records, seed)
    follow_reference(system, machines)
    for index, (field, figure) in enumerate(energies_left_out(system, machines).items()):
        share = latin_hypercube(count, 1, seed + _LEFT_OUT + index)[:, 0]
        machines[field] = _between(figure.low, figure.value, figure.high, share)
    return machines, records, {number: drawn[number] for number in shared}


def _set_by(software: InUse) -> list[RangedNumber]:
    """The numbers that tuned software sets."""
    paths = {(each.of_runtime, each.path) for each in software.settings if each.is_number}
    system, runtime = software.at(1.0)
    return [each for each in all_numbers(system, runtime) if (each.owner == runtime.name, each.label) in paths]


def _mature(software: InUse, machines: np.ndarray, records: np.ndarray, seed: int) -> None:
    """Put what software sets into records drawn as labs ran it, in place.

    One maturity for all: host and compiler are one product, and draws of each mechanism alone would average out.
    """
    count, tuned = len(machines), _set_by(software)
    ranged = [number for number in tuned if is_ranged(number.quantity)]
    drawn = dict(zip(ranged, drawn_values(ranged, count, seed + _TUNED), strict=True))
    maturity = latin_hypercube(count, 1, seed + _MATURITY)[:, 0] if software.state == OPEN else np.ones(count)
    words = build_runtime(software.at(1.0)[1], software.system)
    for name in records.dtype.names or ():
        if records.dtype[name].base != np.float64 and not np.array_equal(words[name][0], records[name][0]):
            records[name][maturity >= HALF_WAY] = words[name][0]
    for number in tuned:
        target = records if number.owner == software.runtime.name else machines
        was = target[number.name] if number.position is None else target[number.name][:, number.position]
        known = drawn.get(number, np.full(count, number.quantity.value))
        number.put(target, between(np.nan_to_num(was, nan=0.0), known, maturity))


def drawn_values(
    numbers: Sequence[RangedNumber], count: int, seed: int, calibration: Calibration | None = None
) -> list[np.ndarray]:
    """`count` values of each number.

    Numbers of one field and equal provenances (a value shared by several step paths) are drawn together; numbers of
    a calibration with the correlation of its posterior. Assumptions that all chips share are drawn independently of a
    machine's numbers, unless they were calibrated together with them.
    """
    fitted = set() if calibration is None else {(number.owner, number.path) for number in calibration.numbers}
    apart: list[RangedNumber] = []
    together: list[RangedNumber] = []
    for number in numbers:
        alone = number.is_shared and (number.owner, number.label) not in fitted
        (apart if alone else together).append(number)
    drawn = _drawn_together(together, count, seed, calibration) | _drawn_together(apart, count, seed + _SHARED, None)
    return [drawn[number] for number in numbers]


def _drawn_together(
    numbers: Sequence[RangedNumber], count: int, seed: int, calibration: Calibration | None
) -> dict[RangedNumber, np.ndarray]:
    """`count` values of each number, by one Latin hypercube."""
    columns: dict[tuple[str, str, Quantity], int] = {}
    for number in numbers:
        columns.setdefault(_drawn_as(number), len(columns))
    if not columns:
        return {}
    design = latin_hypercube(count, len(columns), seed)
    if calibration is not None:
        _correlate(design, numbers, columns, calibration)
    return {number: quantile(number.quantity, design[:, columns[_drawn_as(number)]]) for number in numbers}


def _drawn_as(number: RangedNumber) -> tuple[str, str, Quantity]:
    """What is equal in numbers that are one: their owner, field (of shared ones their path) and provenance."""
    return number.owner, number.name or number.label, number.quantity


def distinct(numbers: Iterable[RangedNumber]) -> list[list[RangedNumber]]:
    """Numbers that are one: several fields of one owner share the value and its provenance; each of them once."""
    groups: dict[tuple[str, str, Quantity], dict[str, RangedNumber]] = {}
    for number in numbers:
        groups.setdefault(_drawn_as(number), {})[number.label] = number
    return [list(members.values()) for members in groups.values()]


def latin_hypercube(count: int, dimensions: int, seed: int) -> np.ndarray:
    """`count` points in (0, 1), float64 (count, dimensions): one in each `count`-th of every axis.

    McKay, Beckman, Conover 1979, Technometrics 21(2), as scipy.stats.qmc draws them, which takes longer to import than
    most runs do.
    """
    (source,) = np.random.default_rng(seed).spawn(1)
    within = source.uniform(size=(count, dimensions))
    strata = np.tile(np.arange(1, count + 1), (dimensions, 1))
    for axis in strata:
        source.shuffle(axis)
    points: np.ndarray = (strata.T - within) / count
    return points


def draw_pim(pim: Pim, count: int, seed: int) -> np.ndarray:
    """`count` memories with PIM units, an array (count,) of PIM_DTYPE."""
    found = zip(provenances(pim.name, pim), quantities(pim, "pim_"), strict=True)
    numbers = [
        RangedNumber(pim.name, name, None, quantity, item.path)
        for item, (name, _, quantity) in found
        if is_ranged(quantity)
    ]
    machines = np.asarray(np.repeat(build_pim(pim), count))
    for number, values in zip(numbers, drawn_values(numbers, count, seed), strict=True):
        machines[number.name] = values
    return machines


def _correlate(
    design: np.ndarray,
    numbers: Sequence[RangedNumber],
    columns: dict[tuple[str, str, Quantity], int],
    calibration: Calibration,
) -> None:
    """Give the columns of calibrated numbers their posterior's correlation (a Gaussian copula), in place."""
    column_of = {(number.owner, number.label): columns[_drawn_as(number)] for number in numbers}
    first_of: dict[int, int] = {}
    for index, number in enumerate(calibration.numbers):
        column = column_of.get((number.owner, number.path))
        if column is not None:
            first_of.setdefault(column, index)
    if not first_of:
        return
    from scipy.special import ndtr, ndtri

    targets, rows = list(first_of), list(first_of.values())
    correlation = calibration.correlation_matrix()[np.ix_(rows, rows)]
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    design[:, targets] = ndtr(ndtri(design[:, targets]) @ root.T)


def quantile(quantity: Quantity, share: np.ndarray) -> np.ndarray:
    """Values below which `share` (0...1) of a ranged number's distribution lies; a fraction stays in 0...1."""
    from scipy.special import ndtri

    low, value, high = float(quantity.low or 0.0), quantity.value, float(quantity.high or 0.0)
    if low > 0.0:
        drawn = _between(np.array(low), np.array(value), np.array(high), share)
    else:
        z = np.clip(ndtri(share), -_FARTHEST * range_z(), _FARTHEST * range_z()) / range_z()
        drawn = value + np.where(z < 0.0, z * (value - low), z * (high - value))
    is_part = quantity.unit == "" and high <= 1.0
    return np.clip(drawn, 0.0, 1.0 if is_part else None)


def _between(low: np.ndarray, value: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Values below which `share` of a distribution lies that is lognormal on either side of its median."""
    from scipy.special import ndtri

    z = np.clip(ndtri(share), -_FARTHEST * range_z(), _FARTHEST * range_z()) / range_z()
    return np.asarray(value * np.exp(np.where(z < 0.0, -z * np.log(low / value), z * np.log(high / value))))


def all_numbers(system: System, runtime: Runtime) -> Iterator[RangedNumber]:
    """Every number of an architecture and its runtime that has a field in their records, ranged or not."""
    parts: list[tuple[str, str, BaseModel]] = [
        (system.name, "chip.", system.chip),
        (system.name, "card.", system.card),
        (system.name, "server.", system.server),
        (runtime.name, "", runtime),
    ]
    for owner, prefix, part in parts:
        for told, (name, position, quantity) in zip(provenances(owner, part), quantities(part), strict=True):
            yield RangedNumber(owner, name, position, quantity, f"{prefix}{told.path}", told.domain)


def is_ranged(quantity: Quantity) -> bool:
    """True where the provenance has a range wider than a point."""
    return quantity.low is not None and quantity.high is not None and quantity.low < quantity.high
