"""A chip that nobody described fully, numbers that it hides, and tables of its steps, for tests of their fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from npusim.evidence.calibration.posterior import value_at
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.step_table import StepTable, step_cases
from npusim.hardware.catalog import load_system

MODEL, PRECISION = "llama-3.2-1b", "bf16"
NOISE = 0.02
WIDE = """inherits: tpu-v5e
name: mine
title: a chip that nobody described fully
aliases: []
calibration: fitted.yaml
chip:
  unit:
    clock: {value: 1.4 GHz, kind: assumed, source: a guess, low: 0.9 GHz, high: 2 GHz}
  memory:
    channel_bandwidth: {value: 50 GB/s, kind: assumed, source: a guess, low: 30 GB/s, high: 90 GB/s}
"""
"""Beside these, nearly all numbers of the chip that it inherits from are assumed, with ranges."""
Row = tuple[int, int, int]
"""Sequences, their contexts with the new tokens, and new tokens, 0 for decoding."""
DECODING: list[Row] = [(batch, context, 0) for batch in (1, 4, 16, 64) for context in (128, 4096)]
CHUNKS: list[Row] = [(1, chunk + past, chunk) for chunk in (64, 512, 4096) for past in (0, 2048)]
HELD_OUT: list[Row] = [
    *((2, 512, 0), (8, 2048, 0), (32, 256, 0), (48, 4096, 0)),
    *((1, 128, 128), (1, 1536, 512), (1, 2048, 2048)),
]
HEADER = "batch,context,chunk,time_us"


def wide_chip(folder: Path) -> str:
    path = folder / "mine.yaml"
    path.write_text(WIDE, encoding="utf-8")
    return str(path)


def write(path: Path, rows: Sequence[Row], times: Sequence[float] | np.ndarray, header: str = HEADER) -> Path:
    cells = [f"{batch},{context},{chunk},{time:.6g}" for (batch, context, chunk), time in zip(rows, times, strict=True)]
    path.write_text("\n".join([header, *cells]) + "\n", encoding="utf-8")
    return path


def told(path: Path) -> StepTable:
    return StepTable(path, MODEL, PRECISION, tensor_parallel=1)


def hidden(seed: int, arch: str) -> dict[str, float]:
    """How many prior standard deviations off each number of the chip and its runtime is, within its range.

    Numbers that are described as one are one.
    """
    system = load_system(arch, uncalibrated=True)
    drawn, owners = np.random.default_rng(seed), (system.name, system.runtime)
    groups = [members for members in Problem(system, [], 0).numbers if members[0].owner in owners]
    return {
        f"{number.owner}.{number.label}": coordinate
        for members, coordinate in zip(groups, drawn.uniform(-1.3, 1.3, len(groups)).tolist(), strict=True)
        for number in members
    }


def values(coordinates: Mapping[str, float], arch: str) -> dict[str, float]:
    """The hidden numbers themselves."""
    numbers = Problem(load_system(arch, uncalibrated=True), [], 0, apart=True).numbers
    named = {f"{number.owner}.{number.label}": number for members in numbers for number in members}
    return {name: value_at(named[name], coordinate) for name, coordinate in coordinates.items()}


def times_at(rows: Sequence[Row], coordinates: Mapping[str, float], folder: Path, arch: str) -> np.ndarray:
    """Microseconds of those steps on the chip with these numbers, the others as described."""
    table = write(folder / "shapes.csv", rows, [1.0] * len(rows))
    made = Problem(load_system(arch, uncalibrated=True), step_cases(told(table), arch).cases, 0, apart=True)
    z = [coordinates.get(f"{number.owner}.{number.label}", 0.0) for (number,) in made.numbers]
    return made.predicted(np.array(z))


def noisy(times: np.ndarray, seed: int) -> np.ndarray:
    noise: np.ndarray = times * np.exp(np.random.default_rng(seed).normal(0.0, NOISE, len(times)))
    return noise
