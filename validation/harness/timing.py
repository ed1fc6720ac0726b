"""Timing of captured CUDA graphs by device events, and board power while they run."""

from __future__ import annotations

import math
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]

_REST_S = 0.3
_WARM_UP_S = 1.0
_MOST_CALLS, _MOST_REPLAYS = 400, 60


@dataclass(frozen=True)
class Spread:
    """Median, 5th and 95th percentile of a call, microseconds."""

    us: float
    us_p5: float
    us_p95: float


@dataclass(frozen=True)
class Sustained:
    """Mean microseconds of a replay, mean board watts, and the last SM clock in MHz."""

    us: float
    power_w: float
    sm_clock_mhz: float


def graph_of(calls: Sequence[Call], warm_up: int = 2) -> torch.cuda.CUDAGraph:
    """One graph of all `calls` in order, after each of the first few ran on a stream of its own."""
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(warm_up):
            for call in calls[:3]:
                call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def timed_calls(calls: Sequence[Call], budget_s: float = 0.1, graph_s: float = 2e-3) -> Spread:
    """Time of one of `calls`, which do the same work on operands of their own: replays over the calls in a graph."""
    one = _rough_seconds(calls[0])
    count = 1 if one > graph_s else min(_MOST_CALLS, max(len(calls), math.ceil(graph_s / one)))
    graph = graph_of([calls[index % len(calls)] for index in range(count)])
    graph.replay()
    torch.cuda.synchronize()
    return _spread(graph, budget_s, 5, count)


def timed_burst(graph: torch.cuda.CUDAGraph, budget_s: float = 0.2) -> Spread:
    """Replays on a rested chip, before the power limit has settled."""
    time.sleep(_REST_S)
    return _spread(graph, budget_s, 4, 1)


def timed_sustained(graph: torch.cuda.CUDAGraph, seconds: float = 3.0) -> Sustained:
    """Replays for `seconds` after a second of warm-up."""
    _replay_for(graph, _WARM_UP_S)
    watts: list[float] = []
    clocks: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            watts.append(reading("power.draw.instant"))
            clocks.append(reading("clocks.sm"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    replays = _replay_for(graph, seconds)
    end.record()
    torch.cuda.synchronize()
    done.set()
    watcher.join()
    inner = watts[1:-1]
    return Sustained(begin.elapsed_time(end) * 1e3 / replays, sum(inner) / len(inner), clocks[-1])


def reading(field: str) -> float:
    """A field of nvidia-smi for the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


def _rough_seconds(call: Call) -> float:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    return max((time.perf_counter() - start) / 5, 1e-6)


def _spread(graph: torch.cuda.CUDAGraph, budget_s: float, least: int, calls: int) -> Spread:
    times: list[float] = []
    spent_us = 0.0
    while len(times) < least or (spent_us < budget_s * 1e6 and len(times) < _MOST_REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / calls)
        spent_us += times[-1] * calls
    told = torch.tensor(times if calls > 1 else times[1:])
    return Spread(*(float(told.quantile(part)) for part in (0.5, 0.05, 0.95)))


def _replay_for(graph: torch.cuda.CUDAGraph, seconds: float) -> int:
    replays, until = 0, time.time() + seconds
    while time.time() < until:
        for _ in range(4):
            graph.replay()
            replays += 1
        torch.cuda.synchronize()
    return replays
