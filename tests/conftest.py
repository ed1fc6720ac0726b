"""Deployments and engines, built once for the whole run: the kernels compile on first use and are cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import settings

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment, deploy

settings.register_profile("npusim", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("npusim")


pytest_plugins = ("no_skips",)

Deploy = Callable[..., Deployment]
MakeEngine = Callable[..., AnalyticEngine]
Alter = Callable[..., Deployment]


@pytest.fixture(autouse=True)
def wide_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts come out as in a file, whatever width the libraries under test leave in the environment."""
    monkeypatch.delenv("COLUMNS", raising=False)


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
