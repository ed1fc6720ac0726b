"""The benchmark of the event core runs: it takes the place of a function that it knows by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).parents[1] / "benchmarks" / "bench_event.py"


class _Once:
    """Stands for the benchmark fixture and runs the work once."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}

    def pedantic(self, work: Callable[[], None], rounds: int) -> None:
        assert rounds >= 1
        work()


def test_the_event_core_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("bench_event", _FILE)
    assert spec is not None and spec.loader is not None
    module, once = importlib.util.module_from_spec(spec), _Once()
    spec.loader.exec_module(module)
    module.test_event_core(once, monkeypatch, "one chip")
    measured, aim = once.extra_info["events_per_cpu_s"]
    assert measured > 10_000 and aim.startswith("1,000,000")
