"""Area, yield and cost of dies: closed forms, and that more of anything takes more."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.hardware.calibration import with_quantities
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.hardware.technology.area import PARTS, area_model, modelled_area_mm2, part_areas
from npusim.hardware.technology.cost import (
    cost_table,
    die_cost_usd,
    die_yield,
    dies_per_wafer,
    package_cost_usd,
)
from npusim.hardware.technology.energy import bottom_up, energy_table
from npusim.hardware.technology.reference import area_factor, area_mm2
from npusim.hardware.technology.silicon import Silicon


@cache
def _known(name: str) -> tuple[System, np.ndarray]:
    system = load_system(name)
    return system, build_machine(system)


@given(area=st.floats(1.0, 2000.0))
def test_yield_is_the_negative_binomial(area: float) -> None:
    table = cost_table()
    density, clustering = table.defects_per_cm2.value, table.clustering.value
    found = float(die_yield(np.array([area]), table)[0])
    assert found == pytest.approx((1.0 + area / 100.0 * density / clustering) ** -clustering)
    # Defects that cluster leave more dies whole than those that fall independently (Poisson).
    assert math.exp(-area / 100.0 * density) < found < 1.0


def test_dies_of_a_wafer() -> None:
    found = float(dies_per_wafer(np.array([100.0]), cost_table())[0])
    assert found == pytest.approx(math.pi * 147.0**2 / 100.0 - math.pi * 294.0 / math.sqrt(200.0))


@given(area=st.floats(20.0, 800.0), more=st.floats(1.01, 1.5))
def test_a_larger_die_costs_more_for_each_mm2(area: float, more: float) -> None:
    _, machine = _known("rngd")
    small, large = (float(die_cost_usd(machine, np.array([each]))[0]) for each in (area, area * more))
    assert math.isnan(large) == (area * more > cost_table().reticle_mm2.value)
    if not math.isnan(large):
        assert large > small
        if area > 300.0:
            assert large / (area * more) > small / area * 0.999


def test_a_package_is_the_sum_of_its_parts() -> None:
    system, machine = _known("rngd")
    table, area = cost_table(), np.array([653.0])
    memory = float(machine[0]["memory_capacity"]) / 1e9 * table.memory_gb.hbm.value
    interposer = (653.0 + 2.0 * table.stack_mm2.value) * table.interposer_mm2.value
    parts = float(die_cost_usd(machine, area)[0]) + memory + interposer + table.substrate.value
    assert float(package_cost_usd(system, machine, area)[0]) == pytest.approx(parts / table.package_yield.value)


def test_units_in_memory_and_hbm_cost_more() -> None:
    plain, beside = _known("rngd-plus"), _known("rngd-hbm3e-pim")
    area = np.array([653.0])
    per_gb = [
        float(package_cost_usd(system, machine, area)[0]) - float(die_cost_usd(machine, area)[0]) / 0.96
        for system, machine in (plain, beside)
    ]
    assert per_gb[1] > per_gb[0]


@pytest.mark.parametrize("name", sorted(shipped_systems()))
def test_parts_sum_to_the_die_and_ranges_hold_it(name: str) -> None:
    system, machine = _known(name)
    parts = part_areas(system, machine)
    assert tuple(parts) == PARTS and all(float(part[0]) >= 0.0 for part in parts.values())
    assert float(modelled_area_mm2(system, machine)[0]) == pytest.approx(sum(float(part[0]) for part in parts.values()))
    silicon = Silicon(system, machine, 1)
    for figure in (silicon.area_mm2, silicon.die_cost_usd, silicon.package_cost_usd):
        low, value, high = (float(side[0]) for side in (figure.low, figure.value, figure.high))
        assert 0.0 < low <= value and (value <= high or math.isnan(high))


@pytest.mark.parametrize(
    ("name", "published", "off"),
    [("rngd", 653.0, 0.15), ("h200", 814.0, 0.20), ("rtx-a6000", 628.0, 0.10), ("rtx-pro-6000", 750.0, 0.20)],
)
def test_published_dies(name: str, published: float, off: float) -> None:
    system, machine = _known(name)
    assert float(area_mm2(system, machine)[0]) == pytest.approx(published)
    factor = area_factor(system)
    assert factor is not None and 1.0 / factor == pytest.approx(1.0, abs=off)


def _changed(path: str, factor: float) -> tuple[float, np.ndarray]:
    """Area of an RNGD with one number times the factor, and its machine."""
    system, _ = _known("rngd")
    node = system
    for key in path.split("."):
        node = getattr(node, key)
    other = with_quantities(system, {path: node.model_copy(update={"value": node.value * factor})})  # type: ignore[attr-defined]
    machine = build_machine(other)
    return float(area_mm2(other, machine)[0]), machine


def test_twice_the_sram_takes_more_area_and_leaks_more() -> None:
    _, machine = _known("rngd")
    area, larger = _changed("chip.unit.sram_per_slice", 2.0)
    share = area_model().mm2_per_mib_of_sram.value * 256.0
    assert area - 653.0 > share
    for field in ("power_loaded_static", "power_idle"):
        assert 1.0 < larger[0][field] - machine[0][field] < 10.0, "256 MiB leak a few watts, and have no clock trees"


def test_sram_leaks_less_than_all_that_the_card_of_256_mib_idles_at() -> None:
    """RNGD's idle power, its losses, DRAM and board taken off, bounds what 256 MiB of its SRAM can leak."""
    system, machine = _known("rngd")
    table = energy_table()
    idle = bottom_up(system, machine)["idle"]
    beside = sum(float(watts[0]) for part, watts in idle.items() if part != "leakage")
    of_die = float(machine["power_idle"][0]) * table.conversion.value - beside
    sram = float(part_areas(system, machine)["sram"][0])
    assert table.sram_leakage_mm2.high is not None and table.sram_leakage_mm2.high * sram < of_die
    assert float(idle["leakage"][0]) < of_die


def test_an_area_of_its_own_holds_and_an_inherited_one_follows_the_model() -> None:
    """A chip that names the RNGD as its reference, and half of its clusters: by the model, unless it says its area."""
    system = load_system("rngd", uncalibrated=True)
    assert system.chip.die is not None and system.chip.die.mm2 is not None
    clusters = system.chip.unit.clusters.model_copy(update={"value": 1.0})  # type: ignore[attr-defined]
    half = with_quantities(system, {"chip.unit.clusters": clusters})
    told = with_quantities(half, {"chip.die.mm2": system.chip.die.mm2.model_copy(update={"value": 300.0})})
    areas = [float(area_mm2(each, build_machine(each))[0]) for each in (system, half, told)]
    assert areas[0] == pytest.approx(653.0) and areas[2] == pytest.approx(300.0)
    assert 653.0 / 2.0 < areas[1] < 653.0


@pytest.mark.parametrize("path", ["chip.unit.pes_per_cluster", "chip.unit.macs_per_slice.bf16", "chip.memory.stacks"])
def test_more_of_a_part_takes_more_area(path: str) -> None:
    assert _changed(path, 2.0)[0] > 653.0


def test_narrower_units_are_smaller() -> None:
    areas = area_model().mm2_per_mac
    assert areas.bf16.value > areas.fp8.value > areas.int8.value > areas.int4.value


def test_show_tells_the_die() -> None:
    answer = json.loads(tell("show", "rngd", "--json").out)
    die = answer["die"]
    assert die["area_mm2"]["value"] == 653.0 and 0.8 < die["model_over_published"] < 1.2
    assert die["die_cost_usd"]["low"] < die["die_cost_usd"]["value"] < die["die_cost_usd"]["high"]
    assert set(die["parts_mm2"]) == set(PARTS)
    assert answer["energy_bottom_up_over_given"]["mac_bf16"]["low"] > 0.0
