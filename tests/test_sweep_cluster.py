"""The same sweep on a cluster of two workers, Dask's and Ray's, gives the tables of a local one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.run import run_sweep
from npusim.explore.sweep.spec import SweepSpec

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


def test_dask(tmp_path: Path, dask_scheduler: str) -> None:
    cluster = tables(tmp_path / "dask", Backend("dask", scheduler=dask_scheduler))
    assert cluster == tables(tmp_path / "local", Backend())


def test_ray(tmp_path: Path, ray_address: str) -> None:
    cluster = tables(tmp_path / "ray", Backend("ray", scheduler=ray_address))
    assert cluster == tables(tmp_path / "local", Backend())


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    with pytest.raises(UserError, match="--scheduler"):
        tables(tmp_path, Backend("dask", scheduler="tcp://127.0.0.1:1"))
