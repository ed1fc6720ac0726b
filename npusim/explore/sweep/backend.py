"""Where tasks run: processes of this machine, or the workers of an existing Dask or Ray cluster, through joblib."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from npusim.errors import UserError
from npusim.inputs import InputFile, recording, touch
from npusim.workers import spread

Task = Callable[..., Any]
"""Its calls and results are sent between processes."""
Results = Generator[tuple[str, Any], None, None]
Recorded = Generator[tuple[str, Any, tuple[InputFile, ...]], None, None]
BackendName = Literal["local", "dask", "ray"]
_WAVE = 64
"""Tasks that a Ray cluster is given at once: its joblib backend hands results back only when all are done."""


@dataclass(frozen=True)
class Backend:
    """workers: most processes of a local run; scheduler: address of the cluster, None for the one that is found."""

    name: BackendName = "local"
    workers: int = 1
    scheduler: str | None = None

    def run(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Results:
        """(name, result) of every named call, in the order in which they end.

        Files that a worker read are recorded in this process. Raises UserError where no cluster answers.
        """
        with contextlib.closing(
            self._local(task, calls) if self.name == "local" else self._remote(task, calls)
        ) as found:
            for name, result, files in found:
                touch(*files)
                yield name, result

    def _local(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Recorded:
        named = [(task, *call) for call in calls]
        for _, found in spread(_named, named, self.workers):
            yield found

    def _remote(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Recorded:
        from joblib import Parallel, delayed

        work = delayed(_named)
        with _dask(self.scheduler) if self.name == "dask" else _ray(self.scheduler):
            jobs = (work(task, name, call) for name, call in calls)
            if self.name == "dask":
                yield from Parallel(return_as="generator_unordered")(jobs)
            while wave := list(itertools.islice(jobs, _WAVE)):
                yield from Parallel()(wave)


def _named(task: Task, name: str, call: tuple[Any, ...]) -> tuple[str, Any, tuple[InputFile, ...]]:
    """The result with the files that it was worked out from."""
    with recording() as read:
        result = task(*call)
    return name, result, read.files


@contextlib.contextmanager
def _dask(scheduler: str | None) -> Iterator[None]:
    _require("dask", "distributed")
    from distributed import Client
    from joblib import parallel_config

    if scheduler is None:
        raise UserError("--scheduler", "", "a Dask cluster needs its address, such as tcp://host:8786")
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise UserError("--scheduler", "", f"no Dask scheduler answers at {scheduler}") from error
    with client, parallel_config("dask", n_jobs=-1):
        yield


@contextlib.contextmanager
def _ray(scheduler: str | None) -> Iterator[None]:
    _require("ray", "ray")
    import ray
    from joblib import parallel_config
    from ray.util.joblib import register_ray

    try:
        ray.init(address=scheduler or "auto", log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UserError("--scheduler", "", f"no Ray cluster answers at {scheduler or 'auto'}") from error
    try:
        register_ray()
        with parallel_config("ray", n_jobs=-1):
            yield
    finally:
        ray.shutdown()


def _require(extra: str, module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError("--backend", "", f"{extra} is not installed; pip install 'npusim[{extra}]'")
