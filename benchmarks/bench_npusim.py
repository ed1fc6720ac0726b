"""How fast npusim is, in CPU-seconds of one core after compilation: `pytest benchmarks --benchmark-only`.

`extra_info` holds the figures as [figure, aim].
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numba import njit

import npusim
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.run import cost_sequences, make_workspace
from npusim.mapping.deployment import deploy
from npusim.serving.load import Load, random_load
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed, Poisson
from npusim.workload.prompts import Segment, random_prompts
from npusim.workload.step import decode

MODEL = "llama-3.1-8b"
ARCHS = ("rngd", "h200")
RUNTIMES = {"h200": "vllm-0.24"}
"""Of servers, where it is not the chip's default."""
STEPS = 20_000
CALLS = 2_000
QUIET_S = 0.55
"""CPU-seconds of `_add` on the core for which the aims of servers are meant, when nobody else works on it."""
ISL, OSL, USERS, REQUESTS = 1024, 256, 64, 4096
COMMANDS = (
    ["list", "archs"],
    ["show", "rngd"],
    ["step", "rngd", MODEL, "--phase", "decode", "--batch", "1", "--context", "1024"],
    ["run", "rngd", MODEL, "--isl", "128", "--osl", "16", "--concurrency", "1"],
)
GRID_CHILD = """
import json, sys, time
from npusim.kperf.runner import run_grid
run_grid(["rngd"], ["llama-3.1-8b"], "quick", intervals=False, workers=1)
started = time.process_time()
result = run_grid(["rngd"], ["llama-3.1-8b"], intervals=sys.argv[1] == "intervals", workers=1)[0]
print(json.dumps([time.process_time() - started, len(result.cells), int(result.cells["requests"].sum())]))
"""
RSS_CHILD = """
import resource, subprocess, sys
words = [sys.executable, "-c", sys.stdin.read(), *sys.argv[1:]]
print(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def _cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _add() -> int:
    """Ten million additions: what the core does at the time of a measurement, on which others may work too."""
    total = 0
    for number in range(10_000_000):
        total += number
    return total


def _record(benchmark: Any, **figures: tuple[float, str]) -> None:
    for name, (figure, aim) in figures.items():
        benchmark.extra_info[name] = [figure, aim]


@njit
def _price(steps, template, query, context, decoding, slots, machines, runtimes, work):  # type: ignore[no-untyped-def]
    """Lower, specialise and cost one step `steps` times over; returns the number of operators costed."""
    operators = 0
    for _ in range(steps):
        operators += cost_sequences(template, query, context, decoding, slots, machines, runtimes, work)
    return operators


@pytest.mark.parametrize("arch", ARCHS)
def test_layer_costs(benchmark: Any, arch: str) -> None:
    """Lower, specialise and cost the operators of a decode step; a kind of layer is costed once a step."""
    deployment = deploy(arch, MODEL)
    engine, step = AnalyticEngine(deployment), decode([ISL + 9 * index for index in range(16)])
    work = make_workspace(engine.template, len(step.query), 1)
    words = (
        engine.template,
        step.query,
        step.context,
        step.decoding,
        step.slots,
        deployment.machine,
        deployment.runtime_record,
    )
    operators = _price(1, *words, work)
    seconds: list[float] = []
    benchmark.pedantic(lambda: seconds.append(_cpu_seconds(lambda: _price(STEPS, *words, work))), rounds=3)
    _record(benchmark, ops_per_cpu_s=(STEPS * operators / min(seconds), "1,000,000 or more"))


@pytest.mark.parametrize("arch", ARCHS)
def test_steps_in_a_loop(benchmark: Any, arch: str) -> None:
    """Decode steps of 8 sequences, each a call of `npusim.step`."""

    def steps() -> None:
        for longer in range(CALLS):
            npusim.step(arch, MODEL, phase="decode", batch=8, context=ISL + longer)

    steps()
    seconds: list[float] = []
    benchmark.pedantic(lambda: seconds.append(_cpu_seconds(steps)), rounds=3)
    _record(benchmark, steps_per_cpu_s=(CALLS / min(seconds), "5,000 or more"))


def _loads() -> dict[str, tuple[Load, dict[str, str]]]:
    """What is served, with the aim in requests per CPU-second by architecture."""
    generator = np.random.default_rng(1)
    ragged = generator.integers((ISL * 4 // 5, OSL * 4 // 5), (ISL + 1, OSL + 1), (REQUESTS, 2)).tolist()
    systems, questions = generator.integers(0, 8, (2, REQUESTS)).tolist()
    tree = [
        (Segment(system, 512), Segment(8 + 8 * system + question, 256), Segment(72 + index, 256))
        for index, (system, question) in enumerate(zip(systems, questions, strict=True))
    ]
    own = random_prompts(REQUESTS, ISL)
    return {
        "closed": (Load(ISL, OSL, Closed(USERS), own), {"rngd": "60,000 or more", "h200": "40,000 or more"}),
        "ragged": (Load(ISL, OSL, Closed(USERS), own, ragged), dict.fromkeys(ARCHS, "25,000 or more")),
        "poisson": (Load(ISL, OSL, Poisson(8.0), own), dict.fromkeys(ARCHS, "20,000 or more")),
        "tree": (Load(ISL, OSL, Closed(USERS), tree), dict.fromkeys(ARCHS, "20,000 or more")),
    }


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("kind", ["closed", "ragged", "poisson", "tree"])
def test_serving(benchmark: Any, arch: str, kind: str) -> None:
    """4,096 requests, 1,024 tokens in and 256 out: 64 users, lengths of 0.8 to 1, 8 requests/s, 64 shared prefixes."""
    deployment = deploy(arch, MODEL, runtime=RUNTIMES.get(arch))
    engine = AnalyticEngine(deployment)
    load, aims = _loads()[kind]
    simulate(deployment, random_load(ISL, OSL, Closed(USERS), USERS), 0, engine)
    seconds, additions = [], _cpu_seconds(_add)
    benchmark.pedantic(
        lambda: seconds.append(_cpu_seconds(lambda: simulate(deployment, replace(load), 0, engine))), rounds=3
    )
    rate = REQUESTS / min(seconds)
    _record(
        benchmark,
        requests_per_cpu_s=(rate, aims[arch]),
        on_a_core_of_0_55_s=(rate * additions / QUIET_S, aims[arch]),
    )


@pytest.mark.parametrize(
    ("kind", "aim"), [("values", "2 or less"), ("intervals", "5 or less")], ids=["values", "intervals"]
)
def test_default_grid(benchmark: Any, kind: str, aim: str) -> None:
    """The whole default grid of one model in a process of its own."""
    answers: list[str] = []

    def work() -> None:
        done = subprocess.run(
            [sys.executable, "-c", RSS_CHILD, kind], input=GRID_CHILD, capture_output=True, text=True, check=True
        )
        answers.append(done.stdout)

    benchmark.pedantic(work, rounds=1)
    figures, peak_bytes = answers[-1].splitlines()
    cpu_s, cells, requests = json.loads(figures)
    _record(
        benchmark,
        cpu_s=(cpu_s, aim),
        peak_memory_mb=(int(peak_bytes) / 1e6, "600 or less"),
        cells=(cells, ""),
        requests=(requests, ""),
    )


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_start(benchmark: Any, words: list[str]) -> None:
    """CPU time of small commands in a process of their own, kernels and descriptions in the cache."""
    command = [sys.executable, "-m", "npusim", *words, "--json"]
    seconds: list[float] = []

    def work() -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
    _record(benchmark, cpu_s=(min(seconds), "0.9 or less"))


def test_help(benchmark: Any) -> None:
    """Wall time of `npusim --help` in a process of its own."""
    words = [sys.executable, "-m", "npusim", "--help"]
    benchmark.pedantic(lambda: subprocess.run(words, capture_output=True, check=True), rounds=5, warmup_rounds=1)
    _record(benchmark, wall_s=(benchmark.stats.stats.median, "0.5 or less"))
