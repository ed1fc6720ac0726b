"""Small problems through every kernel: figures as exact hexadecimal floats, JSON on stdout where it is run as a script.

`test_plain_kernels` compares what compiled kernels give with what the same code gives as plain Python.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import cost_designs
from npusim.engine.event.engine import EventEngine
from npusim.hardware.catalog import load_memory
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.hardware.draws import draw
from npusim.mapping.deployment import Deployment, deploy
from npusim.serving.load import random_load
from npusim.serving.simulate import simulate
from npusim.serving.step_log import StepLog
from npusim.serving.ttft_parts import ttft_parts
from npusim.workload.arrivals import Closed
from npusim.workload.step import Step, decode, mixed, prefill

DENSE, MIXTURE, LATENT = "qwen2.5-7b", "qwen3-30b-a3b", "kanana-2-30b-a3b"
CHIPS: list[tuple[str, str, dict[str, str | int]]] = [
    ("rngd", DENSE, {}),
    ("rngd", MIXTURE, {"cards": 2, "precision": "fp8"}),
    ("h200", DENSE, {"precision": "fp8"}),
    ("h200", LATENT, {"cards": 2}),
    ("rngd-hbm3e-pim", DENSE, {}),
    ("hbm-pim-card", DENSE, {}),
    ("tpu-v5e", DENSE, {"cards": 4, "precision": "int8"}),
    ("tpu-v5e", MIXTURE, {"cards": 8}),
    ("hyperaccel-orion", DENSE, {"cards": 4}),
    ("hyperaccel-orion", LATENT, {"cards": 8}),
]
STEPS = {"decode": decode([100, 900, 1500]), "prefill": prefill(1, 100, 300)}
MIXED = {"mixed": mixed([100, 900], [(64, 64), (100, 200)])}


def figures() -> dict[str, list[str]]:
    """Times, energies and shares of small steps, runs and command streams, each chip, step and engine under a name."""
    found = {}
    for arch, model, asked in CHIPS:
        deployment = deploy(arch, model, **asked)  # type: ignore[arg-type]
        for name, values in _of_chip(deployment):
            found[f"{arch} {model} {name}"] = [float(value).hex() for value in values]
    for pattern in ("seq", "random"):
        run = measure_channel(load_memory("hbm3-6400"), Traffic(pattern=pattern, requests=200, outstanding=16))
        found[f"dram {pattern}"] = [
            float(value).hex() for value in dataclasses.asdict(run).values() if isinstance(value, float)
        ]
    return found


def _of_chip(deployment: Deployment) -> Iterator[tuple[str, Iterable[float]]]:
    engine = AnalyticEngine(deployment)
    steps = STEPS | (MIXED if deployment.runtime.policy.kind == "hybrid" else {})
    for name, step in steps.items():
        yield name, _of_step(engine, step)
    run = engine.decode_run(np.array([300, 1020]), 2, 6, 1e9, 1, 0)
    yield "run", [*run.times_s, *run.energies_j, float(run.held)]
    machines, runtimes = draw(deployment.system, deployment.runtime, 2, 0)
    served = simulate(deployment, random_load(40, 3, Closed(2), 3), 1, engine)
    yield "served", [*served.record.interval_s, *served.record.span_s, *served.record.span_j, served.kv.peak]
    costs = cost_designs(engine, STEPS["decode"], deployment.with_records(machines, runtimes).machine, runtimes)
    yield "designs", [*costs.time_s, *costs.energy_j]
    if deployment.system.chip.unit.kind == "contraction_processor" and deployment.offload == "none":
        cost = EventEngine(engine, deployment.system.name).cost(STEPS["decode"])
        yield "event", [cost.time_s, cost.energy_j]
        log = StepLog()
        served = simulate(deployment, random_load(40, 3, Closed(2), 3), 1, engine, log=log)
        yield "explained", ttft_parts(served, log).seconds.ravel()


def _of_step(engine: AnalyticEngine, step: Step) -> list[float]:
    cost = engine.cost(step)
    return [cost.time_s, cost.energy_j, *cost.shares_s.values(), cost.memory_bytes, cost.flops, cost.clock]


if __name__ == "__main__":
    json.dump(figures(), sys.stdout)
