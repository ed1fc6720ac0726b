"""Calls spread over processes of this machine, as many as the work is worth.

The first calls run here. What is left once they have taken a moment goes to forked processes, which find kernels
loaded, files read and engines built, and read nothing anew. Results are the same however many work.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Result = TypeVar("Result")

MOST_WORKERS = 1024
_ALONE_S = 0.3
"""Seconds of work before anything is handed to others."""
_WORTH_S = 0.5
"""Seconds of work that a process must save to be started."""
_WATCH_S = 1.0
_TRIES = 3
"""Times that a pool is made while processes of it go."""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[..., Result], calls: Sequence[tuple[Any, ...]], workers: int, at_once: bool = False
) -> Iterator[tuple[int, Result]]:
    """(index, work(*calls[index])) of every call in the order in which they end, by at most `workers` processes.

    Calls and results are sent between processes, `work` and what it holds are not. The last calls are begun first:
    give the long ones last. at_once: each is long enough for a process of its own, and what it needs is loaded: none
    runs here. A call whose process is gone, as one that the system ends for want of memory, is begun anew.
    """
    gc.freeze()
    try:
        if at_once and min(workers, len(calls)) > 1 and _forks():
            yield from _forked(work, calls, range(len(calls)), min(workers, len(calls)))
            return
        spent_s = 0.0
        for index, call in enumerate(calls):
            begun_s = time.monotonic()
            result = work(*call)
            spent_s += time.monotonic() - begun_s
            yield index, result
            left = range(index + 1, len(calls))
            wanted = min(workers, len(left), int(spent_s / (index + 1) * len(left) / _WORTH_S))
            if spent_s >= _ALONE_S and wanted > 1 and _forks():
                yield from _forked(work, calls, left, wanted)
                return
    finally:
        gc.unfreeze()


def _forks() -> bool:
    return sys.platform == "linux"


def _forked(
    work: Callable[..., Result], calls: Sequence[tuple[Any, ...]], left: range, workers: int
) -> Iterator[tuple[int, Result]]:
    """Raises BrokenProcessPool where processes go again and again."""
    waiting = list(reversed(left))
    for tried in range(1, _TRIES + 1):
        try:
            for index, result in _pooled(work, calls, tuple(waiting), workers):
                waiting.remove(index)
                yield index, result
            return
        except BrokenProcessPool:
            if tried == _TRIES:
                raise


def _pooled(
    work: Callable[..., Result], calls: Sequence[tuple[Any, ...]], wanted: Sequence[int], workers: int
) -> Iterator[tuple[int, Result]]:
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin, (work, os.getpid()))
    try:
        indexes = {pool.submit(_call, calls[index]): index for index in wanted}
        for future in as_completed(indexes):
            yield indexes[future], future.result()
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_WORK: Callable[..., Any]


def _begin(work: Callable[..., Any], parent: int) -> None:
    """A worker leaves signals to its parent, and ends when that is gone, however it went."""
    global _WORK
    _WORK = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


def _call(call: tuple[Any, ...]) -> Any:
    return _WORK(*call)
