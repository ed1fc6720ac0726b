"""A run of decode steps gives, to the last bit, what its steps give one by one; a server asks for none of them in
Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import Deploy
from numba.core import types
from serving_support import H200_VLLM, MODEL, RNGD_26_3, with_numbers

from npusim.compilation import DISABLED, entry
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.known_shapes import SHAPES, place_of
from npusim.serving.load import random_load
from npusim.serving.scheduler.elsewhere import calls, machine_code
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed

PLACES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "attention anew": ("h200", MODEL, 1000, {"runtime": "vllm-0.24"}),
    "windows": ("h200", "gpt-oss-20b", 60, {"runtime": "vllm-0.24"}),
    "collectives": ("h200", MODEL, 60, {"cards": 2, "tensor_parallel": 2}),
    "groups": (RNGD_26_3[0], MODEL, 980, {"runtime": RNGD_26_3[1]}),
}
"""Chip, model, tokens that the shortest sequence holds, and how it is deployed."""
STEPS, SEED, COUNTER = 150, 5, 10


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sequences", [1, 7, 64])
def test_a_run_is_its_steps(deployed: Deploy, place: str, sequences: int) -> None:
    arch, model, first, how = PLACES[place]
    engine = AnalyticEngine(deployed(arch, model, **how))
    held = first + np.arange(sequences) * 37
    run = engine.decode_run(held, sequences, STEPS, math.inf, SEED, COUNTER)
    assert len(set(run.times_s.tolist())) > 1
    again = engine.decode_run(held, sequences, STEPS, math.inf, SEED, COUNTER)
    assert again.times_s.tobytes() == run.times_s.tobytes()
    assert (again.parts_j.tobytes(), again.held) == (run.parts_j.tobytes(), run.held)
    for number in range(0, STEPS, 29):
        alone = engine.like(engine.deployment)
        step = alone.decode_run(held + number, sequences, 1, math.inf, SEED, COUNTER + number)
        assert step.times_s[0] == run.times_s[number]
        assert step.energies_j[0] == run.energies_j[number]
        assert step.host_s[0] == run.host_s[number]
    assert step.held == alone.decode_run(held + number, sequences, 1, math.inf, SEED, COUNTER + number).held


def test_shapes_with_the_same_place_are_told_apart(deployed: Deploy) -> None:
    """Two batches whose shapes are kept in one place: each replaces the other, and costs what it costs alone."""
    deployment = deployed(RNGD_26_3[0], MODEL, runtime=RNGD_26_3[1])
    engine, slots = AnalyticEngine(deployment), 1
    shape = np.zeros(3, np.int64)
    places: dict[int, int] = {}
    for slots in range(1, 4 * SHAPES):
        shape[:] = 1, slots, 1
        place = int(place_of(shape, 3))
        if place in places:
            break
        places[place] = slots
    held = np.array([100])
    first = engine.decode_run(held, places[place], 1, math.inf, SEED, 0)
    second = engine.decode_run(held, slots, 1, math.inf, SEED, 0)
    assert second.times_s[0] == engine.like(deployment).decode_run(held, slots, 1, math.inf, SEED, 0).times_s[0]
    assert engine.decode_run(held, places[place], 1, math.inf, SEED, 0).times_s[0] == first.times_s[0]


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
@pytest.mark.parametrize(("arch", "runtime"), [H200_VLLM, RNGD_26_3])
def test_a_server_asks_for_no_run_in_python(
    deployed: Deploy, monkeypatch: pytest.MonkeyPatch, arch: str, runtime: str
) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    load = random_load(300, 20, Closed(4), 12)
    monkeypatch.setattr(AnalyticEngine, "decode_run", pytest.fail)
    monkeypatch.setattr(AnalyticEngine, "mixed_run", pytest.fail)
    assert len(simulate(deployment, load, 0).record.requests) == 12


def test_a_step_without_energy_is_told(deployed: Deploy) -> None:
    deployment = with_numbers(deployed(H200_VLLM[0], MODEL, runtime=H200_VLLM[1]), power_idle=math.nan)
    with pytest.raises(RuntimeError, match="no time or no energy"):
        simulate(deployment, random_load(300, 20, Closed(2), 4), 0)


@entry
def _half(value):  # type: ignore[no-untyped-def]
    return 0.5 / value


_call_half = calls(_half, types.float64)


@entry
def _far_half(code, value):  # type: ignore[no-untyped-def]
    return _call_half(code[0], code[1], (value,))


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_machine_code_of_other_types_is_not_run() -> None:
    code = machine_code(_half, types.float64, (1.0,))
    assert _far_half(code, 4.0) == 0.125
    with pytest.raises(RuntimeError, match="arguments of other types"):
        _far_half(code, 4)
    with pytest.raises(ZeroDivisionError):
        _far_half(code, 0.0)
    with pytest.raises(TypeError, match="returns float64, not int64"):
        machine_code(_half, types.int64, (np.float32(1.0),))
