"""Where tasks run: processes of this machine, or the workers of an existing Dask (through joblib) or Ray cluster.

A task whose worker is gone is begun anew on another one.
"""

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
"""Most tasks that a Ray cluster has at once."""
_RETRIES = 3
"""Times that Ray begins a task anew whose worker is gone."""


@dataclass(frozen=True)
class Backend:
    """workers: most processes of a local run; scheduler: address of the cluster, None for the one that is found."""

    name: BackendName = "local"
    workers: int = 1
    scheduler: str | None = None

    def run(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]], at_once: bool = False) -> Results:
        """(name, result) of every named call, in the order in which they end. at_once: as `workers.spread` says.

        Files that a worker read are recorded in this process. Raises UserError where no cluster answers.
        """
        with contextlib.closing(
            self._local(task, calls, at_once) if self.name == "local" else self._remote(task, calls)
        ) as found:
            for name, result, files in found:
                touch(*files)
                yield name, result

    def _local(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]], at_once: bool) -> Recorded:
        named = [(task, *call) for call in calls]
        for _, found in spread(_named, named, self.workers, at_once):
            yield found

    def _remote(self, task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Recorded:
        if self.name == "ray":
            with _ray(self.scheduler):
                yield from _by_ray(task, calls)
            return
        from joblib import Parallel, delayed

        work = delayed(_named)
        with _dask(self.scheduler):
            yield from Parallel(return_as="generator_unordered")(work(task, name, call) for name, call in calls)


def _by_ray(task: Task, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Recorded:
    """Each call as a task: Ray begins one anew, where the actors of its joblib backend are lost with their worker."""
    import ray

    work = ray.remote(_named).options(max_retries=_RETRIES)
    jobs = (work.remote(task, name, call) for name, call in calls)
    waiting = list(itertools.islice(jobs, _WAVE))
    while waiting:
        (done, *_), waiting = ray.wait(waiting)
        try:
            yield ray.get(done)
        except ray.exceptions.RayTaskError as failed:
            raise failed.cause from None
        waiting += itertools.islice(jobs, 1)


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

    try:
        ray.init(address=scheduler or "auto", log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UserError("--scheduler", "", f"no Ray cluster answers at {scheduler or 'auto'}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require(extra: str, module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError("--backend", "", f"{extra} is not installed; pip install 'npusim[{extra}]'")
