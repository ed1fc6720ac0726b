"""What an instance serves behind the router of its cell: the rate that it keeps alone, measured once more on a group.

Alone, an instance has a random share of its cell's requests. Instances behind the router tell how much more evenly they
come there. Where few requests are in flight, evenness is worth much and a whole cell is simulated; where they are many,
it is worth little, and fewer instances are. What is missing then goes with one over their number, as means of N servers
do that come near to a mean field (Gast, Expected Values Estimated via Mean-Field Approximation are 1/N-Accurate, Proc.
ACM Meas. Anal. Comput. Syst. 1(1), 2017).
"""

from __future__ import annotations

import math
from dataclasses import replace

from npusim.explore.fleet.capacity import RatePoint, find_capacity, largest_near, trials_of
from npusim.explore.fleet.cells import CELL
from npusim.explore.fleet.group import RoutedGroup
from npusim.explore.fleet.plans import FleetInstance
from npusim.explore.fleet.traffic import FleetDemand

_LEAST = 4
"""Least instances of a group."""
_REQUESTS = 4000.0
"""Requests in the shortest window of a group of more than those."""
_STEP, _FINE = 1.1, 0.02
"""Factor between rates until one breaks the objectives, and part of itself to which the rate is found."""


def behind_router(instance: FleetInstance, demand: FleetDemand, planned: float) -> FleetInstance:
    """The instance with its rate in a cell of the fleet that `demand` needs, loaded to `planned` of it."""
    trials, capacity = instance.trials, instance.capacity
    cell = min(CELL, math.ceil(demand.peak_per_s / (capacity.rate_per_s * planned)))
    if cell < trials.group.cell:
        alone = replace(trials, group=replace(trials.group, cell=cell), points={})
        instance = replace(instance, trials=alone, capacity=find_capacity(alone))
    capacity = instance.capacity
    group = RoutedGroup(trials.group.routing, _size(instance, cell), cell)
    if cell == 1 or capacity.rate_per_s == 0.0:
        return replace(instance, router=group)
    routed = _routed(instance, group)
    rate = in_cell(capacity.rate_per_s, routed.rate_per_s, group)
    return replace(instance, capacity=replace(capacity, rate_per_s=rate, routed=routed), router=group)


def in_cell(alone: float, together: float, group: RoutedGroup) -> float:
    """The rate of an instance in a whole cell, from that alone and that of a group."""
    missing = (1.0 / group.size - 1.0 / group.cell) / (1.0 - 1.0 / group.size)
    return together + (together - alone) * missing


def _size(instance: FleetInstance, cell: int) -> int:
    """Instances of a group: as many of the cell as a run of so many requests has."""
    each = instance.capacity.rate_per_s * instance.trials.window.floor_s
    return min(cell, max(_LEAST, int(_REQUESTS / each))) if each > 0.0 else 1


def _routed(instance: FleetInstance, group: RoutedGroup) -> RatePoint:
    """The run of a group at the largest rate that keeps the objectives; the instance alone where none near does."""
    where = instance.trials
    trials = trials_of(where.deployment, where.profile, where.slo, where.seed, group)
    rate = largest_near(lambda rate: trials.at(rate).kept, instance.capacity.rate_per_s, _STEP, _FINE)
    return trials.points[rate] if rate > 0.0 else instance.capacity.at_rate
