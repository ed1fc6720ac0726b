"""PIM units: cycles against published simulators, and what no unit may do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.answers import pim_bench
from npusim.errors import UserError
from npusim.evidence.validation.validate import validate_table
from npusim.hardware.catalog import load_pim, shipped_pims
from npusim.hardware.machine import build_pim
from npusim.hardware.pim import Pim
from npusim.hardware.yaml_file import load_yaml
from npusim.kernels.pim import PIM_COST_DTYPE, add_mean_refresh, busy_clocks, operation_time, row_gap
from npusim.kernels.pim_energy import PIM_ENERGY_DTYPE, operation_energy, total
from npusim.kernels.pim_linear import matrix_vector

TABLE = Path(__file__).parent.parent / "validation" / "data" / "reference" / "pim.csv"
LINEAR = ("hbm-pim", "aim", "lpddr5x-pim", "lpddr6-pim")
SHAPES = st.integers(min_value=1, max_value=20_000)


def cost_of(pim: Pim, outputs: int, inputs: int, batch: int = 1, bits: float = 16.0) -> tuple[Any, Any]:
    machine, cost = build_pim(pim)[0], np.zeros(1, PIM_COST_DTYPE)[0]
    matrix_vector(float(outputs), float(inputs), float(batch), bits, bits, machine, cost)
    add_mean_refresh(cost, machine)
    return machine, cost


def bits_of(pim: Pim) -> float:
    return 8.0 if pim.unit.mac.rates.int8 is not None else 16.0


@pytest.mark.parametrize("name", shipped_pims())
def test_shipped_memories_load_by_name_and_alias(name: str) -> None:
    pim = load_pim(name)
    assert pim.name == name
    assert {load_pim(alias).name for alias in pim.aliases} <= {name}
    assert set(pim.placements.values()) <= set(shipped_pims())


def test_a_memory_without_public_command_set_says_so() -> None:
    lpddr6 = load_pim("lpddr6-pim")
    assert not lpddr6.silicon
    assert "No command set" in lpddr6.note
    assert all(quantity.is_assumed for quantity in (lpddr6.channels, lpddr6.unit.mac.interval, lpddr6.unit.mac.units))


def test_every_row_of_the_simulators_is_within_its_bound() -> None:
    result = validate_table(TABLE, intervals=False)
    assert result.rows == len(pd.read_csv(TABLE))
    assert result.skipped == ()
    errors = {
        name: [abs(item.error) for item in result.main if item.case.dimensions["memory_id"].startswith(name)]
        for name in ("hbm2", "gddr6", "hbm3")
    }
    assert max(errors["hbm2"]) < 0.05
    assert max(errors["gddr6"]) < 0.01
    assert np.mean(errors["hbm3"]) < 0.015
    assert np.mean(np.array(errors["hbm3"]) > 0.10) < 0.01


def test_rows_that_cannot_be_represented_say_why(tmp_path: Path) -> None:
    frame = pd.read_csv(TABLE, dtype=str).head(5)
    frame.loc[0, "memory_id"] = "hbm9-pim"
    frame.loc[1, "op"] = "sort"
    frame.loc[2, "dtype"] = "FP64"
    frame.loc[3, "clock_ns"] = "2.0"
    path = tmp_path / "pim.csv"
    frame.to_csv(path, index=False)
    result = validate_table(path)
    assert result.rows == 1
    reasons = [skip.reason for skip in result.skipped]
    assert len(reasons) == 4
    for reason, word in zip(reasons, ("hbm9-pim", "sort", "FP64", "2 ns"), strict=True):
        assert word in reason


def test_a_row_change_takes_the_memory_s_own_timings() -> None:
    pim = load_pim("hbm-pim")
    timing = pim.memory.timing
    expected = timing.tRTP.value + timing.tRP.value + timing.tRCDRD.value
    assert row_gap(build_pim(pim)[0]) == expected


def test_activation_in_groups_waits_for_tfaw() -> None:
    machine = build_pim(load_pim("lpddr5x-pim"))
    together = row_gap(machine[0])
    machine["pim_unit_activation_banks_per_command"] = 4.0
    between = max(machine["pim_memory_timing_tRRD_S"][0], machine["pim_memory_timing_tFAW"][0] / 4.0)
    assert row_gap(machine[0]) == pytest.approx(together + 3.0 * between)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LINEAR), SHAPES, SHAPES, st.integers(min_value=1, max_value=16))
def test_costs_are_never_negative_nor_above_the_all_bank_rate(name: str, outputs: int, inputs: int, batch: int) -> None:
    pim = load_pim(name)
    machine, cost = cost_of(pim, outputs, inputs, batch, bits_of(pim))
    assert all(cost[field] >= 0.0 for field in PIM_COST_DTYPE.names or ())
    read = outputs * inputs * batch * bits_of(pim) / 8.0
    assert read / operation_time(cost, machine) <= pim.all_bank_bandwidth_bytes_per_s


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LINEAR), SHAPES, SHAPES, st.integers(min_value=2, max_value=8))
def test_a_batch_passes_the_weights_anew(name: str, outputs: int, inputs: int, batch: int) -> None:
    pim = load_pim(name)
    one, many = (cost_of(pim, outputs, inputs, count, bits_of(pim))[1] for count in (1, batch))
    without_mode = [busy_clocks(cost) - cost["mode"] for cost in (one, many)]
    assert without_mode[1] == pytest.approx(batch * without_mode[0])
    assert many["column_bytes"] == pytest.approx(batch * one["column_bytes"])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LINEAR), SHAPES, SHAPES)
def test_energy_is_the_sum_of_its_commands(name: str, outputs: int, inputs: int) -> None:
    pim = load_pim(name)
    machine, cost = cost_of(pim, outputs, inputs, 1, bits_of(pim))
    energy = np.zeros(1, PIM_ENERGY_DTYPE)[0]
    operation_energy(cost, bits_of(pim), machine, energy)
    parts = [energy[field] for field in PIM_ENERGY_DTYPE.names or ()]
    assert min(parts) >= 0.0
    assert total(energy) == pytest.approx(math.fsum(parts))


def test_published_speed_ups_of_lpddr5x_pim_lie_in_the_interval() -> None:
    pim = load_pim("lpddr5x-pim")
    published = {("w4a8", 0.0): (6.0, 6.2), ("w4a16", 0.0): (5.7, 5.8), ("w4a8", 150e-9): (5.2, 5.8)}
    for (dtype, fence_s), (low, high) in published.items():
        told = pim_bench.measure_pim(
            pim, pim_bench.gemv_commands(pim, 14336, 4096, 1, dtype), fence_s=fence_s, interval_wanted=True
        )["speedup"]
        assert told["low"] <= low
        assert told["high"] >= high
        assert 0.98 * low <= told["value"] <= 1.02 * high


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(("attacc-bank", "attacc-bank-group", "attacc-buffer", "aim", "hbm-pim", "lpddr6-pim")),
    st.integers(min_value=1, max_value=2_000),
    st.integers(min_value=16, max_value=8_192),
    st.sampled_from((64, 128, 160)),
)
def test_attention_never_beats_the_all_bank_rate_and_more_of_it_takes_longer(
    name: str, heads: int, kv: int, head_dim: int
) -> None:
    pim = load_pim(name)
    one, more, longer = (
        pim_bench.measure_pim(pim, pim_bench.attention_commands(pim, count, length, head_dim))
        for count, length in ((heads, kv), (heads + 1, kv), (heads, 2 * kv))
    )
    assert 0.0 < one["fraction_of_peak"] <= 1.0
    assert longer["time_us"] > one["time_us"]
    assert more["time_us"] >= one["time_us"]
    assert min(one["energy_breakdown_j"].values()) >= 0.0
    assert one["energy_j"] == pytest.approx(math.fsum(one["energy_breakdown_j"].values()))


def test_heads_that_overlap_need_their_partners(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("based_on: aim\nname: mine\ntitle: mine\nunit: {attention: {overlapped: true}}\n", encoding="utf-8")
    with pytest.raises(UserError, match="lone_tokens belongs to heads that are overlapped"):
        load_yaml(path, Pim)


def test_a_power_limit_stretches_macs_alone() -> None:
    pim = load_pim("attacc-bank")
    operation = pim_bench.attention_commands(pim, 64, 2048, 128)
    limited, free = (
        pim_bench.measure_pim(pim, operation, power_limit=limit)["breakdown_us"] for limit in (True, False)
    )
    assert limited["mac"] == pytest.approx(1.5 * free["mac"])
    assert limited["activation"] < free["activation"]


def test_a_description_can_change_another_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "based_on: hbm-pim\nname: mine\ntitle: HBM-PIM on faster HBM3e\nmemory: hbm3e-9600\n"
        "unit:\n  mac:\n    interval: {value: 6 cycle, kind: assumed, source: mine, low: 4 cycle, high: 6 cycle}\n",
        encoding="utf-8",
    )
    mine, base = load_yaml(path, Pim), load_pim("hbm-pim")
    assert mine.memory.name == "hbm3e-9600"
    assert mine.unit.mac.interval.value == 6.0
    assert mine.unit.mac.units == base.unit.mac.units


@pytest.mark.parametrize(
    ("name", "make", "word"),
    [
        ("attacc-bank", lambda pim: pim_bench.gemv_commands(pim, 8, 8), "no matrix-vector"),
        ("aim", lambda pim: pim_bench.stream_commands(pim, "add", 8), "no element-wise"),
        ("hbm-pim", lambda pim: pim_bench.gemv_commands(pim, 8, 8, dtype="int8"), "fp16"),
        ("hbm-pim", lambda pim: pim_bench.gemv_commands(pim, 0, 8), "1 or more"),
    ],
)
def test_mistakes_are_told(name: str, make: Any, word: str) -> None:
    with pytest.raises(UserError, match=word):
        make(load_pim(name))
