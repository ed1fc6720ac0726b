"""Sweeps: designs as arrays equal designs one by one, fronts equal brute force, and nothing is lost when stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.explore.sweep import tasks
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.effects import NOISE_LEVEL, Choice, main_effects
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import DesignRecords
from npusim.explore.sweep.run import run_sweep
from npusim.explore.sweep.selection import pareto
from npusim.explore.sweep.space import design_values, space_axes
from npusim.explore.sweep.spec import SweepSpec, load_spec
from npusim.hardware.data import data_root
from npusim.mapping.deployment import deploy
from npusim.workload.step import decode, prefill

SPEC = {
    "name": "small",
    "arch": "rngd",
    "models": ["llama-3.1-8b"],
    "workloads": [{"isl": 512, "osl": 64, "users": [4]}],
    "vary": {
        "chip.memory.channel_bandwidth": {"low": "40 GB/s", "high": "80 GB/s", "scale": "log"},
        "chip.unit.clock": {"values": ["1 GHz", "1.5 GHz"]},
        "runtime.host.step_time": {"low": "1 ms", "high": "20 ms"},
    },
    "method": "latin-hypercube",
    "points": 40,
    "objectives": {"output_tokens_per_s": "max", "power_w": "min"},
}


def spec(**changes: object) -> SweepSpec:
    return SweepSpec.model_validate(SPEC | changes)


def written(folder: Path, content: dict[str, object]) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_design_costs_what_an_engine_on_its_records_says() -> None:
    asked, base = spec(), deploy("rngd", "llama-3.1-8b")
    axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
    maker, values = DesignRecords(base, axes), design_values(asked, axes, 0, 3)
    table = estimate_designs(base, maker.of(values), 512, 64, 4)
    for row, numbers in zip(table.itertuples(), values, strict=True):
        engine = AnalyticEngine(maker.deployment(numbers))
        prompt, step = engine.prefill_chunk(512, 512), engine.with_host(engine.cost(decode([544] * 4)), 4)
        assert row.prefill_ms == pytest.approx(prompt.time_s * 1e3)
        assert row.decode_ms == pytest.approx(step.time_s * 1e3)
        elapsed = 4 * prompt.time_s + 63 * step.time_s
        assert row.output_tokens_per_s == pytest.approx(4 * 64 / elapsed)
        assert row.power_w == pytest.approx((4 * prompt.energy_j + 63 * step.energy_j) / elapsed)


@pytest.mark.parametrize("plan", ["tp2", "tp1-pp2", "tp1-dp2", "tp2-pp2-dp2"])
def test_designs_on_several_cards_cost_what_their_engines_say(plan: str) -> None:
    vary = {"chip.unit.clock": {"values": ["1 GHz", "1.5 GHz"]}}
    vary["server.fabric.levels.PCIe root complex.members"] = {"values": [4, 8]}
    asked, base = spec(vary=vary, method="grid", points=None), deploy("rngd", "llama-3.1-8b", plan=plan)
    axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
    maker, values = DesignRecords(base, axes), design_values(asked, axes, 0, 4)
    table = estimate_designs(base, maker.of(values), 512, 64, 8)
    for row, numbers in zip(table.itertuples(), values, strict=True):
        engine, own = AnalyticEngine(maker.deployment(numbers)), 8 // base.plan.data_parallel
        prompt, step = engine.prefill_chunk(512, 512), engine.with_host(engine.cost(decode([544] * own)), own)
        assert (row.prefill_ms, row.decode_ms) == pytest.approx((prompt.time_s * 1e3, step.time_s * 1e3))
        elapsed = own * prompt.time_s + 63 * step.time_s
        assert row.output_tokens_per_s == pytest.approx(8 * 64 / elapsed)
        assert row.power_w == pytest.approx((own * prompt.energy_j + 63 * step.energy_j) / elapsed)


def test_a_varied_power_cap_is_enforced() -> None:
    vary = {"chip.power.cap": {"values": ["110 W", "400 W"]}}
    asked, base = spec(vary=vary, method="grid", points=None), deploy("rngd", "llama-3.1-8b")
    axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
    table = estimate_designs(base, DesignRecords(base, axes).of(design_values(asked, axes, 0, 2)), 512, 64, 32)
    assert table["power_w"][0] < table["power_w"][1] and table["decode_ms"][0] > table["decode_ms"][1]


def test_plans_are_swept_and_served(tmp_path: Path) -> None:
    vary = {"chip.unit.clock": {"values": ["1 GHz", "1.5 GHz"]}}
    asked = spec(vary=vary, method="grid", points=None, plans=["tp2", "tp1-dp2"], serving={"requests_per_user": 1})
    found = run_sweep(asked, "sweep.yaml", tmp_path, Backend())
    table = pd.read_parquet(tmp_path / "points.parquet")
    assert found.points == found.served == 4 and table["plan"].tolist() == ["TP2", "TP2", "TP1 DP2", "TP1 DP2"]
    assert set(table["cards"]) == {2}
    estimated, served = table["output_tokens_per_s"], table["served_output_tokens_per_s"]
    assert served.tolist() == pytest.approx(estimated.tolist(), rel=0.2)


def test_several_compiled_pieces_add_up() -> None:
    asked, base = spec(), deploy("rngd", "llama-3.1-8b")
    axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
    maker, values = DesignRecords(base, axes), design_values(asked, axes, 0, 1)
    table = estimate_designs(base, maker.of(values), 5000, 8, 1)
    engine = AnalyticEngine(maker.deployment(values[0]))
    whole = engine.with_host(engine.cost(prefill(1, 5000)), 1)
    assert table["prefill_ms"][0] == pytest.approx(whole.time_s * 1e3)


def test_a_design_that_holds_no_request_has_no_figures() -> None:
    vary = {"chip.memory.usable_capacity": {"values": ["15 GiB", "47 GiB"]}}
    asked, base = spec(vary=vary, method="grid", points=None), deploy("rngd", "llama-3.1-8b")
    axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
    table = estimate_designs(base, DesignRecords(base, axes).of(design_values(asked, axes, 0, 2)), 512, 64, 4)
    assert table["users_resident"].tolist() == [0, 4]
    assert np.isnan(table["output_tokens_per_s"][0]) and table["output_tokens_per_s"][1] > 0.0


def test_designs_do_not_depend_on_how_they_are_cut() -> None:
    base = deploy("rngd", "llama-3.1-8b")
    for method in ("latin-hypercube", "sobol"):
        asked = spec(method=method, points=64)
        axes = space_axes(asked, base.system, [base.runtime], "sweep.yaml")
        whole = design_values(asked, axes, 0, 64)
        parts = [design_values(asked, axes, first, first + 16) for first in range(0, 64, 16)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
    share = np.log(whole[:, 0] / 40e9) / np.log(2.0)
    assert sorted((share * 64).astype(int)) == list(range(64)), "a Sobol sequence fills every stratum once"


def test_a_grid_takes_every_combination() -> None:
    vary = {
        "chip.unit.clock": {"values": ["1 GHz", "2 GHz"]},
        "chip.memory.channel_bandwidth": {"low": "40 GB/s", "high": "80 GB/s", "count": 3},
    }
    asked, base = spec(vary=vary, method="grid", points=None), deploy("rngd", "llama-3.1-8b")
    values = design_values(asked, space_axes(asked, base.system, [base.runtime], "f"), 0, asked.designs)
    assert values.tolist() == [[clock, rate] for clock in (1e9, 2e9) for rate in (40e9, 60e9, 80e9)]


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 4).map(float)))
def test_the_front_is_that_of_brute_force(costs: np.ndarray) -> None:
    beaten = [
        any((other <= row).all() and (other < row).any() for other in costs) for row in costs
    ]  # fmt: skip
    assert pareto(costs).tolist() == [not each for each in beaten]


def _factors(points: np.ndarray) -> list[Choice]:
    return [Choice(str(index), column, False, ("low", "high")) for index, column in enumerate(points.T)]


def test_main_effects_are_those_of_a_sum_of_parabolas() -> None:
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 3))
    figures = 5.0 + 2.0 * points[:, 0] - 3.0 * points[:, 1] + points[:, 1] ** 2
    found = main_effects(_factors(points), figures)
    moved = [each.high - each.low for each in found]
    assert moved == pytest.approx([4.0, -6.0, 0.0]), "what another axis does is not counted"
    assert found[2].low == pytest.approx(figures.mean())
    assert [each.noise for each in found] == [False, False, True]
    assert all(np.isnan(each.low) and each.noise for each in main_effects(_factors(points[:4]), figures[:4]))


def test_an_axis_without_effect_is_noise_as_often_as_the_test_says() -> None:
    """Figures that depend on the first axis and on chance alone: the others are drawn in about 1 % of the trials."""
    random, drawn = np.random.default_rng(1), []
    for _ in range(200):
        points = random.uniform(-1.0, 1.0, (60, 3))
        found = main_effects(_factors(points), 3.0 * points[:, 0] + random.normal(size=60))
        assert not found[0].noise
        drawn += [not each.noise for each in found[1:]]
    assert sum(drawn) <= 4 * NOISE_LEVEL * len(drawn)


def test_the_effect_of_a_choice_leads_from_the_worst_to_the_best() -> None:
    random = np.random.default_rng(2)
    codes, clock = random.integers(0, 3, 60).astype(float), random.uniform(-1.0, 1.0, 60)
    figures = np.array([10.0, 7.0, 12.0])[codes.astype(int)] + clock
    choice, number = Choice("memory", codes, True, ("a", "b", "c")), _factors(clock[:, None])[0]
    (found, _) = main_effects([choice, number], figures)
    assert (found.low_text, found.high_text, found.high - found.low) == ("b", "c", pytest.approx(5.0))


def test_a_stopped_sweep_goes_on_and_gives_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npusim.explore.sweep.run.DESIGNS_PER_TASK", 10)
    asked = spec(serving={"requests_per_user": 2}, points=20, limits={"served_tpot_ms_mean": {"max": 30.0}})
    whole = run_sweep(asked, "sweep.yaml", tmp_path / "whole", Backend())
    stopped, said = tmp_path / "stopped", []

    def stop_after_the_first(line: str) -> None:
        if line.startswith("estimates: 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked, "sweep.yaml", stopped, Backend(), stop_after_the_first)
    again = run_sweep(asked, "sweep.yaml", stopped, Backend(), said.append)
    assert said[0] == "estimates: 1 of 2 parts are there already"
    assert again.points == whole.points == 20 and again.served == whole.served > 0
    for name in ("points.csv", "pareto.csv", "effects.csv", "points.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (stopped / name).read_bytes(), name


def test_a_killed_command_loses_nothing(tmp_path: Path) -> None:
    changes = {"serving": {"requests_per_user": 4}, "objectives": {"served_output_tokens_per_s": "max"}}
    path = written(tmp_path, SPEC | changes)

    def command(out: str) -> list[str]:
        return [sys.executable, "-m", "npusim", "sweep", str(path), "--out", str(tmp_path / out), "--workers", "1"]

    parts = tmp_path / "killed" / "parts"
    with subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and not list(parts.glob("served-*.parquet")):
            time.sleep(0.01)
        running.kill()
    kept = {part: part.stat().st_mtime_ns for part in parts.glob("*.parquet")}
    assert not (tmp_path / "killed" / "points.csv").exists(), "it was killed before its end"
    for out in ("killed", "whole"):
        subprocess.run(command(out), check=True, capture_output=True)
    assert all(part.stat().st_mtime_ns == written_at for part, written_at in kept.items()), "nothing was made twice"
    for name in ("points.csv", "points.parquet", "pareto.csv", "effects.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_folder_may_be_named_as_an_address_is(tmp_path: Path) -> None:
    asked = spec(points=2)
    run_sweep(asked, "sweep.yaml", tmp_path / "poisson:-1", Backend())
    assert len(pd.read_parquet((tmp_path / "poisson:-1" / "points.parquet").open("rb"))) == 2


def test_parts_of_another_sweep_are_refused(tmp_path: Path) -> None:
    run_sweep(spec(points=4), "sweep.yaml", tmp_path, Backend())
    with pytest.raises(UserError, match=r"another sweep \(points differ\)"):
        run_sweep(spec(points=5), "sweep.yaml", tmp_path, Backend())


@pytest.mark.parametrize("part", ["chip", "memory"])
def test_a_sweep_whose_files_were_changed_is_refused_by_their_name(tmp_path: Path, part: str) -> None:
    """Also the file of a part that the description names, which the specification does not."""
    shipped = data_root("arch_configs")
    chip, memory = tmp_path / "mine.yaml", tmp_path / "memory.yaml"
    memory.write_text((shipped / "memories" / "hbm3-6000.yaml").read_text())
    text = (shipped / "rngd.yaml").read_text()
    assert text.count("hbm3-6000") == 1
    chip.write_text(re.sub("^calibration:.*\n", "", text.replace("hbm3-6000", str(memory)), flags=re.MULTILINE))
    asked = spec(points=4, arch=str(chip))
    run_sweep(asked, "sweep.yaml", tmp_path / "out", Backend())
    changed = chip if part == "chip" else memory
    changed.write_text(changed.read_text() + "# a word more\n")
    os.utime(changed, (1e9, 1e9))
    tasks._made.cache_clear()
    with pytest.raises(UserError, match=f"^{changed.name}: was changed since the parts in .*out were made"):
        run_sweep(asked, "sweep.yaml", tmp_path / "out", Backend())


def test_parts_that_other_code_made_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sweep(spec(points=4), "sweep.yaml", tmp_path, Backend())
    monkeypatch.setattr("npusim.explore.sweep.store.code_sha256", lambda: "0" * 64)
    with pytest.raises(UserError, match="parts that other code made"):
        run_sweep(spec(points=4), "sweep.yaml", tmp_path, Backend())


def test_limits_keep_what_they_say(tmp_path: Path) -> None:
    free = run_sweep(spec(), "sweep.yaml", tmp_path / "free", Backend())
    table = pd.read_parquet(tmp_path / "free" / "points.parquet")
    limit = float(table["power_w"].median())
    held = run_sweep(spec(limits={"power_w": {"max": limit}}), "sweep.yaml", tmp_path / "held", Backend())
    assert free.kept == 40 and held.kept == int((table["power_w"] <= limit).sum())
    assert (held.front["power_w"] <= limit).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vary": {"chip.unit.clok": {"values": ["1 GHz"]}}}, "vary.chip.unit.clok: .*did you mean 'chip.unit.clock'"),
        ({"vary": {"chip.unit.clock": {"values": ["1 GB/s"]}}}, "vary.chip.unit.clock.values"),
        ({"vary": {"chip.unit.clock": {"low": "2 GHz", "high": "1 GHz"}}}, "must be below high"),
        ({"vary": {"card.chips": {"values": [1, 2]}}}, "vary.card.chips: .*list cards or plans"),
    ],
)
def test_mistakes_name_their_key(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        run_sweep(spec(**change), "sweep.yaml", tmp_path, Backend())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": {"speed": "max"}}, "objectives.speed: no such metric"),
        ({"limits": {"served_ttft_ms_mean": {"max": 5.0}}}, "add serving"),
        ({"method": "grid", "points": None}, "needs count"),
        ({"points": None}, "needs points"),
        ({"cards": [1], "plans": ["tp2"]}, "either cards or plans"),
    ],
)
def test_the_file_is_checked_as_a_whole(tmp_path: Path, change: dict[str, object], said: str) -> None:
    content = {key: value for key, value in (SPEC | change).items() if value is not None}
    with pytest.raises(UserError, match=said):
        load_spec(written(tmp_path, content))


def test_the_command_writes_its_folder(tmp_path: Path) -> None:
    path = written(tmp_path, SPEC)
    words = ["sweep", str(path), "--out", str(tmp_path / "out"), "--workers", "1", "--json"]
    done = subprocess.run([sys.executable, "-m", "npusim", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["points"] == 40 and answer["pareto"]
    assert all(Path(name).is_file() for name in answer["files"])
    assert {Path(name).name for name in answer["files"]} >= {"points.parquet", "points.csv", "report.html"}


def test_a_search_resumes_its_study(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'optimize' is not installed")
    from npusim.explore.sweep.optimize import optimize

    asked = spec(limits={"power_w": {"max": 170.0}})
    said: list[str] = []
    optimize(asked, "sweep.yaml", tmp_path, 6, said.append)
    front = optimize(asked, "sweep.yaml", tmp_path, 6, said.append)
    assert front["trial"].max() > 5 and (front["power_w"] <= 170.0).all()
    with pytest.raises(UserError, match="another specification"):
        optimize(spec(), "sweep.yaml", tmp_path, 1, said.append)
