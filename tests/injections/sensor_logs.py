"""Logs of card sensors, sound ones and such as no sensor writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from lab_files import noisy

Watts = np.ndarray
"""Of two cards, (samples, 2)."""
SAMPLES = 120


def sound(mean: float = 140.0, seed: int = 7) -> Watts:
    base = noisy(mean, SAMPLES)
    noise = np.random.default_rng(seed).normal(0.0, 2.0, SAMPLES)
    return np.stack([base, np.round(base + noise, 2)], axis=1)


def write(folder: Path, watts: Watts, day: str = "2026-10-14", order: int = 1, gap: int = 0) -> Path:
    lines = ["timestamp,npu0_soc_temp,npu0_power,npu1_soc_temp,npu1_power"]
    seconds = [at + (gap if at > SAMPLES // 2 else 0) for at in range(len(watts))][::order]
    for second, (one, other) in zip(seconds, watts.tolist(), strict=True):
        lines.append(f"{day} 12:{second // 60:02d}:{second % 60:02d},55.0,{one:.6g},56.0,{other:.6g}")
    path = folder / "sensor_log_20261014.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


LOGS: dict[str, Callable[[Path], Path]] = {
    "a sensor that never moves": lambda at: write(at, np.full((SAMPLES, 2), 140.25)),
    "two cards with one sensor": lambda at: write(at, np.repeat(sound()[:, :1], 2, axis=1)),
    "a part that stands twice": lambda at: write(at, np.tile(sound()[: SAMPLES // 2], (2, 1))),
    "watts of four cards": lambda at: write(at, 4.0 * sound()),
    "watts in kW": lambda at: write(at, 1e-3 * sound()),
    "watts in mW": lambda at: write(at, 1e3 * sound()),
    "watts below those at rest": lambda at: write(at, sound(12.0)),
    "negative watts": lambda at: write(at, -sound()),
    "time that goes back": lambda at: write(at, sound(), order=-1),
    "an hour left out": lambda at: write(at, sound(), gap=1800),
    "date in 2031": lambda at: write(at, sound(), day="2031-10-14"),
}
