"""Work spread over processes: the same results at any number of them, and none without work for it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from npusim import workers
from npusim.errors import DoesNotFit, UserError
from npusim.kperf.runner import run_grid
from npusim.workers import spread

CALLS = [(number,) for number in range(40)]
ORPHANS = """
import os, sys, time
from npusim.workers import spread

def work(number):
    time.sleep(0.4)
    return os.getpid()

for index, pid in spread(work, [(number,) for number in range(50)], 2):
    print(pid, flush=True)
"""


def _square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def test_small_work_stays_in_this_process() -> None:
    found = dict(spread(_square, CALLS, 8))
    assert found == {index: (index * index, os.getpid()) for index in range(len(CALLS))}


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_call_is_answered_once_by_at_most_so_many(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(workers, "_ALONE_S", 0.0)
    monkeypatch.setattr(workers, "_WORTH_S", 1e-9)
    held = {"offset": 7}
    found = list(spread(lambda number: (number + held["offset"], os.getpid()), CALLS, processes))
    assert sorted(index for index, _ in found) == list(range(len(CALLS)))
    assert all(value == index + 7 for index, (value, _) in found)
    others = {pid for _, (_, pid) in found} - {os.getpid()}
    assert bool(others) == (processes > 1) and len(others) <= processes


def test_a_mistake_in_a_worker_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ALONE_S", 0.0)
    monkeypatch.setattr(workers, "_WORTH_S", 1e-9)

    def work(number: int) -> float:
        return 1.0 / (number - 30)

    with pytest.raises(ZeroDivisionError):
        list(spread(work, CALLS, 2))


def _dies_once(flag: str, number: int) -> int:
    """The first process that comes to the third call is killed in it."""
    if number == 3:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    calls = [(str(tmp_path / "flag"), number) for number in range(8)]
    assert sorted(spread(_dies_once, calls, 2, at_once=True)) == [(number, number) for number in range(8)]
    assert (tmp_path / "flag").exists()


def test_workers_that_always_go_end_the_work() -> None:
    with pytest.raises(BrokenProcessPool):
        list(spread(lambda number: os.kill(os.getpid(), signal.SIGKILL), CALLS[:3], 2, at_once=True))


def test_work_at_once_runs_in_workers_alone() -> None:
    found = dict(spread(_square, CALLS[:4], 2, at_once=True))
    assert {value for value, _ in found.values()} == {0, 1, 4, 9}
    assert os.getpid() not in {pid for _, pid in found.values()}
    assert dict(spread(_square, CALLS[:4], 1, at_once=True))[0] == (0, os.getpid())


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()) for _ in range(4)} - {parent.pid}
        parent.kill()
    assert pids
    late = time.monotonic() + 10.0
    while any(Path(f"/proc/{pid}/stat").exists() for pid in pids) and time.monotonic() < late:
        time.sleep(0.1)
    assert [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()] == []


def test_a_grid_is_the_same_at_any_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run_grid(["rngd"], ["llama-3.1-8b"], "quick", workers=1)[0]
    monkeypatch.setattr(workers, "_ALONE_S", 0.0)
    monkeypatch.setattr(workers, "_WORTH_S", 1e-9)
    together = run_grid(["rngd"], ["llama-3.1-8b"], "quick", workers=3)[0]
    assert together.cells.to_csv() == alone.cells.to_csv()


@pytest.mark.parametrize("error", [UserError("a.yaml:3", "chip.clock", "is no rate"), DoesNotFit("a", "too large", 4)])
def test_a_mistake_of_a_worker_reaches_its_parent(error: UserError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
