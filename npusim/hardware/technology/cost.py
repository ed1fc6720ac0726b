"""What a chip costs to make: dies from wafers, memory, package and test. Prices are estimates with wide ranges."""

from __future__ import annotations

import math

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.hardware.technology.area import node_nm
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Efficiency, Positive, Ratio
from npusim.units import GB

_MM2_PER_CM2 = 100.0
"""Square millimetres of a square centimetre."""


class MemoryPrices(Part):
    """Price of memory by its kind."""

    hbm: Positive
    """Price of a GB of HBM, a number of US dollars."""
    gddr: Positive
    """Price of a GB of GDDR, a number of US dollars."""
    lpddr: Positive
    """Price of a GB of LPDDR, a number of US dollars."""


class CostTable(Part):
    """Prices, and how many dies of a wafer are good."""

    node_nm: Positive
    """Node of these numbers, a number of nm by its name."""
    wafer_price: Positive
    """Price of a processed wafer, a number of US dollars."""
    wafer_exponent: Positive
    """Exponent with which the price of a wafer rises as the name of the node falls."""
    wafer_diameter_mm: Positive
    """Diameter of a wafer without its edge, a number of mm."""
    reticle_mm2: Positive
    """Area of the largest die that can be exposed, in mm2."""
    defects_per_cm2: Positive
    """Number of defects of a cm2 that kill a die."""
    clustering: Positive
    """Exponent of the negative binomial, which is the smaller the more defects cluster."""
    die_test: Positive
    """Cost of testing a die on the wafer, a number of US dollars."""
    memory_gb: MemoryPrices
    """Prices of memory."""
    pim_premium: Ratio
    """Ratio of what units beside the banks add to the price of a memory, to its price without them."""
    stack_mm2: Positive
    """Area of an HBM stack on the interposer, in mm2."""
    interposer_mm2: Positive
    """Price of an mm2 of interposer with its assembly, a number of US dollars."""
    substrate: Positive
    """Price of substrate, lid, assembly and final test of a package, a number of US dollars."""
    package_yield: Efficiency
    """Fraction of packages, 0 to 1, that are good."""


@remembered
def cost_table() -> CostTable:
    """The shipped table."""
    return load_yaml(data_root("arch_configs") / "technology" / "cost.yaml", CostTable)


def die_yield(area_mm2: np.ndarray, table: CostTable) -> np.ndarray:
    """Fraction of good dies: (1 + A D / a) ** -a, the negative binomial with clustering a (Stapper 1983)."""
    defects = area_mm2 / _MM2_PER_CM2 * table.defects_per_cm2.value
    return np.asarray((1.0 + defects / table.clustering.value) ** -table.clustering.value)


def dies_per_wafer(area_mm2: np.ndarray, table: CostTable) -> np.ndarray:
    """Whole dies on a wafer: pi d^2 / 4A - pi d / sqrt(2A) (Hennessy, Patterson, Computer Architecture, 1.6)."""
    diameter = table.wafer_diameter_mm.value
    return np.asarray(math.pi * diameter**2 / 4.0 / area_mm2 - math.pi * diameter / np.sqrt(2.0 * area_mm2))


def dies_of(machines: np.ndarray) -> np.ndarray:
    """Compute dies of each machine, 1 where none are told."""
    return np.where(np.isnan(machines["die_dies"]), 1.0, machines["die_dies"])


def die_cost_usd(machines: np.ndarray, area_mm2: np.ndarray, table: CostTable | None = None) -> np.ndarray:
    """Price of the good compute dies of each machine, of `area_mm2` in all; NaN where a die is larger than a
    reticle."""
    known, dies = table or cost_table(), dies_of(machines)
    one = area_mm2 / dies
    wafer = known.wafer_price.value * (known.node_nm.value / node_nm(machines)) ** known.wafer_exponent.value
    price = (wafer / dies_per_wafer(one, known) + known.die_test.value) / die_yield(one, known)
    return np.where(one <= known.reticle_mm2.value, dies * price, np.nan)


def package_cost_usd(
    system: System, machines: np.ndarray, area_mm2: np.ndarray, table: CostTable | None = None
) -> np.ndarray:
    """Price of a package: dies, memory, interposer where the memory is HBM, substrate and test, over its yield."""
    known, memory = table or cost_table(), system.chip.memory
    kind = next((name for name in ("hbm", "gddr", "lpddr") if memory.technology.startswith(name)), "hbm")
    premium = 1.0 if system.chip.pim is None else 1.0 + known.pim_premium.value
    price = machines["memory_capacity"] / GB * getattr(known.memory_gb, kind).value * premium
    interposer = np.zeros(len(machines))
    if kind == "hbm":
        interposer = (area_mm2 + machines["memory_stacks"] * known.stack_mm2.value) * known.interposer_mm2.value
    dies = die_cost_usd(machines, area_mm2, known)
    return np.asarray((dies + price + interposer + known.substrate.value) / known.package_yield.value)
