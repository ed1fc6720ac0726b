"""Where joules go: components sum to the total, follow what the chip is made of, and say where they come from."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.answers.energy import energy_breakdown_j, energy_reconciliation
from npusim.answers.predict import predict_run
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.hardware.draws import draw
from npusim.hardware.machine import build_machine, described_machine
from npusim.hardware.system import System
from npusim.hardware.technology.energy import COMPONENTS, GROUPS, bottom_up, breakdown, energy_table, totals
from npusim.hardware.technology.ranges import ranged
from npusim.kernels.power import ENERGY_PARTS
from npusim.mapping.deployment import Deployment, deploy
from npusim.workload.step import decode, prefill

MODEL = "llama-3.1-8b"
SUMMED = 1e-12


@cache
def _described(name: str) -> tuple[System, np.ndarray]:
    system = load_system(name)
    return system, build_machine(system)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(shipped_systems())),
    joules=st.lists(st.floats(0.0, 1e3), min_size=len(ENERGY_PARTS), max_size=len(ENERGY_PARTS)),
)
def test_components_of_any_chip_sum_to_its_energy(name: str, joules: list[float]) -> None:
    system, machine = _described(name)
    native = {f"mac_{each}" for each in ("bf16", "fp8", "int8", "int4") if getattr(system.chip.unit.macs, each)}
    parts = {
        part: value for part, value in zip(ENERGY_PARTS, joules, strict=True)
        if not part.startswith("mac_") or part in native
    }  # fmt: skip
    found = breakdown(len(machine), bottom_up(system, machine), parts)
    assert set(found) == set(COMPONENTS) == {each for members in GROUPS.values() for each in members}
    assert all(each[0] >= 0.0 for each in found.values())
    assert math.fsum(each[0] for each in found.values()) == pytest.approx(math.fsum(parts.values()), rel=SUMMED)


def test_components_sum_in_both_engines_and_in_runs() -> None:
    deployment = deploy("rngd", MODEL)
    analytic = AnalyticEngine(deployment)
    for step in (decode([900] * 8), prefill(1, 700)):
        for cost in (analytic.cost(step), EventEngine(analytic, "rngd").cost(step)):
            found = energy_breakdown_j(deployment, cost.parts_j, cost.energy_j)
            assert math.fsum(found.values()) == pytest.approx(cost.energy_j, rel=SUMMED)
            assert found["dram_read"] > found["dram_io"] > 0.0 and found["noc"] > 0.0 and found["sram_read"] > 0.0
    answer = predict_run(deployment, isl=256, osl=16, concurrency=4)
    spent = answer["power_w"]["mean"] * answer["duration_s"]
    assert math.fsum(answer["energy_breakdown_j"].values()) == pytest.approx(spent, rel=1e-9)


def test_the_two_engines_part_only_in_what_time_decides() -> None:
    analytic = AnalyticEngine(deploy("rngd", MODEL))
    one, other = analytic.cost(decode([900] * 8)), EventEngine(analytic, "rngd").cost(decode([900] * 8))
    for part in ENERGY_PARTS:
        if part not in ("idle", "loaded"):
            assert one.parts_j[part] == pytest.approx(other.parts_j[part], rel=1e-12)
    assert other.parts_j["idle"] / one.parts_j["idle"] == pytest.approx(other.time_s / one.time_s)


def test_formats_and_traffic_are_counted_where_they_belong() -> None:
    engine = AnalyticEngine(deploy("rngd", MODEL, precision="fp8"))
    parts = engine.cost(prefill(1, 768)).parts_j
    assert parts["mac_fp8"] > parts["mac_bf16"] > 0.0
    assert parts["mac_int8"] == parts["mac_int4"] == parts["pim_mac"] == 0.0
    machine = engine.machine
    written = 768 * engine.deployment.require_fit(1).kv_bytes_per_token
    assert parts["memory_write"] == pytest.approx(written * float(machine["power_memory_byte"]), rel=1e-9)


def test_the_fit_of_sram_is_within_five_percent_of_its_table() -> None:
    table = energy_table()
    for kib, pj_of_64_bits in ((8.0, 7.5), (32.0, 8.5), (1024.0, 14.0)):
        found = 8.0 * (table.sram_byte.value + table.sram_root.value * math.sqrt(kib))
        assert found == pytest.approx(pj_of_64_bits * 1e-12, rel=0.05)


def test_narrower_operands_take_less() -> None:
    for name in ("rngd", "h200"):
        units = totals(*_described(name))
        assert units["mac_bf16"] > units["mac_fp8"] and units["mac_int8"] > units["mac_int4"]


def test_a_byte_of_memory_is_its_commands_and_its_way() -> None:
    system, machine = _described("rngd")
    read = bottom_up(system, machine)["memory_read"]
    assert float(read["dram_activate"][0]) == pytest.approx(850e-12 / 1024.0)
    assert float(read["dram_read"][0]) == pytest.approx(26e-12) and float(read["dram_io"][0]) == pytest.approx(2.4e-12)
    assert {"noc", "sram_write", "sram_read", "memory_phy"} < read.keys()
    rest = bottom_up(system, machine)["idle"]
    interval_s = 3.9e-6
    assert float(rest["dram_refresh"][0]) == pytest.approx(64 * 3 * 27.2e-9 / interval_s, rel=0.01)
    assert float(rest["dram_background"][0]) == pytest.approx(64 * 0.04)


def _like_rngd(folder: Path, unit: str) -> System:
    (folder / "like.yaml").write_text(
        "extends: rngd\nname: like\ntitle: a test\nvendor: nobody\nsilicon: false\nruntime: furiosa-llm-2026.3\n"
        f"chip: {{unit: {unit}}}\n"
    )
    return load_system(str(folder / "like.yaml"))


def test_a_chip_unlike_its_reference_takes_other_energies(tmp_path: Path) -> None:
    told = "kind: assumed, source: a test"
    larger = _like_rngd(tmp_path, f"{{sram_per_slice: {{value: 1 MiB, {told}, low: 1 MiB, high: 1 MiB}}}}")
    same, machine = _described("rngd")
    own, as_described = build_machine(same), described_machine(same)
    assert 0.0 < own["power_clocks"] < own["power_loaded_static"]
    as_described["power_clocks"] = own["power_clocks"]
    assert own.tobytes() == as_described.tobytes()
    other = build_machine(larger)
    ratio = totals(larger, other)["mac_bf16"] / totals(same, machine)["mac_bf16"]
    assert ratio > 1.0
    assert other["power_mac_bf16"] == pytest.approx(machine["power_mac_bf16"] * ratio)
    for field in ("power_idle", "power_loaded_static", "power_memory_byte"):
        assert other[field] > machine[field]
    assert other["power_link_byte"] == machine["power_link_byte"]


def test_the_reconciliation_is_the_tables_over_the_description() -> None:
    deployment = deploy("rngd", MODEL)
    told = energy_reconciliation(deployment)
    assert set(told) == {
        "mac_bf16",
        "mac_fp8",
        "mac_int8",
        "mac_int4",
        "vector",
        "memory_read",
        "idle",
        "loaded",
        "link",
    }
    sums = totals(deployment.system, deployment.machine)
    given = float(deployment.machine[0]["power_memory_byte"])
    assert told["memory_read"]["value"] == pytest.approx(float(sums["memory_read"][0]) / given, rel=1e-3)
    for ratio in told.values():
        assert 0.0 < ratio["low"] < ratio["value"] < ratio["high"]


def test_the_range_of_a_sum_is_that_of_its_numbers_in_squares() -> None:
    table = energy_table()
    found = ranged(lambda known: np.array([known.multiply.bf16.value + known.accumulate.int8.value]), table)
    one, other = table.multiply.bf16, table.accumulate.int8
    assert one.high is not None and other.high is not None
    assert float(found.high[0] - found.value[0]) == pytest.approx(
        math.hypot(one.high - one.value, other.high - other.value)
    )


def test_the_step_tells_its_energy() -> None:
    done = tell("step", "rngd", MODEL, "--phase", "decode", "--batch", "2", "--context", "300", "--json")
    answer = json.loads(done.out)
    assert math.fsum(answer["energy_breakdown_j"].values()) == pytest.approx(answer["energy_j"], rel=SUMMED)
    assert answer["energy_reconciliation"].keys() >= {"mac_bf16", "memory_read", "idle", "loaded"}
    text = tell("step", "rngd", MODEL, "--phase", "decode", "--batch", "2", "--context", "300").out
    assert "What the energy is spent on" in text and "dram read" in text and "summed bottom up" in text


def test_deployments_keep_the_energies_of_their_own_records() -> None:
    deployment: Deployment = deploy("rngd", MODEL)
    doubled = deployment.machine.copy()
    doubled["power_mac_bf16"] *= 2.0
    halves = energy_reconciliation(deployment.with_records(doubled, deployment.runtime_record))["mac_bf16"]
    assert halves["value"] == pytest.approx(energy_reconciliation(deployment)["mac_bf16"]["value"] / 2.0, rel=1e-3)


def test_sweeps_tell_energy_area_and_cost_of_each_design() -> None:
    base = deploy("rngd", MODEL)
    machines = np.repeat(base.machine, 2)
    machines["tcp_sram_per_slice"] *= [1.0, 1.5]
    table = estimate_designs(base, Records(machines, np.repeat(base.runtime_record, 2)), 256, 64, 8)
    spent = sum(table[f"{group}_mj_per_token"] for group in GROUPS)
    assert spent.tolist() == pytest.approx((1e3 / table["tokens_per_joule"]).tolist(), rel=1e-9)
    for name in ("area_mm2", "die_cost_usd", "package_cost_usd"):
        assert table[name][0] < table[name][1]
        assert (table[f"{name}_low"] <= table[name]).all()
    assert table["area_mm2"][0] == pytest.approx(653.0)


def test_energies_that_are_left_out_are_bottom_up_with_a_range(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text(
        "extends: rngd\nname: bare\ntitle: a test\nvendor: nobody\nsilicon: false\nruntime: furiosa-llm-2026.3\n"
        "chip: {reference: null, power: {mac: null, memory_byte: null, vector_op: null, link_byte: null}}\n"
    )
    where = deploy(str(tmp_path / "bare.yaml"), MODEL)
    told = energy_reconciliation(where)
    for part in ("mac_bf16", "mac_int4", "memory_read", "vector", "link"):
        assert told[part]["value"] == pytest.approx(1.0) and told[part]["low"] < 1.0 < told[part]["high"]
    assert told["idle"]["value"] != pytest.approx(1.0)
    machines, _ = draw(where.system, where.runtime, 64, 0)
    drawn, middle = machines["power_mac_bf16"], float(where.machine[0]["power_mac_bf16"])
    inside = (drawn > middle * told["mac_bf16"]["low"]) & (drawn < middle * told["mac_bf16"]["high"])
    assert 0.8 < inside.mean() < 1.0 and np.median(drawn) == pytest.approx(middle, rel=0.05)
