"""PIM units by the default policy: what a whole step, and a whole run, gain with all costs; never less than without."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.answers.pim_bench import attention_commands, gemv_commands, measure_pim
from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.catalog import load_pim, load_system, shipped_systems
from npusim.hardware.machine import build_pim
from npusim.hardware.pim import Pim
from npusim.hardware.runtime_record import build_runtime
from npusim.kernels.pim import clock_period, command_energy, mac_interval, mode_switch, refresh_interval
from npusim.kernels.power import IDLE, LOADED, VECTOR_WORK
from npusim.kernels.step import STEP_COST_DTYPE
from npusim.kernels.sub_batches import interleave
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.memory_layout import MemoryLayout, layout_of
from npusim.mapping.optable import ATTENTION, LINEAR
from npusim.serving.layout import for_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import Closed
from npusim.workload.step import decode, prefill

DESIGNS = [name for name in shipped_systems() if load_system(name, uncalibrated=True).chip.pim is not None]
FORMATS = {"lpddr6-pim": ("int8", "int8"), "lpddr5x-pim": ("w4a8", None)}
MODELS = ("qwen2.5-0.5b", "qwen2.5-1.5b", "llama-3.1-8b", "qwen3-30b-a3b")
USERS = 64


@cache
def _placed(arch: str, model: str, policy: str | None) -> Deployment:
    precision, kv = FORMATS.get(arch, ("bf16", None))
    return deploy(arch, model, precision=precision, kv_precision=kv, offload=policy, cards="auto")


@cache
def _engine(arch: str, model: str, policy: str | None) -> AnalyticEngine:
    return AnalyticEngine(_placed(arch, model, policy), max_sequences=USERS)


def test_every_design_with_units_is_tried() -> None:
    assert set(DESIGNS) >= {"lpddr6-pim", "lpddr5x-pim", "hbm-pim-card", "rngd-hbm3e-pim"}


@given(
    st.sampled_from(DESIGNS),
    st.sampled_from(MODELS),
    st.sampled_from([None, "linear", "attention", "both"]),
    st.lists(st.integers(1, 30_000), min_size=1, max_size=USERS),
)
@settings(max_examples=120, deadline=None)
def test_a_decode_step_is_never_slower_than_without_units(
    arch: str, model: str, policy: str | None, contexts: list[int]
) -> None:
    own, without = (_engine(arch, model, each).cost(decode(contexts)) for each in (policy, "none"))
    assert own.time_s <= without.time_s * (1.0 + 1e-9)
    assert sum(own.shares_s.values()) == pytest.approx(own.time_s)


@given(st.sampled_from(DESIGNS), st.sampled_from(MODELS), st.integers(1, 2048), st.integers(0, 4096))
@settings(max_examples=40, deadline=None)
def test_a_prompt_is_never_slower_than_without_units(arch: str, model: str, tokens: int, before: int) -> None:
    step = prefill(1, tokens, before + tokens)
    own, without = (_engine(arch, model, each).cost(step) for each in (None, "none"))
    assert own.time_s <= without.time_s * (1.0 + 1e-9)


@pytest.mark.parametrize("arch", DESIGNS)
@pytest.mark.parametrize(("isl", "osl", "users"), [(512, 64, 1), (512, 64, 8), (2048, 32, 4), (128, 128, 32)])
def test_a_run_is_never_slower_than_without_units(arch: str, isl: int, osl: int, users: int) -> None:
    """Prompts and decode steps under one layout: the run gains, or lies in memory as it would without units."""
    load = random_load(isl, osl, Closed(users), 2 * users)
    served = {policy: simulate(_placed(arch, "qwen2.5-1.5b", policy), load, 0) for policy in (None, "none")}
    rates = {policy: measure(run)["output_tokens_per_s"] for policy, run in served.items()}
    assert rates[None] >= rates["none"] * (1.0 - 1e-9)
    assert served["none"].layout == MemoryLayout("chip", "chip")
    if served[None].layout != served["none"].layout:
        assert rates[None] > rates["none"]


def test_a_layout_is_chosen_for_prompts_and_decoding_together() -> None:
    """Long prompts and short answers leave the weights to the chip, one user's long answers give them to the units."""
    where = _placed("lpddr6-pim", "llama-3.1-8b", None)
    assert layout_of(where.runtime_record) is None
    assert layout_of(for_load(where, 64, 1024, 1).runtime_record).weights != "chip"  # type: ignore[union-attr]
    assert layout_of(for_load(where, 8192, 4, 64).runtime_record).weights == "chip"  # type: ignore[union-attr]


def test_a_fixed_layout_costs_the_other_side() -> None:
    """KV and weights that lie for the units are read by the chip at its layout efficiency; nothing else is slower."""
    where = _placed("lpddr6-pim", "llama-3.1-8b", None)
    assert where.system.chip.pim is not None
    efficiency = where.system.chip.pim.sharing.host_layout_efficiency.value
    read = {}
    for layout in (MemoryLayout("chip", "chip"), MemoryLayout("units", "chip"), MemoryLayout("chip", "units")):
        engine = AnalyticEngine(replace(where, runtime_record=layout.put(where.runtime_record)))
        table, costs = engine.operators(prefill(1, 64, 8192))
        kinds = {kind: costs["memory_s"][table.rows["kind"] == kind] for kind in (LINEAR, ATTENTION)}
        read[layout] = kinds[LINEAR][:-1].sum(), kinds[ATTENTION].sum()
    own, weights, kv = read.values()
    assert weights == pytest.approx((own[0] / efficiency, own[1]))
    assert kv == pytest.approx((own[0], own[1] / efficiency))


def _changed(pim: Pim, **numbers: float) -> Any:
    machine = build_pim(pim)
    for name, value in numbers.items():
        machine[f"pim_{name}"] = value
    return machine[0]


def test_a_power_budget_stretches_macs_to_the_time_of_their_energy() -> None:
    pim = load_pim("lpddr6-pim")
    free = _changed(pim, controller_power_budget=np.nan)
    described = float(free["pim_unit_mac_interval"] * free["pim_unit_mac_power_factor"])
    assert mac_interval(free) == described
    watts = 0.25
    bound = _changed(pim, controller_power_budget=watts)
    assert mac_interval(bound) == pytest.approx(command_energy(bound) / watts / clock_period(bound))
    assert mac_interval(bound) > described
    ample = _changed(pim, controller_power_budget=100.0)
    assert mac_interval(ample) == described


def test_a_command_takes_its_rows_columns_and_arithmetic() -> None:
    """LPDDR6-PIM: 16 banks' row of 1.8 nJ over 64 columns, and 16 units of 32 B at 6 pJ/B and 32 MACs at 0.4 pJ."""
    expected = 16 * 1.8e-9 / 64 + 16 * (32 * 6e-12 + 32 * 0.4e-12)
    assert command_energy(_changed(load_pim("lpddr6-pim"))) == pytest.approx(expected)


def test_a_hot_memory_refreshes_more_often_and_the_host_s_requests_leave_first() -> None:
    pim = load_pim("lpddr6-pim")
    cold, hot = (_changed(pim, refresh_hot_rate=rate) for rate in (1.0, 2.0))
    assert refresh_interval(hot) == refresh_interval(cold) / 2.0
    busy, idle = (_changed(pim, controller_host_drain=clocks) for clocks in (96.0, 0.0))
    assert mode_switch(busy) - mode_switch(idle) == 96.0


@pytest.mark.parametrize("name", ["lpddr6-pim", "lpddr5x-pim"])
def test_the_bench_tells_what_the_controller_adds(name: str) -> None:
    pim = load_pim(name)
    for operation in (gemv_commands(pim, 4096, 4096), attention_commands(pim, 32, 2048, 128)):
        answer = measure_pim(pim, operation)
        told = answer["controller"]
        assert 0.0 < told["host_drain_us"] < told["mode_switch_us"] <= answer["breakdown_us"]["mode"] + 1e-12
        assert told["limited_mac_interval_cycles"] >= told["mac_interval_cycles"]
        assert 0.0 < told["refresh_fraction"] < 0.2
        assert told["channel_power_w"] > 0.0
        if told["channel_power_budget_w"] is not None:
            assert told["channel_power_w"] <= told["channel_power_budget_w"]


def _part(machine: Any, time_s: float, pim_s: float) -> np.ndarray:
    """A step of `time_s`, of which `pim_s` on the units, whose work takes 100 J."""
    step = np.zeros(1, STEP_COST_DTYPE)
    step["time_s"], step["pim_s"], step["contraction_s"] = time_s, pim_s, time_s - pim_s
    step["clock"] = step["duty"] = step["pes"] = step["sub_batches"] = 1.0
    step["parts_j"][0, [VECTOR_WORK, IDLE, LOADED]] = (
        100.0, time_s * machine["power_idle"], time_s * machine["power_loaded_static"],
    )  # fmt: skip
    step["energy_j"] = step["parts_j"].sum()
    return step


@pytest.mark.parametrize(("beside", "memory", "expected"), [(1.0, 0.0, 6.25), (0.0, 0.0, 6.25), (0.0, 5.0, 9.25)])
def test_two_sub_batches_end_with_the_busiest_of_chip_units_and_banks(
    beside: float, memory: float, expected: float
) -> None:
    """Two parts of 3 s on the chip and 2 s on the units, 8 layers: chip 6 s, units 4 s, and the first layer's 0.25 s.

    Where the chip streams for 5 s and the banks serve one side at a time, they are busy for 4 + 5 s.
    """
    where = _placed("lpddr6-pim", "llama-3.1-8b", None)
    machine = where.machine.copy()
    machine["pim_sharing_beside_host"] = beside
    parts = np.concatenate([_part(machine[0], 5.0, 2.0)] * 2)
    interleave(parts, np.array([memory / 2.0, memory / 2.0]), 8.0, machine[0])
    assert parts[0]["time_s"] == pytest.approx(expected)
    assert sum(float(parts[0][f"{name}_s"]) for name in ("contraction", "pim")) == pytest.approx(expected)
    static = float(machine[0]["power_idle"] + machine[0]["power_loaded_static"])
    assert parts[0]["energy_j"] == pytest.approx(200.0 + expected * static) == pytest.approx(parts[0]["parts_j"].sum())


def test_a_runtime_with_sub_batches_overlaps_chip_and_units() -> None:
    """Where banks serve both sides (NeuPIMs' second row buffer) and the chip computes, half a batch hides the other."""
    where = _placed("lpddr6-pim", "llama-3.1-8b", None)
    assert where.runtime.offload is not None
    machine = where.machine.copy()
    machine["pim_sharing_beside_host"], machine["pim_maps_linear"] = 1.0, True
    machine["tcp_macs_per_slice_bf16"] /= 4.0
    times = {}
    for parts in (1, 2):
        number = where.runtime.offload.head.model_copy(update={"value": float(parts)})
        offload = where.runtime.offload.model_copy(update={"sub_batches": number, "policy": "attention"})
        runtime = where.runtime.model_copy(update={"offload": offload})
        placed = replace(where, runtime=runtime, machine=machine, runtime_record=build_runtime(runtime, where.system))
        times[parts] = AnalyticEngine(placed).cost(decode([4096] * 64))
    assert times[2].sub_batches == 2 and times[1].sub_batches == 1
    assert times[2].time_s < times[1].time_s
    busiest = max(times[2].shares_s["pim"], times[2].time_s - times[2].shares_s["pim"])
    assert times[2].time_s >= busiest


@given(st.sampled_from(DESIGNS), st.sampled_from(MODELS[:3]), st.integers(1, USERS), st.integers(1, 16_000))
@settings(max_examples=60, deadline=None)
def test_no_more_bytes_pass_the_pins_than_their_rate_allows(arch: str, model: str, users: int, context: int) -> None:
    """What units read in the banks does not pass the pins: the host's rate holds beside any of them."""
    where, cost = _placed(arch, model, None), _engine(arch, model, None).cost(decode([context] * users))
    assert cost.memory_bytes <= where.system.chip.memory.peak_bandwidth_bytes_per_s * cost.time_s * (1.0 + 1e-9)
