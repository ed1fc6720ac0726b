"""Signals, full disks and homes that cannot be written lose nothing and leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import STEP, mistake, tell

import npusim
from npusim.cli.failures import exit_code
from npusim.publish import DRAFT

ROOT = Path(npusim.__file__).parent.parent
GRID = """
name: one
title: One cell
source: A test
arrival: burst
requests_per_user: 1
points: [{isl: 64, osl: 8, users: [1]}]
"""
SWEEP: dict[str, Any] = {
    "name": "many",
    "arch": "rngd",
    "models": ["llama-3.1-8b"],
    "workloads": [{"isl": 512, "osl": 256, "users": [8]}],
    "vary": {"chip.unit.clock": {"low": "0.8 GHz", "high": "1.2 GHz", "count": 400}},
    "objectives": {"served_output_tokens_per_s": "max"},
    "serving": {"requests_per_user": 4},
}


def _start(*words: str | Path, folder: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "npusim", *map(str, words)]
    known = os.environ | {"PYTHONPATH": str(ROOT), **environment}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with _interruptible():
        return subprocess.Popen(command, cwd=folder, text=True, env=known, start_new_session=True, **pipes)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A child takes over that a signal is ignored: a shell starts its background jobs so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _members(group: int) -> list[int]:
    """Processes of a session that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _gone(group: int, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if not _members(group):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_leaves_no_worker_and_no_draft_and_the_sweep_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(SWEEP))
    parts = tmp_path / "out" / "parts"
    with _start("sweep", "s.yaml", "--workers", "2", "--out", "out", folder=tmp_path) as running:
        while running.poll() is None and len(list(parts.glob("served-*"))) < 2:
            time.sleep(0.02)
        assert running.poll() is None, running.communicate()
        running.send_signal(number)
        _, err = running.communicate()
        assert _gone(running.pid, 10.0), "workers outlive their parent"
    assert running.returncode == (143 if number == signal.SIGTERM else -number)
    kept = sorted(path.name for path in parts.glob("served-*.parquet"))
    assert kept and not (tmp_path / "out" / "manifest.json").exists()
    if number == signal.SIGTERM:
        assert not list(tmp_path.rglob(f"{DRAFT}*"))
        assert err.splitlines()[-1] == "ended by SIGTERM"


def test_a_failure_on_the_way_out_does_not_hide_the_signal(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("a pool without workers")

    assert exit_code(action) == 143
    assert capsys.readouterr().err.splitlines()[-1] == "ended by SIGTERM"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_python_drops_ends_the_command(number: signal.Signals, code: int) -> None:
    class Dropping:
        """What is raised while an object goes, or in a hook around a fork, nothing can catch."""

        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    def action() -> None:
        made = Dropping()
        del made
        time.sleep(20.0)

    begun = time.monotonic()
    assert exit_code(action) == code
    assert time.monotonic() - begun < 10.0


def test_a_signal_while_files_are_written_leaves_them_as_they_were(tmp_path: Path) -> None:
    def action() -> None:
        from npusim.publish import publish_folder

        def write(draft: Path) -> list[str]:
            (draft / "half").write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
            return ["half"]

        publish_folder(write, tmp_path / "out")

    assert exit_code(action) == 143
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def _small_disk(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond `limit` bytes, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "words",
    [
        ("kperf", "rngd", "--models", "llama-3.1-8b", "--grid", "g.yaml", "--no-interval", "--out", "out"),
        ("step", *STEP[1:], "--engine", "event", "--trace", "t.json"),
        ("pim", "compare", "lpddr6-pim", "llama-3.1-8b", "--isl", "64", "--osl", "8", "--draws", "8", "--out", "out"),
    ],
    ids=["kperf", "trace", "pim compare"],
)
def test_a_full_disk_is_one_line_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.yaml").write_text(GRID)
    assert tell(*words).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with _small_disk(2048):
        line = mistake(*words)
    assert "cannot be written (File too large)" in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_writers_of_one_folder_leave_one_whole_set(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(GRID)
    words = ("kperf", "rngd", "--models", "llama-3.1-8b", "--grid", "g.yaml", "--no-interval", "--out", "out")
    both = [_start(*words, "--seed", str(seed), folder=tmp_path) for seed in (1, 2)]
    ended = [(running.communicate()[1], running.returncode) for running in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["seed"] in (1, 2)
    assert not list(tmp_path.rglob(f"{DRAFT}*"))


def test_a_home_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Drawing, too, and without a word of it on stderr."""
    (tmp_path / "home").write_text("")
    (tmp_path / "g.yaml").write_text(GRID)
    cold = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    code = (
        "import os; [os.environ.pop(name) for name in ('XDG_CACHE_HOME', 'MPLCONFIGDIR')];"
        "from npusim.cache_folder import cache_folder; print(cache_folder());"
        "import npusim.compilation, matplotlib.font_manager; print(matplotlib.get_cachedir())"
    )
    known = os.environ | {"PYTHONPATH": str(ROOT), **cold}
    known.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, text=True, timeout=120)
    private = tmp_path / f"npusim-{os.geteuid()}"
    assert done.stdout.splitlines() == [str(private / "npusim"), str(private / "matplotlib")], done.stderr
    assert done.stderr == "" and private.stat().st_mode & 0o077 == 0


def test_a_search_that_goes_on_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'optimize' is not installed")
    from npusim.explore.sweep.optimize import optimize
    from npusim.explore.sweep.spec import SweepSpec

    known = {key: value for key, value in SWEEP.items() if key != "serving"}
    vary = {"chip.unit.clock": {"low": "0.8 GHz", "high": "1.2 GHz"}}
    drawn_designs = {"method": "sobol", "points": 8, "objectives": {"decode_ms": "min", "power_w": "min"}}
    spec = SweepSpec.model_validate(known | drawn_designs | {"vary": vary})

    def drawn(folder: str, *trials: int) -> list[float]:
        import optuna

        for count in trials:
            optimize(spec, "s.yaml", tmp_path / folder, count, lambda _: None)
        study = optuna.load_study(study_name="many", storage=f"sqlite:///{tmp_path / folder}/study.db")
        return [trial.params["chip.unit.clock"] for trial in study.trials]

    whole, resumed = drawn("whole", 8), drawn("resumed", 3, 5)
    assert resumed == whole and len(set(whole)) == 8
