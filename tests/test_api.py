"""npusim from Python gives what the command line gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import npusim
from npusim.errors import UserError

STEP = ("rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "2", "--context", "512")
RUN = ("rngd", "llama-3.1-8b", "--isl", "128", "--osl", "16", "--concurrency", "2", "--precision", "fp8")


def told(*words: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "npusim", *words, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_step_is_that_of_the_command_line() -> None:
    step, answer = npusim.step("rngd", "llama-3.1-8b", phase="decode", batch=2, context=512), told("step", *STEP)
    assert step.time_us == pytest.approx(answer["time_us"]) and step.bound == answer["bound"]
    assert step.breakdown_us == pytest.approx(answer["breakdown_us"])
    assert len(step.ops) == len(answer["ops"]) and sum(step.breakdown_us.values()) == pytest.approx(step.time_us)


def test_a_run_is_that_of_the_command_line() -> None:
    run = npusim.run("rngd", "llama-3.1-8b", isl=128, osl=16, concurrency=2, precision="fp8")
    answer = told("run", *RUN)
    assert run.tpot_ms == pytest.approx(answer["tpot_ms"]) and run.fits
    assert run.output_tokens_per_s == pytest.approx(answer["output_tokens_per_s"])


def test_a_grid_comes_as_frames() -> None:
    grid = npusim.kperf("rngd", models=["llama-3.1-8b"], grid="quick", interval=False)[0]
    assert {"isl", "osl", "users", "tokens_per_joule"} <= set(grid.cells.columns)
    assert (grid.provenances["source"].str.len() > 0).all()


def test_a_sweep_takes_a_specification(tmp_path: Path) -> None:
    content = {
        "name": "small",
        "arch": "rngd",
        "models": ["llama-3.1-8b"],
        "workloads": [{"isl": 64, "osl": 8, "users": [1]}],
        "vary": {"chip.unit.clock": {"values": ["1 GHz", "2 GHz"]}},
        "objectives": {"output_tokens_per_s": "max"},
    }
    result = npusim.sweep(content, tmp_path)
    assert result.points == 2 and len(result.front) == 1


def test_mistakes_raise_one_line() -> None:
    with pytest.raises(UserError, match="did you mean 'rngd'"):
        npusim.step("rngdd", "llama-3.1-8b", phase="decode", batch=1, context=8)
    with pytest.raises(AttributeError, match="no attribute 'stp'"):
        npusim.stp  # noqa: B018
