"""An enforced power cap holds, whatever the chip, the load and the way in which it is asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting_support import described
from cli_support import tell
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_support import with_numbers

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.engine.limiter import PowerLimiter
from npusim.engine.stepcost import RESOURCES, StepCost
from npusim.errors import DoesNotFit
from npusim.hardware.power import headroom_w
from npusim.kernels.power import energy_scale
from npusim.mapping.deployment import Deployment, deploy
from npusim.serving.load import random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.step import decode, mixed, prefill

MODEL = "llama-3.1-8b"
STEPS = (decode([700] * 3), decode([2000] * 64), prefill(1, 900), mixed(np.full(16, 900), [(256, 512)], 16))


def _capped(arch: str, cap_w: float, **numbers: float) -> Deployment:
    return with_numbers(deploy(arch, MODEL), power_cap=cap_w, power_cap_enforced=True, **numbers)


@settings(max_examples=40, deadline=None)
@given(
    arch=st.sampled_from(["rngd", "h200"]),
    over_static=st.floats(1.01, 6.0),
    static=st.floats(0.2, 3.0),
    mac=st.floats(0.2, 20.0),
    byte=st.floats(0.2, 20.0),
    exponent=st.floats(0.0, 3.0),
    least_clock=st.floats(0.05, 1.0),
    least_voltage=st.floats(0.05, 1.0),
    step=st.sampled_from(STEPS),
)
def test_no_step_draws_more_than_the_cap(
    arch: str, over_static: float, static: float, mac: float, byte: float, exponent: float, least_clock: float,
    least_voltage: float, step: Any,
) -> None:  # fmt: skip
    machine = deploy(arch, MODEL).machine[0]
    static_w = static * float(machine["power_idle"] + machine["power_loaded_static"])
    deployment = _capped(
        arch, static_w * over_static,
        power_idle=static * machine["power_idle"], power_loaded_static=static * machine["power_loaded_static"],
        power_mac_bf16=mac * machine["power_mac_bf16"], power_memory_byte=byte * machine["power_memory_byte"],
        power_voltage_exponent=exponent, power_minimum_clock=least_clock, power_minimum_voltage=least_voltage,
    )  # fmt: skip
    cost = AnalyticEngine(deployment).cost(step)
    free = AnalyticEngine(with_numbers(deployment, power_cap_enforced=False)).cost(step)
    assert cost.power_w <= static_w * over_static * (1.0 + 1e-9)
    assert cost.time_s >= free.time_s * (1.0 - 1e-12) and cost.memory_bytes == free.memory_bytes
    assert sum(cost.shares_s.values()) == pytest.approx(cost.time_s, rel=1e-9)
    assert sum(cost.parts_j.values()) == pytest.approx(cost.energy_j, rel=1e-12)
    # A step that runs in several pieces is held in each.
    assert cost.held or free.power_w <= static_w * over_static * (1.0 + 1e-9)
    if free.power_w > static_w * over_static and step is not STEPS[3]:
        assert cost.power_w == pytest.approx(static_w * over_static, rel=1e-6)


def test_a_tighter_cap_is_never_faster_and_a_lower_clock_comes_first() -> None:
    costs = [AnalyticEngine(_capped("rngd", cap_w)).cost(prefill(1, 900)) for cap_w in (400.0, 200.0, 150.0, 110.0)]
    assert [cost.time_s for cost in costs] == sorted(cost.time_s for cost in costs)
    assert costs[0].clock == costs[0].duty == 1.0
    assert costs[1].clock < 1.0 == costs[1].duty
    assert costs[3].clock == 0.5 and costs[3].duty < 1.0
    memory = [cost.shares_s["memory"] for cost in (costs[2], costs[3])]
    assert memory[0] < memory[1]


def test_the_event_engine_keeps_the_cap_too() -> None:
    for cap_w in (110.0, 130.0):
        known = AnalyticEngine(_capped("rngd", cap_w))
        cost = EventEngine(known, "rngd").cost(decode([2000] * 16))
        assert cost.power_w == pytest.approx(cap_w, rel=1e-6)
        assert cost.time_s == pytest.approx(known.cost(decode([2000] * 16)).time_s, rel=0.05)
        assert sum(cost.parts_j.values()) == pytest.approx(cost.energy_j, rel=1e-12)


@pytest.mark.parametrize("cap_w", [103.5, 60.0])
def test_a_cap_that_leaves_nothing_to_work_is_refused(cap_w: float) -> None:
    deployment = _capped("rngd", cap_w)
    assert headroom_w(deployment.machine)[0] <= 0.0
    with pytest.raises(DoesNotFit, match=r"power cap of .* W: clocked it draws 10[34].* W .* raise chip.power.cap"):
        deployment.require_fit(1)
    with pytest.raises(DoesNotFit):
        AnalyticEngine(deployment).cost(decode([700]))


def test_the_energy_of_an_operation_follows_the_voltage() -> None:
    machine = with_numbers(
        deploy("rngd", MODEL), power_voltage_exponent=2.0, power_minimum_voltage=0.6, power_over_nominal=1.0
    ).machine[0]
    assert [energy_scale(clock, machine) for clock in (1.0, 0.8, 0.6, 0.3)] == pytest.approx([1.0, 0.64, 0.36, 0.36])
    machine["power_over_nominal"] = 1.5
    assert energy_scale(1.0, machine) == pytest.approx(2.25)
    machine["power_minimum_voltage"] = math.nan
    assert energy_scale(0.3, machine) == pytest.approx(0.2025)


def test_a_faster_clock_than_the_nominal_one_takes_more_energy(tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text(
        "extends: rngd\nname: fast\ntitle: a test\nvendor: nobody\nsilicon: false\nruntime: furiosa-llm-2026.3\n"
        "chip: {unit: {clock: {value: 1.5 GHz, kind: assumed, source: a test, low: 1.5 GHz, high: 1.5 GHz}}}\n"
    )
    slow, fast = (AnalyticEngine(deploy(arch, MODEL)) for arch in ("rngd", str(tmp_path / "fast.yaml")))
    first, second = slow.cost(prefill(1, 900)), fast.cost(prefill(1, 900))
    assert second.time_s < first.time_s
    assert second.parts_j["mac_bf16"] == pytest.approx(2.25 * first.parts_j["mac_bf16"])


_FACTORS = (0.5, 1.0, 1.25, 1.6, 2.0, 2.5, 3.0, 4.0)


@pytest.mark.parametrize("cap_w", [140.0, 200.0])
def test_a_higher_clock_is_never_slower_under_a_cap(cap_w: float) -> None:
    """A chip that may clock higher can be held to the clock of one that may not, its clocks' own power included.

    What hides behind arithmetic is reckoned at the full clock, at which less of it does: up to 3 % slower.
    """
    shipped = deploy("rngd", MODEL)
    base = described(shipped, {"chip.power.cap": cap_w})
    clock = shipped.system.chip.unit.clock.value
    designs = [described(base, {"chip.unit.clock": factor * clock}) for factor in _FACTORS]
    engines = [AnalyticEngine(design) for design in designs]
    for step in STEPS:
        costs = [engine.cost(step) for engine in engines]
        times = np.array([cost.time_s for cost in costs])
        assert (times[1:] <= 1.03 * np.minimum.accumulate(times)[:-1]).all(), times
        assert all(cost.power_w <= cap_w * (1.0 + 1e-9) for cost in costs)
        assert times[-1] < times[0]
    fastest, own = EventEngine(engines[-1], "a test").cost(STEPS[1]), EventEngine(engines[1], "a test").cost(STEPS[1])
    assert fastest.time_s <= 1.03 * own.time_s and fastest.power_w <= cap_w * (1.0 + 1e-9)
    load = random_load(300, 24, Closed(4), 8)
    assert measure(simulate(designs[-1], load, 0))["power_w_mean"] <= cap_w * (1.0 + 1e-9)


def test_a_run_of_mixed_work_keeps_the_cap_on_the_mean_and_at_p99() -> None:
    for deployment, cap_w in ((_capped("rngd", 150.0), 150.0), (_capped("h200", 450.0), 450.0)):
        found = measure(simulate(deployment, random_load(1200, 48, Closed(24), 96), 0))
        lag_s = np.nan_to_num(float(deployment.machine[0]["power_limiter_time"]))
        assert found["power_w_mean"] <= cap_w * (1.0 + lag_s / found["duration_s"])
        assert found["power_w_p99"] <= cap_w * (1.0 + 1e-9)


def test_the_limiter_never_lets_the_power_that_it_sees_pass_the_cap() -> None:
    def cost(seconds: float, watts: float) -> StepCost:
        return StepCost(seconds, seconds * watts, dict.fromkeys(RESOURCES, seconds / 6), 0.0, 0.0, 1.0, {})

    limiter, seen, energy, passed = PowerLimiter(0.2, cap_w=500.0, rest_w=100.0), 100.0, 0.0, 0.0
    for _ in range(200):
        for rested, settled, held in (
            (cost(0.05, 900.0), cost(0.09, 500.0), True),
            (cost(0.1, 480.0), cost(0.1, 480.0), False),
        ):
            share = limiter.share(rested, settled) if held else 1.0
            seconds = rested.time_s + share * (settled.time_s - rested.time_s)
            joules = rested.energy_j + share * (settled.energy_j - rested.energy_j)
            seen = joules / seconds + (seen - joules / seconds) * math.exp(-seconds / 0.2)
            assert seen <= 500.0 * (1.0 + 1e-6)
            limiter.elapse(seconds, joules / seconds, held)
            energy, passed = energy + joules, passed + seconds
    assert energy / passed <= 500.0 * (1.0 + 0.2 / passed)


def _told(folder: Path, arch: str, cap: str) -> str:
    (folder / "capped.yaml").write_text(
        f"extends: {arch}\nname: capped\ntitle: a test\nvendor: nobody\nsilicon: false\nruntime: furiosa-llm-2026.3\n"
        f"chip: {{power: {cap}}}\n"
    )
    return str(folder / "capped.yaml")


def test_an_assumed_cap_throttles_only_where_the_description_says_so(tmp_path: Path) -> None:
    assumed = "cap: {value: 150 W, kind: assumed, source: a test, low: 140 W, high: 200 W}"
    free = AnalyticEngine(deploy(_told(tmp_path, "rngd", f"{{{assumed}}}"), MODEL)).cost(prefill(1, 900))
    held = AnalyticEngine(deploy(_told(tmp_path, "rngd", f"{{{assumed}, cap_enforced: true}}"), MODEL))
    assert free.power_w > 150.0 and not free.held
    assert held.cost(prefill(1, 900)).power_w == pytest.approx(150.0)


def test_the_commands_refuse_a_cap_that_leaves_nothing(tmp_path: Path) -> None:
    arch = _told(tmp_path, "rngd", "{cap: {value: 90 W, kind: datasheet, source: a test}}")
    for command in (("step", "--phase", "decode", "--batch", "1", "--context", "64"),
                    ("run", "--isl", "64", "--osl", "4", "--concurrency", "1")):  # fmt: skip
        done = tell(command[0], arch, MODEL, *command[1:], "--json")
        assert done.code == 2 and "cannot run under its power cap of 90 W" in done.err
        assert done.err.count("\n") == 1


def test_a_swept_cap_holds_and_refuses(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        f"name: caps\narch: rngd\nmodels: [{MODEL}]\nworkloads: [{{isl: 512, osl: 64, users: [1, 64]}}]\n"
        "vary:\n  chip.power.cap: {values: [80 W, 106 W, 150 W, 1000 W]}\n"
        "objectives: {output_tokens_per_s: max, power_w: min}\nserving: {slack: 100, requests_per_user: 1}\n"
    )
    done = tell("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out", "--workers", "1", "--json")
    assert done.code == 0, done.err
    import pandas as pd

    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    refused = points["chip.power.cap"] == 80.0
    assert points.loc[refused, "output_tokens_per_s"].isna().all()
    assert (points.loc[~refused, "power_w"] <= points.loc[~refused, "chip.power.cap"] * (1 + 1e-9)).all()
    served = points[~refused].dropna(subset="served_power_w_mean")
    assert len(served) and (served["served_power_w_p99"] <= served["chip.power.cap"] * (1 + 1e-9)).all()
    assert 80.0 not in {row["chip.power.cap"] for row in json.loads(done.out)["pareto"]}
