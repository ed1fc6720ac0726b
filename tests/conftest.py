"""Deployments and engines, built once for the whole run: the kernels compile on first use and are cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import npusim
from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment, deploy

settings.register_profile("npusim", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("npusim")

Deploy = Callable[..., Deployment]
MakeEngine = Callable[..., AnalyticEngine]
Alter = Callable[..., Deployment]


def pytest_configure() -> None:
    """Drop compiled kernels older than what they were compiled from: a caller's cache misses a change of a callee."""
    package = Path(npusim.__file__).parent
    codes = [package / "dtypes.py", package / "hardware" / "machine.py", package / "hardware" / "runtime_record.py"]
    kernels = [source for source in package.rglob("*.py") if "@njit" in source.read_text(encoding="utf-8")]
    newest = max(source.stat().st_mtime for source in codes + kernels)
    compiled = list(package.rglob("*.nb[ic]"))
    if any(file.stat().st_mtime < newest for file in compiled):
        for file in compiled:
            file.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def deployed() -> Deploy:
    """`deployed(arch, model, **options of deploy)`, remembered."""
    return cache(deploy)


@pytest.fixture(scope="session")
def engine_of(deployed: Deploy) -> MakeEngine:
    """`engine_of(arch, model, **options of deploy)`: an analytic engine, remembered."""

    @cache
    def make(arch: str, model: str, **options: Any) -> AnalyticEngine:
        return AnalyticEngine(deployed(arch, model, **options))

    return make


@pytest.fixture(scope="session")
def altered() -> Alter:
    """`altered(deployment, field=value, ...)`: the deployment with other numbers in its flat records."""

    def alter(deployment: Deployment, **values: float) -> Deployment:
        machine, runtime = deployment.machine.copy(), deployment.runtime_record.copy()
        for name, value in values.items():
            record = machine if name in (machine.dtype.names or ()) else runtime
            record[name] = value
        return deployment.with_records(machine, runtime)

    return alter
