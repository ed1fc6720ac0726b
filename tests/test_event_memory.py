"""Memory at its depths: where nothing contends they agree; where channels or commands contend, they say by how much."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import Detail, EventEngine, SimulatedPiece
from npusim.engine.event.memory import DEPTHS, Access, MemoryModel, memory_model
from npusim.engine.event.stalls import stalls_of
from npusim.errors import UserError
from npusim.hardware.catalog import load_memory, load_system
from npusim.hardware.dram_channel.addresses import address_bits, banks_and_rows, named_map
from npusim.hardware.dram_channel.channel import run_channels
from npusim.hardware.dram_channel.timing import REFRESH_MODES, build_timing
from npusim.hardware.dram_channel.traffic import request_stream
from npusim.kernels.memory import peak_bandwidth
from npusim.mapping.deployment import Deployment
from npusim.workload.step import Step, decode

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]
REFERENCE = Path(__file__).parent.parent / "validation" / "data" / "reference" / "dram.csv"
CONTIGUOUS = ((0, False),)


@pytest.fixture(scope="module")
def llama(deployed: Deploy) -> Deployment:
    return deployed("rngd", "llama-3.1-8b", uncalibrated=True)


@pytest.fixture(scope="module")
def commands() -> MemoryModel:
    return memory_model(load_system("rngd"), "command")


def _simulated(deployment: Deployment, step: Step, detail: Detail) -> SimulatedPiece:
    (piece,) = EventEngine(AnalyticEngine(deployment), "rngd", detail).simulated(step)
    return piece


def test_depths_agree_where_long_streams_are_alone(llama: Deployment) -> None:
    """Weights and a short context: every channel gets the same, one stream at a time."""
    times = [_simulated(llama, decode([1024]), Detail(depth)).cost.time_s for depth in DEPTHS]
    assert times == pytest.approx([times[0]] * len(DEPTHS), rel=0.002)


def test_the_step_s_fraction_of_peak_is_the_dram_model_s(llama: Deployment, altered: Alter) -> None:
    """With engines that could draw eight times as much, memory binds: within 2 % of the long streams' fraction."""
    fast = altered(llama, tcp_dma_bandwidth_per_pe=8.0 * float(llama.machine[0]["tcp_dma_bandwidth_per_pe"]))
    piece = _simulated(fast, decode([1024]), Detail("command"))
    peak = max(rate for _, rate in piece.simulation.record.rate) / peak_bandwidth(llama.machine[0])
    assert peak == pytest.approx(_long_streams("hbm3-6000"), rel=0.02)


def _long_streams(standard: str) -> float:
    """Fraction of the peak of one endless stream under RNGD's map, without the noise of a short window."""
    model = memory_model(load_system("rngd"), "command")
    assert load_memory(standard) == model.dram
    return model.fraction(CONTIGUOUS, 1)


def _reference() -> list[dict[str, str]]:
    with REFERENCE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        row
        for row in rows
        if row["standard"] == "HBM3-6400-1pc" and row["refresh"] != "pb" and row["outstanding"] == "128"
    ][:27]


@pytest.mark.parametrize(
    "row",
    _reference(),
    ids=lambda row: "-".join(
        row[k] for k in ("mapping", "refresh", "pattern", "stride_bursts", "write_frac", "write_mode")
    ),
)
def test_channels_in_one_batch_meet_the_reference(row: dict[str, str]) -> None:
    """Four channels with the reference's stream each, refreshes staggered: the fraction of peak within 2 %.

    Where two streams meet in the same banks, the reference is one random course of the distance between them.
    """
    dram = load_memory("hbm3-6400")
    timing = build_timing(dram, REFRESH_MODES[row["refresh"]], 1)
    masks = named_map(row["mapping"], timing)
    block = max(1, int(float(row["block_bytes"] or 0)) // int(row["access_bytes"]))
    count = 24_000
    streams = [
        request_stream(
            row["pattern"],
            count,
            address_bits(masks),
            stride=int(float(row["stride_bursts"] or 1)),
            block=block,
            write_fraction=float(row["write_frac"]),
            write_mode=row["write_mode"] or "inplace",
            seed=seed,
        )
        for seed in range(4)
    ]
    banks, rows = banks_and_rows(np.concatenate([accesses for accesses, _ in streams]), masks, timing)
    writes = np.concatenate([each for _, each in streams])
    ticks, answered = np.zeros(4, np.int64), np.zeros(4, np.int64)
    run_channels(banks, rows, writes, np.arange(5) * count, timing, 128, 8, ticks, answered)
    found = float((answered / ticks).mean() * timing["tBL"])
    within = 0.08 if row["write_mode"] == "stream" else 0.02
    assert found == pytest.approx(float(row["frac_of_peak"]), rel=within)


def test_shares_follow_the_address_map() -> None:
    model = memory_model(load_system("rngd"), "channel")
    unit = model.unit
    even = model.shares(Access(0), 64.0 * unit)
    assert even == pytest.approx(np.full(32, 1 / 32))
    one_more = model.shares(Access(unit * 7), 33.0 * unit)
    assert sorted(one_more)[-1] == pytest.approx(2 / 33)
    scattered = model.shares(Access(0, 16 * unit), 496.0 * unit)
    assert scattered.sum() == pytest.approx(1.0)
    assert scattered.max() > 1.05 * scattered.mean()


def test_scattered_blocks_load_channels_unevenly(llama: Deployment) -> None:
    """KV in blocks wherever there was room: the fullest channel holds the transfer up. One rate cannot see it."""
    rate, channel = (_simulated(llama, decode([2000] * 64), Detail(depth)) for depth in ("rate", "channel"))
    assert channel.cost.time_s > 1.01 * rate.cost.time_s
    rates = channel.simulation.record.rates[:, 1:]
    uneven = rates.max(axis=1) > 1.02 * rates.mean(axis=1)
    assert uneven.any()
    assert not uneven.all()


@pytest.mark.parametrize("often", [2, 4])
def test_a_hot_memory_refreshes_more_often(commands: MemoryModel, often: int) -> None:
    """What refresh takes is in proportion to how often it comes, draining and refilling included."""
    normal, hot = commands.fraction(CONTIGUOUS, 1), commands.fraction(CONTIGUOUS, often)
    assert 1.0 - hot == pytest.approx(often * (1.0 - normal), rel=0.15)


def test_writes_between_reads_turn_the_bus(commands: MemoryModel) -> None:
    reads, mixed = commands.fraction(((0, False), (0, False)), 1), commands.fraction(((0, False), (0, True)), 1)
    assert mixed < 0.95 * reads
    assert commands.fraction(CONTIGUOUS, 1) > reads


def test_a_memory_without_a_map_is_not_run_by_commands() -> None:
    with pytest.raises(UserError, match="address_map"):
        memory_model(load_system("h200"), "command")
    with pytest.raises(UserError, match="--memory-depth command"):
        memory_model(load_system("rngd"), "channel", 2)


def test_stalls_say_what_units_waited_for(llama: Deployment) -> None:
    """All idle and slowed time of a queue is told: with what it is busy with, it makes up the step."""
    piece = _simulated(llama, decode([1024]), Detail("channel"))
    simulation = piece.simulation
    stalls, record, copies = stalls_of(simulation), simulation.record, simulation.copies()
    for engine in ("main", "DMA"):
        queues = [positions for queue, positions in simulation.program.queues.items() if queue.engine == engine]
        busy = np.mean([((record.end - record.start)[own] * copies[own]).sum() for own in queues])
        idle = sum(s for (unit, cause), s in stalls.items() if unit == engine and not cause.startswith("a shared"))
        last = np.mean([record.end[own].max() for own in queues])
        assert busy + idle == pytest.approx(simulation.time_s - (record.time_s - last), rel=1e-6)
    assert stalls["main", "memory: load"] > 0.3 * piece.cost.time_s


def test_a_step_on_a_hot_memory_is_slower_than_the_closed_form_says(llama: Deployment) -> None:
    """Twice and four times as many refreshes: the closed forms know one stream rate."""
    engine = AnalyticEngine(llama)
    closed = engine.cost(decode([1024])).time_s
    normal, twice, often = (
        EventEngine(engine, "rngd", Detail("command", refresh_rate)).cost(decode([1024])).time_s
        for refresh_rate in (1, 2, 4)
    )
    assert normal == pytest.approx(closed, rel=0.02)
    assert twice > 1.06 * closed
    assert often > 1.3 * closed
