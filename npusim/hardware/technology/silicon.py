"""Area and cost of the chips of designs, with the ranges of the tables behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npusim.hardware.system import System
from npusim.hardware.technology import cost, reference
from npusim.hardware.technology.area import area_model, area_proxy_mm2
from npusim.hardware.technology.cost import CostTable, cost_table
from npusim.hardware.technology.ranges import Ranged, ranged


@dataclass(frozen=True)
class Silicon:
    """machines: a `machine_dtype` (designs,) of `system`; chips: how many of each work. Figures are those of all."""

    system: System
    machines: np.ndarray
    chips: int

    @cached_property
    def area_proxy_mm2(self) -> np.ndarray:
        """Area of arithmetic, SRAM and memory interfaces, float64 (designs,)."""
        return area_proxy_mm2(self.system, self.machines) * self.chips

    @cached_property
    def area_mm2(self) -> Ranged:
        """Area of the compute dies."""
        return Ranged(*(side * self.chips for side in self._areas))

    @cached_property
    def die_cost_usd(self) -> Ranged:
        """Price of the good compute dies."""
        return self._price(lambda area, table: cost.die_cost_usd(self.machines, area, table))

    @cached_property
    def package_cost_usd(self) -> Ranged:
        """Price of the packages with dies and memory."""
        return self._price(lambda area, table: cost.package_cost_usd(self.system, self.machines, area, table))

    @cached_property
    def _areas(self) -> Ranged:
        return ranged(lambda model: reference.area_mm2(self.system, self.machines, model), area_model())

    def _price(self, of_one: Callable[[np.ndarray, CostTable], np.ndarray]) -> Ranged:
        """The range is that of the prices and of the area; NaN above where the area may be more than a reticle's."""
        areas = self._areas
        known = ranged(lambda table: self.chips * of_one(areas.value, table), cost_table())
        small, large = (self.chips * of_one(area, cost_table()) for area in (areas.low, areas.high))
        low = known.value - np.hypot(known.value - known.low, known.value - small)
        high = known.value + np.hypot(known.high - known.value, large - known.value)
        return Ranged(known.value, np.maximum(low, 0.0), high)
