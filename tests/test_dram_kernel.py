"""The DRAM kernel: closed forms that bind, properties that any memory has, and a public simulator's table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.hardware.catalog import load_memory
from npusim.hardware.dram_channel.addresses import banks_and_rows, named_map
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.hardware.dram_channel.timing import REFRESH_OFF, build_timing

STANDARDS = ("hbm3-6400", "lpddr5-6400", "lpddr6-10667", "gddr6-14000", "hbm4-8000", "hbm2-2000")
SHORT = Traffic(requests=1_500, refresh="off")
TOLERANCE = 0.02
"""By so much a larger or easier load may be slower: the order of service changes with it."""


def _fraction(name: str, **how: object) -> float:
    return measure_channel(load_memory(name), replace(SHORT, **how)).fraction_of_peak  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STANDARDS)
def test_a_sequential_stream_fills_the_pins(name: str) -> None:
    run = measure_channel(load_memory(name), SHORT)
    assert run.fraction_of_peak == pytest.approx(1.0, abs=0.02 if name != "hbm4-8000" else 0.08)
    assert run.bound == "data pins"


def test_random_rows_are_bound_by_four_activations_a_window() -> None:
    timing = load_memory("hbm3-6400").timing
    bursts = load_memory("hbm3-6400").burst_clocks / (timing.tFAW.value / 4)
    run = measure_channel(load_memory("hbm3-6400"), replace(SHORT, pattern="random"))
    assert run.fraction_of_peak == pytest.approx(bursts, rel=0.005)
    assert run.bound == "tFAW"


def test_random_rows_are_bound_by_the_distance_of_activations() -> None:
    memory = load_memory("gddr6-14000")
    run = measure_channel(memory, replace(SHORT, pattern="random"))
    assert run.fraction_of_peak == pytest.approx(memory.burst_clocks / memory.timing.tRRD_S.value, rel=0.005)
    assert run.bound == "tRRD"


@pytest.mark.parametrize(("name", "refill"), [("hbm3-6400", 0), ("lpddr5-6400", 0), ("lpddr6-10667", 2)])
def test_a_stride_of_rows_is_bound_by_one_banks_cycle(name: str, refill: int) -> None:
    """LPDDR6: a read follows the write clock's start, and tRCD + tRTP + tRP then exceed tRC by two clocks."""
    memory = load_memory(name)
    run = measure_channel(memory, replace(SHORT, pattern="stride", stride=4096))
    assert run.fraction_of_peak == pytest.approx(memory.burst_clocks / (memory.timing.tRC.value + refill), rel=0.005)
    assert run.bound == "tRC (one bank)"


def test_a_stride_inside_one_bank_group_is_bound_by_its_columns() -> None:
    timing = load_memory("lpddr5-6400").timing
    run = measure_channel(load_memory("lpddr5-6400"), replace(SHORT, pattern="stride", stride=4))
    assert run.fraction_of_peak == pytest.approx(timing.tCCD_S.value / timing.tCCD_L.value, rel=0.005)
    assert run.bound == "tCCD_L (one bank group)"


@pytest.mark.parametrize("name", ("hbm3-6400", "lpddr5-6400", "lpddr6-10667"))
def test_one_request_at_a_time_waits_for_precharge_activation_and_data(name: str) -> None:
    memory = load_memory(name)
    timing = memory.timing
    run = measure_channel(memory, replace(SHORT, pattern="random", outstanding=1))
    clocks = timing.tRP.value + timing.tRCDRD.value + timing.CL.value + memory.burst_clocks
    assert run.latency_s / memory.clock_period_s == pytest.approx(clocks, abs=2.1)
    assert run.bound == "outstanding requests"


@pytest.mark.parametrize("name", ("hbm3-6400", "lpddr5-6400", "lpddr6-10667"))
def test_refresh_costs_its_share_of_time(name: str) -> None:
    timing = load_memory(name).timing
    kept = _fraction(name, requests=30_000, refresh="ab") / _fraction(name, requests=30_000)
    lost = timing.tRFCab.value / timing.tREFI.value
    run = measure_channel(load_memory(name), replace(SHORT, requests=30_000, refresh="ab"))
    assert run.use["refresh"] == pytest.approx(lost, rel=0.1)
    refill = (timing.tRP.value + timing.tRCDRD.value + 2 * timing.CL.value) / timing.tREFI.value
    assert 1.0 - lost - 2 * refill <= kept <= 1.0 - lost


def test_refresh_bank_by_bank_costs_a_stream_less_than_all_banks_at_once() -> None:
    for name in ("hbm3-6400", "lpddr5-6400"):
        assert _fraction(name, requests=12_000, refresh="pb") > _fraction(name, requests=12_000, refresh="ab")


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(STANDARDS),
    pattern=st.sampled_from(("seq", "random", "stride")),
    mapping=st.sampled_from(("bgint", "rocol", "xor")),
    refresh=st.sampled_from(("off", "ab")),
    outstanding=st.sampled_from((1, 7, 64, 128)),
    stride=st.integers(1, 5_000),
    block=st.integers(1, 100),
    write_fraction=st.floats(0.0, 1.0),
    write_mode=st.sampled_from(("inplace", "stream")),
    seed=st.integers(0, 5),
)
def test_no_load_beats_the_peak_and_commands_add_up(name: str, **how: object) -> None:
    run = measure_channel(load_memory(name), replace(SHORT, **how))  # type: ignore[arg-type]
    assert 0.0 < run.fraction_of_peak <= 1.0 + 1e-3
    assert all(0.0 <= part <= 1.0 + 1e-2 for part in run.use.values())
    assert all(joules >= 0.0 for joules in run.energy_j.values())
    commands = run.commands
    assert commands["read"] + commands["write"] == pytest.approx(run.payload_bytes / 32, abs=130)
    assert commands["activate"] <= commands["read"] + commands["write"] + 130


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(STANDARDS),
    block=st.sampled_from((1, 2, 8, 32)),
    outstanding=st.sampled_from((1, 2, 8, 32)),
    seed=st.integers(0, 3),
)
def test_more_outstanding_and_larger_blocks_are_not_slower(name: str, block: int, outstanding: int, seed: int) -> None:
    load = {"pattern": "random", "seed": seed, "requests": 3_000}
    few = _fraction(name, block=block, outstanding=outstanding, **load)
    assert _fraction(name, block=block, outstanding=4 * outstanding, **load) >= few * (1.0 - TOLERANCE)
    assert _fraction(name, block=4 * block, outstanding=outstanding, **load) >= few * (1.0 - TOLERANCE)


@pytest.mark.parametrize("name", ("hbm3-6400", "lpddr5-6400"))
def test_writes_among_reads_cost_turns_of_the_pins(name: str) -> None:
    shares = [_fraction(name, write_fraction=share, requests=6_000) for share in (0.0, 0.1, 0.3)]
    assert shares == sorted(shares, reverse=True)


def test_same_seed_same_run() -> None:
    load = replace(SHORT, pattern="random", write_fraction=0.3, seed=7)
    memory = load_memory("hbm3-6400")
    assert measure_channel.__wrapped__(memory, load) == measure_channel.__wrapped__(memory, load)
    assert measure_channel(memory, load) != measure_channel(memory, replace(load, seed=8))


def test_two_pseudo_channels_share_their_command_buses() -> None:
    memory = load_memory("hbm3-6400")
    one, two = (measure_channel(memory, replace(SHORT, pseudo_channels=count)) for count in (1, 2))
    assert two.achieved_bytes_per_s == pytest.approx(2 * one.achieved_bytes_per_s, rel=0.01)
    assert two.use["command bus"] == pytest.approx(2 * one.use["command bus"], rel=0.01)
    mixed = replace(SHORT, requests=6_000, write_fraction=0.3)
    alone, shared = (
        measure_channel(memory, replace(mixed, pseudo_channels=count)).fraction_of_peak for count in (1, 2)
    )
    assert shared < alone


def test_energy_follows_the_commands() -> None:
    memory = load_memory("hbm3-6400")
    stream, scattered = measure_channel(memory, SHORT), measure_channel(memory, replace(SHORT, pattern="random"))
    for run in (stream, scattered):
        assert run.energy_j["activate"] == pytest.approx(run.commands["activate"] * memory.energy.activate.value)
        assert run.energy_j["read"] == pytest.approx(run.commands["read"] * 32 * memory.energy.read.value)
    assert sum(scattered.energy_j.values()) > 1.5 * sum(stream.energy_j.values())


@pytest.mark.parametrize("mapping", ("bgint", "rocol", "xor"))
def test_an_address_map_reaches_every_place_once(mapping: str) -> None:
    timing = build_timing(load_memory("hbm3-6400"), REFRESH_OFF, 2)
    masks = named_map(mapping, timing)
    banks, rows = banks_and_rows(np.arange(64 * 32 * 8), masks, timing)
    assert len(set(banks)) == 64
    assert len(set(zip(banks, rows, strict=True))) == 64 * 8


@settings(max_examples=20, deadline=None)
@given(mapping=st.sampled_from(("bgint", "rocol", "xor")), access=st.integers(0, (1 << 30) - 1))
def test_each_bit_of_a_place_is_the_parity_of_its_mask(mapping: str, access: int) -> None:
    timing = build_timing(load_memory("hbm3-6400"), REFRESH_OFF, 2)
    masks = named_map(mapping, timing)
    parities = [[(access & int(mask)).bit_count() & 1 for mask in own if mask] for own in masks]
    values = [sum(bit << index for index, bit in enumerate(own)) for own in parities]
    pseudo, rank, group, bank, row, _ = values
    whole = ((pseudo * int(timing["ranks"]) + rank) * int(timing["groups"]) + group) * 4 + bank
    found = banks_and_rows(np.array([access]), masks, timing)
    assert (int(found[0][0]), int(found[1][0])) == (whole, row)


def test_a_load_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="requests: 100 must be more than the 128 outstanding"):
        Traffic(requests=100)
    with pytest.raises(UserError, match="pattern: 'zigzag' is not known"):
        Traffic(pattern="zigzag")
    with pytest.raises(UserError, match="tRFCpb is not known"):
        measure_channel(load_memory("lpddr6-10667"), replace(SHORT, refresh="pb"))
    with pytest.raises(UserError, match="3 is more than the 2 that share buses"):
        measure_channel(load_memory("hbm3-6400"), replace(SHORT, pseudo_channels=3))


def test_rates_are_of_payload() -> None:
    memory = load_memory("lpddr6-10667")
    run = measure_channel(memory, SHORT)
    assert run.achieved_bytes_per_s == pytest.approx(memory.peak_bandwidth.value, rel=1e-3)
    assert np.isnan(measure_channel(memory, replace(SHORT, write_fraction=1.0)).latency_s)
