"""Units in memory under the event engine: alone they take the closed form, beside host traffic they share the banks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.command import DMA, UNITS
from npusim.engine.event.core.state import BANKS
from npusim.engine.event.engine import EventEngine, SimulatedPiece
from npusim.engine.event.stalls import stalls_of
from npusim.hardware.changes import as_changes
from npusim.mapping.deployment import Deployment
from npusim.workload.step import Step, decode

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]

SERVED = [
    ("rngd-hbm3e-pim", "bf16", decode([2048])),
    ("lpddr5x-pim", "w8a16", decode([2048])),
    ("lpddr5x-pim", "w8a16", decode([2048] * 16)),
    ("hbm-pim-card", "bf16", decode([2048])),
]


@pytest.mark.parametrize(("arch", "precision", "step"), SERVED, ids=lambda value: str(value)[:20])
def test_engines_agree_on_steps_with_units(deployed: Deploy, arch: str, precision: str, step: Step) -> None:
    engine = AnalyticEngine(deployed(arch, "llama-3.1-8b", uncalibrated=True, precision=precision))
    event, analytic = EventEngine(engine, arch).cost(step), engine.cost(step)
    assert analytic.shares_s["pim"] > 0.0
    assert event.shares_s["pim"] == pytest.approx(analytic.shares_s["pim"], rel=0.02)
    assert event.time_s == pytest.approx(analytic.time_s, rel=0.02)


def _attention_in_memory(deployed: Deploy, altered: Alter, beside: float) -> SimulatedPiece:
    """Attention on the units, and products on the chip, whose weights are fetched ahead as far as eight tiles."""
    deployment = deployed("rngd-hbm3e-pim", "llama-3.1-8b", uncalibrated=True, offload="attention")
    contended = altered(
        deployment,
        paths_attention_execution=1e-2,
        path_graph=1,
        tcp_dma_queue=8.0,
        pim_sharing_beside_host=beside,
    )
    (piece,) = EventEngine(AnalyticEngine(contended), "rngd-hbm3e-pim").simulated(decode([8192] * 4))
    return piece


def test_units_and_host_traffic_share_the_banks(deployed: Deploy, altered: Alter) -> None:
    """Weights that are fetched ahead wait while units hold all banks; where the memory lets both in, they do not."""
    alone, beside = (_attention_in_memory(deployed, altered, part) for part in (0.0, 1.0))
    assert any(command.queue.engine == UNITS for command in alone.simulation.program.commands)
    lost = [float(piece.simulation.record.lost[:, BANKS].sum()) for piece in (alone, beside)]
    assert lost[0] > 100e-6
    assert lost[1] < 0.01 * lost[0]
    assert alone.cost.time_s > 1.02 * beside.cost.time_s
    assert stalls_of(alone.simulation)[DMA, "a shared PIM banks"] > 0.0


def test_no_host_byte_passes_while_units_hold_all_banks(deployed: Deploy, altered: Alter) -> None:
    simulation = _attention_in_memory(deployed, altered, 0.0).simulation
    record = simulation.record
    rates = record.rate
    for position, command in enumerate(simulation.program.commands):
        if command.queue.engine == UNITS:
            start, end = record.start[position] + command.fixed_s, record.end[position]
            inside = [rate for time, rate in rates if start < time < end]
            assert max(inside, default=0.0) <= 1e-3 * simulation.setting.memory_bytes_per_s


def test_no_host_byte_passes_while_the_mode_is_switched(deployed: Deploy, altered: Alter) -> None:
    """Mode registers are written over the channel's own pins, so that host traffic stands still even where it passes
    beside units that compute; the switches and the computing are the closed form's time of the units."""
    simulation = _attention_in_memory(deployed, altered, 1.0).simulation
    record, passing, seconds = simulation.record, {"enter": 0.0, "compute": 0.0, "leave": 0.0}, 0.0
    of_units = [(at, each) for at, each in enumerate(simulation.program.commands) if each.queue.engine == UNITS]
    assert [each.what for _, each in of_units[:3]] == list(passing)
    for position, command in of_units:
        start, end = record.start[position], record.end[position]
        times, rates = np.array(record.rate).T
        at = np.searchsorted(times, (start + end) / 2.0) - 1
        passing[command.what] = max(passing[command.what], rates[at])
        seconds += (end - start) * simulation.copies()[position]
    assert simulation.setting.costs is not None
    told = float((simulation.setting.costs["pim_s"] * simulation.rows["repeat"]).sum())
    assert seconds == pytest.approx(told, rel=1e-6)
    assert passing["compute"] > 0.5 * simulation.setting.memory_bytes_per_s
    assert max(passing["enter"], passing["leave"]) <= 1e-3 * simulation.setting.memory_bytes_per_s


@pytest.fixture
def shared_banks(deployed: Deploy, altered: Alter, request: pytest.FixtureRequest) -> Deployment:
    """LPDDR6-PIM whose banks let most of the host's traffic pass beside units."""
    changes = as_changes({"runtime.kv.precision": "int8"})
    shipped = deployed("lpddr6-pim", "llama-3.1-8b", uncalibrated=True, precision=request.param, changes=changes)
    return altered(shipped, pim_sharing_beside_host=0.9)


@pytest.mark.parametrize("shared_banks", ["w4a8"], indirect=True)
def test_two_sub_batches_take_turns_on_chip_and_units(shared_banks: Deployment, altered: Alter) -> None:
    step = decode([2048] * 128)
    engine = AnalyticEngine(shared_banks, max_sequences=128)
    (piece,) = EventEngine(engine, "lpddr6-pim").simulated(step)
    whole = AnalyticEngine(altered(shared_banks, offload_sub_batches=1.0), max_sequences=128)
    assert engine.cost(step).sub_batches == 2 and whole.cost(step).sub_batches == 1
    assert piece.cost.time_s < 0.8 * EventEngine(whole, "lpddr6-pim").cost(step).time_s
    assert piece.cost.time_s == pytest.approx(engine.cost(step).time_s, rel=0.1)
    simulation, second = piece.simulation, piece.simulation.setting.second
    assert second is not None and len(simulation.rows) == 2 * second
    beside, units_s = 0.0, 0.0
    for start, end, batch in _spans(piece, UNITS):
        units_s += end - start
        beside += sum(
            max(0.0, min(end, last) - max(start, first)) for first, last, other in _spans(piece, DMA) if other != batch
        )
    assert beside > 0.5 * units_s, "while units compute for one, weights stream for the other"


def _spans(piece: SimulatedPiece, engine: str) -> list[tuple[float, float, int]]:
    """Start, end and sub-batch of the commands of an engine that are written out."""
    record, setting = piece.simulation.record, piece.simulation.setting
    return [
        (float(record.start[at]), float(record.end[at]), setting.sub_batch(each.position.row))
        for at, each in enumerate(piece.simulation.program.commands)
        if each.queue.engine == engine
    ]


@pytest.mark.parametrize("shared_banks", ["int8"], indirect=True)
def test_the_head_of_two_sub_batches_has_no_units_beside_it(shared_banks: Deployment, altered: Alter) -> None:
    """The closed form has all of the chip's traffic pass beside all of the units' work. But both sub-batches read the
    LM head when their layers are done, and with all products on units that is most of the traffic."""
    times, step = {}, decode([2048] * 2)
    for parts in (1, 2):
        engine = AnalyticEngine(altered(shared_banks, offload_sub_batches=float(parts)))
        assert engine.cost(step).sub_batches == parts
        times[parts] = engine.cost(step).time_s, EventEngine(engine, "lpddr6-pim").cost(step).time_s
    assert times[2][0] < 0.95 * times[1][0]
    assert times[2][1] > 1.05 * times[1][1]
