"""Plans of measurements: a linear update against closed forms, budgets, hidden cells by lot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.api import plan_tests
from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.lab.planning.candidates import Candidate, runs_needed
from npusim.lab.planning.gains import Knowledge, greedy
from npusim.lab.planning.sampling_file import load_sampling

GRID = """
name: small
title: a few cells
source: this test
arrival: burst
requests_per_user: 3
points:
  - {isl: 128, osl: 128, users: [1, 8, 64]}
  - {isl: 1024, osl: 256, users: [1, 8, 32]}
  - {isl: 4096, osl: 256, users: [1, 4]}
"""


def cell(drawn: np.ndarray, minutes: float = 10.0) -> Candidate:
    return Candidate("c", "m", "bf16", 1, 1, 1, 1, np.ones(drawn.shape[1]), drawn, 3, 60.0, minutes)


def known(columns: np.ndarray, noise: float, left: float = 0.0, common: float = 0.0) -> Knowledge:
    """Cells of one figure; columns: (draws, cells)."""
    cells = [cell(columns[:, index : index + 1]) for index in range(columns.shape[1])]
    return Knowledge(cells, np.array([noise]), np.array([left]), common)


def test_a_gain_is_that_of_the_linear_update() -> None:
    """Two cells with covariance [[a, c], [c, b]]: measuring the first takes (a^2 + c^2) / (a + noise) of a + b."""
    draws = np.random.default_rng(0).multivariate_normal([0.0, 0.0], [[4.0, 1.5], [1.5, 1.0]], 500)
    (a, c), (_, b) = np.cov(draws.T)
    knowledge = known(draws, 0.25)
    expected = (a**2 + c**2) / (a + 0.25) / (a + b)
    assert knowledge.gains()[0] == pytest.approx(expected)
    knowledge.measure(0)
    assert knowledge.left == pytest.approx(1.0 - expected)


def test_cells_that_move_together_need_one_measurement() -> None:
    base = np.random.default_rng(1).standard_normal((200, 1))
    knowledge = known(np.hstack([base, 2.0 * base, 0.5 * base]), 1e-9)
    knowledge.measure(1)
    assert knowledge.left == pytest.approx(0.0, abs=1e-6)


def test_independent_cells_say_nothing_of_each_other() -> None:
    knowledge = known(np.zeros((10, 4)), 1e-12, left=1.0)
    assert knowledge.gains() == pytest.approx(np.full(4, 0.25))
    knowledge.measure(2)
    assert knowledge.left == pytest.approx(0.75)


def test_a_common_error_is_learned_from_any_cell() -> None:
    knowledge = known(np.zeros((10, 4)), 1e-12, left=1.0, common=1.0)
    knowledge.measure(0)
    assert knowledge.left == pytest.approx(0.0, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(1e-3, 1.0))
def test_gains_are_parts_and_sum_to_what_is_taken(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 5))
    knowledge = known(draws, noise, left=0.1, common=0.5)
    cells = [cell(draws[:, index : index + 1]) for index in range(5)]
    chosen = greedy(knowledge, cells, 35.0, [4], per_minute=False)
    assert len(chosen) == 3 and 4 not in [place for place, _ in chosen]
    assert all(0.0 <= gain <= 1.0 for _, gain in chosen)
    assert knowledge.left == pytest.approx(1.0 - sum(gain for _, gain in chosen))


def test_runs_follow_from_spread_and_wanted_uncertainty() -> None:
    """n = (2 c v / U)^2, c^2 = pi / 2, v = 1.5 %: at 1 %, 9 pi / 2 = 14.1."""
    sampling = load_sampling(None)
    assert runs_needed(sampling, 0.01) == math.ceil(4.0 * math.pi / 2.0 * 2.25) == 15
    assert runs_needed(sampling, 0.5) == int(sampling.runs.value)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "small.yaml"
    path.write_text(GRID)
    return path


def planned(grid: Path, **options: Any) -> dict[str, Any]:
    return plan_tests(str(grid), **({"budget": 0.6, "models": ["llama-3.1-8b"]} | options)).answer


def test_a_plan_keeps_its_budget(grid: Path) -> None:
    for hours in (0.2, 0.6, 2.0):
        found = planned(grid, budget=hours)
        assert found["cells"] and sum(each["minutes"] for each in found["cells"]) <= 60.0 * hours
        assert found["hours"] == pytest.approx(sum(each["minutes"] for each in found["cells"]) / 60.0)
        assert found["variance_removed"] == pytest.approx(sum(each["gain"] for each in found["cells"]))


def test_more_hours_tell_more(grid: Path) -> None:
    removed = [planned(grid, budget=hours)["variance_removed"] for hours in (0.2, 0.6, 2.0)]
    assert removed == sorted(removed) and removed[0] > 0.1


def test_no_cell_is_planned_twice_and_some_are_hidden(grid: Path) -> None:
    found = planned(grid, hidden=0.4)["cells"]
    cells = [(each["isl"], each["osl"], each["concurrency"]) for each in found]
    assert len(set(cells)) == len(cells)
    hidden = [each for each in found if each["hidden"]]
    assert hidden and sum(each["minutes"] for each in hidden) <= 0.4 * 36.0
    assert not any(each["hidden"] for each in planned(grid, hidden=0.0)["cells"])


def test_hidden_cells_follow_the_seed_alone(grid: Path) -> None:
    def hidden(seed: int) -> list[tuple[int, int]]:
        found = planned(grid, hidden=0.5, seed=seed, budget=1.0)["cells"]
        return [(each["isl"], each["concurrency"]) for each in found if each["hidden"]]

    assert hidden(3) == hidden(3)
    assert len({tuple(hidden(seed)) for seed in range(6)}) > 1
    shapes = [isl for isl, _ in hidden(3)]
    assert len(set(shapes)) == len(shapes), "one of each kind before a second of any"


def test_a_sharper_uncertainty_takes_longer(grid: Path) -> None:
    plain, sharp = (planned(grid, budget=2.0, uncertainty=each)["cells"][0] for each in (0.03, 0.005))
    assert sharp["runs"] > plain["runs"] and sharp["minutes"] > plain["minutes"]


def test_every_number_of_the_file_moves_the_plan(grid: Path, tmp_path: Path) -> None:
    text = (data_root("rules") / "sampling" / "npusim-1.yaml").read_text(encoding="utf-8")
    own = tmp_path / "sampling.yaml"
    own.write_text(text)
    before = planned(grid, sampling=own, budget=1.0)
    for old, new in (
        ("value: 300 s", "value: 900 s"),
        ("value: 60 s", "value: 240 s"),
        ("  value: 3\n", "  value: 5\n"),
        ("value: 0.2\n", "value: 0.4\n"),
        ("value: 0.5\n", "value: 0.8\n"),
        ("value: 0.03\n", "value: 0.01\n"),
        ("value: 0.05, kind: assumed", "value: 0.1, kind: assumed"),
        ("coverage_factor: {value: 2", "coverage_factor: {value: 4"),
    ):
        assert old in text, old
        own.write_text(text.replace(old, new, 1))
        assert planned(grid, sampling=own, budget=1.0) != before, old


def test_a_budget_below_every_cell_is_one_line(grid: Path) -> None:
    with pytest.raises(UserError, match="the shortest cell takes"):
        planned(grid, budget=0.05)


def test_cells_that_do_not_fit_are_told(grid: Path) -> None:
    found = planned(grid, models=["llama-3.1-8b", "llama-3.1-405b"])
    assert {each["model"] for each in found["unfit"]} == {"llama-3.1-405b"} and found["cells"]


def test_the_command_line(grid: Path) -> None:
    words = ("plan-tests", grid, "--budget", "0.6", "--models", "llama-3.1-8b")
    done = tell(*words, "--json")
    assert done.json["assumed"] == ["the chip is rngd"]
    assert {"gain", "minutes", "hidden"} <= set(done.json["cells"][0])
    assert "They take away" in tell(*words, "--arch", "rngd").out
    assert tell(*words, "--arch", "rngd", "--json").json["assumed"] == []
