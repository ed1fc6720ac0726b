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
