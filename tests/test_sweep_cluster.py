"""The same sweep and fleet on a cluster of two workers, Dask's and Ray's, give the answers of a local one.

A worker that is killed in the middle loses nothing.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from npusim.api.fleet_loads import traced_load
from npusim.errors import UserError
from npusim.explore.fleet import traced
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.run import run_sweep
from npusim.explore.sweep.spec import SweepSpec
from npusim.mapping.deployment import deploy
from npusim.serving.slo import parse_slo

LOAD = Path(__file__).parent / "samples" / "load-tiny.yaml"

SPEC = SweepSpec.model_validate(
    {
        "name": "small",
        "arch": "rngd",
        "models": ["llama-3.1-8b"],
        "workloads": [{"isl": 256, "osl": 16, "users": [2]}],
        "vary": {"chip.memory.channel_bandwidth": {"low": "40 GB/s", "high": "80 GB/s", "count": 6}},
        "objectives": {"output_tokens_per_s": "max"},
        "serving": {"requests_per_user": 2},
    }
)


@pytest.fixture
def dask_scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def ray_address() -> Iterator[str]:
    ray = pytest.importorskip("ray.cluster_utils", reason="the extra 'ray' is not installed")
    cluster = ray.Cluster()
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def tables(folder: Path, backend: Backend) -> dict[str, bytes]:
    run_sweep(SPEC, "sweep.yaml", folder, backend)
    return {name: (folder / name).read_bytes() for name in ("points.csv", "pareto.csv")}


def fleet(backend: Backend, monkeypatch: pytest.MonkeyPatch, killed: Path | None = None) -> str:
    """What instances in two cells say of a load; the first worker that begins a cell is killed where `killed` is."""
    load = traced_load(str(LOAD), None, 0)
    assert load is not None
    instance, slo = deploy("rngd", "qwen2.5-0.5b", tokens=2048, cards=1), parse_slo("ttft_p99=1s")
    with monkeypatch.context() as patch:
        if killed is not None:
            patch.setattr(traced, "_traced_cell", _dying(traced._traced_cell, str(killed)))
        return json.dumps(traced.served_trace(instance, load, [2, 2], "prefix_aware", slo, 0, backend))


def _dying(cell: Callable[..., Any], flag: str) -> Callable[..., Any]:
    def run(*call: Any) -> Any:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return cell(*call)
        return os.kill(os.getpid(), signal.SIGKILL)

    return run


def check_fleet(tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fleet(backend, monkeypatch, tmp_path / "killed") == fleet(Backend(), monkeypatch)
    assert (tmp_path / "killed").exists()


def test_dask(tmp_path: Path, dask_scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend("dask", scheduler=dask_scheduler)
    assert tables(tmp_path / "dask", backend) == tables(tmp_path / "local", Backend())
    check_fleet(tmp_path, backend, monkeypatch)


def test_ray(tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend("ray", scheduler=ray_address)
    assert tables(tmp_path / "ray", backend) == tables(tmp_path / "local", Backend())
    check_fleet(tmp_path, backend, monkeypatch)


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    with pytest.raises(UserError, match="--scheduler"):
        tables(tmp_path, Backend("dask", scheduler="tcp://127.0.0.1:1"))
