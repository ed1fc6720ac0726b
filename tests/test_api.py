"""npusim from Python gives what the command line gives."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_support import tell

import npusim
from npusim import api
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError

PACKAGE = Path(npusim.__file__).parent
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


def test_steps_in_a_loop_share_what_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is resolved or built anew, and each answer stays what it was when another step follows."""
    made = []
    build = AnalyticEngine.__init__

    def counted(engine: AnalyticEngine, *arguments: Any, **options: Any) -> None:
        made.append(engine)
        build(engine, *arguments, **options)

    monkeypatch.setattr(AnalyticEngine, "__init__", counted)
    steps = [
        npusim.step("h200", "llama-3.1-8b", phase="decode", batch=batch, context=100 * batch) for batch in (3, 4, 3)
    ]
    assert len(made) <= 1
    assert steps[0].deployment is steps[1].deployment
    assert steps[0].answer == steps[2].answer != steps[1].answer
    assert steps[1].answer["ops"][0]["m"] == 4.0


def test_a_changed_description_changes_the_next_step(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    bandwidth = "extends: rngd\nname: mine\ntitle: Mine\nchip: {unit: {clock: {value: CLOCK, kind: assumed, "
    text = bandwidth + "source: a test, low: 1 MHz, high: 9 GHz}}}\n"

    def step_us(clock: str) -> float:
        mine.write_text(text.replace("CLOCK", clock), encoding="utf-8")
        os.utime(mine, (1e9, 1e9 + len(clock)))
        return npusim.step(str(mine), "llama-3.1-8b", phase="prefill", batch=1, context=512).time_us

    slow = step_us("100 MHz")
    assert step_us("1 GHz") < slow == step_us("100 MHz")


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


def test_options_go_whole_or_as_keywords() -> None:
    options = npusim.step.options("rngd", "qwen2.5-0.5b", phase="decode", batch=2, context=64, plan="tp2")
    whole = npusim.step.of(options)
    apart = npusim.step("rngd", "qwen2.5-0.5b", phase="decode", batch=2, context=64, plan="tp2")
    assert whole.answer == apart.answer
    assert whole.manifest["argv"] == [
        "step", "rngd", "qwen2.5-0.5b", "--phase", "decode", "--batch", "2", "--context", "64", "--plan", "tp2",
    ]  # fmt: skip
    assert tell(*map(str, whole.manifest["argv"]), "--json").json["time_us"] == whole.time_us
    assert set(inspect.signature(npusim.step).parameters) >= {"arch", "model", "phase", "batch", "context", "offload"}


def test_the_api_has_what_the_command_line_has() -> None:
    best = npusim.run("rngd", "qwen2.5-0.5b", isl=64, osl=4, concurrency=4, plan="auto", cards=2)
    assert best.found is not None and best.answer["plans"] == best.found.as_dict()
    assert npusim.list_shipped("archs").items == tell("list", "archs", "--json").json["items"]
    assert npusim.show("rngd").answer["kind"] == "architecture"
    dram = npusim.dram("hbm3-6400", requests=300, outstanding=16)
    told = tell("dram", "hbm3-6400", "--requests", "300", "--outstanding", "16", "--json").json
    assert dram.answer["fraction_of_peak"] == told["fraction_of_peak"]
    assert npusim.pim_gemv("hbm3e-pim", outputs=64, inputs=64).answer["op"] == "gemv"
    assert npusim.collective("h200", op="all_reduce", size="1MiB", ranks=4).answer["ranks"] == 4


def test_each_command_calls_one_function_of_the_api() -> None:
    called = [
        name
        for path in sorted((PACKAGE / "cli").glob("*.py"))
        for name in re.findall(r"\bapi\.(\w+)\.of\(", path.read_text(encoding="utf-8"))
    ]
    assert sorted(called) == sorted(api.__all__)


def test_every_function_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in api.__all__ if f"`npusim.{name}`" not in page] == []
    assert all(getattr(api, name).__doc__ for name in api.__all__)


def test_the_api_is_typed() -> None:
    for path in sorted((PACKAGE / "api").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert "Any" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}, path.name


@pytest.mark.parametrize("first", ["npusim.step; import npusim.kperf.runner", "import npusim.kperf.runner"])
def test_the_package_of_the_grid_does_not_hide_the_function(first: str) -> None:
    code = f"import npusim; {first}; assert callable(npusim.kperf), npusim.kperf"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_mistakes_raise_one_line() -> None:
    with pytest.raises(UserError, match="did you mean 'rngd'"):
        npusim.step("rngdd", "llama-3.1-8b", phase="decode", batch=1, context=8)
    with pytest.raises(AttributeError, match="no attribute 'stp'"):
        npusim.stp  # noqa: B018


def test_a_step_costs_what_moves_it_once_that_is_asked_for() -> None:
    """A loop over steps reads times: 27 designs costed beside each step would take most of it."""
    result = npusim.step("rngd", "llama-3.1-8b", phase="decode", batch=1, context=1024)
    assert result.time_us > 0.0 and "elasticities" not in vars(result.costed)
    assert result.bound in result.elasticities and "elasticities" in vars(result.costed)
    again = npusim.step("rngd", "llama-3.1-8b", phase="decode", batch=1, context=1024)
    assert again.elasticities == result.elasticities and again.answer["bound"] == result.bound
