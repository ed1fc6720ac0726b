"""How fast the compiled core of the event engine is: `pytest benchmarks --benchmark-only`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event import chip
from npusim.engine.event.engine import EventEngine
from npusim.mapping.deployment import deploy
from npusim.workload.step import decode

CASES = {
    "one chip": ("rngd", "llama-3.1-8b", None, 64),
    "TP4": ("rngd-server", "llama-3.3-70b", "tp4", 8),
    "EP16": ("rngd-plus-max", "a.x-k1", "tp4-dp4-ep16", 16),
}


@pytest.mark.parametrize("name", CASES)
def test_event_core(benchmark: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Events of a decode step per CPU-second of the loop from event to event, in the same step's second run."""
    arch, model, plan, batch = CASES[name]
    engine = EventEngine(AnalyticEngine(deploy(arch, model, plan=plan)), arch)
    step, spent, run_loop = decode(np.full(batch, 1024)), [0.0], chip.run_loop

    def timed(*tables: Any) -> int:
        started = time.process_time()
        status: int = run_loop(*tables)
        spent[0] += time.process_time() - started
        return status

    engine.simulated(step)
    monkeypatch.setattr(chip, "run_loop", timed)
    rates: list[float] = []

    def work() -> None:
        spent[0] = 0.0
        pieces = engine.simulated(step)
        rates.append(sum(piece.simulation.events for piece in pieces) / spent[0])

    benchmark.pedantic(work, rounds=3)
    benchmark.extra_info["events_per_cpu_s"] = [max(rates), "1,000,000 or more"]
