"""`--plan` as its users see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import RUN, STEP, mistake, tell


def test_a_plan_by_name_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("tensor_parallel: 2\npipeline_parallel: 2\n")
    named, filed = (tell(*STEP, "--plan", plan, "--json").json for plan in ("tp2-pp2", path))
    assert named["configuration"]["plan"]["name"] == "TP2 PP2"
    assert named["configuration"]["plan"]["cards"] == 4
    assert named["time_us"] == filed["time_us"]


def test_the_best_plan_is_found_and_the_front_told() -> None:
    answer = tell(*RUN, "--cards", "2", "--plan", "auto", "--objective", "tpot", "--json").json
    plans = [each["plan"]["name"] for each in answer["plans"]["front"]]
    assert answer["configuration"]["plan"]["name"] in plans
    assert answer["plans"]["considered"] == 4
    least = min(each["tpot_ms"] for each in answer["plans"]["front"])
    assert answer["tpot_ms"]["mean"] == pytest.approx(least)
    text = tell(*STEP, "--cards", "2", "--plan", "auto").out
    assert "Of 4 plans 0 have no room; those that no other beats" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plan", "tp16"), "16 chips, but rngd joins at most 8"),
        (("--plan", "fast"), "is no file and no plan; give auto, degrees such as tp4-pp2, or a YAML file"),
        (("--plan", "tp2", "--cards", "2"), "says cards and chips itself"),
        (("--plan", "auto", "--tp", "2"), "--plan auto finds it"),
        (("--tpot-limit", "3"), "--tpot-limit: applies to --plan auto alone; add --plan auto, or leave"),
        (("--plan", "auto", "--cards", "1", "--tpot-limit", "0.001"), "no plan keeps the limits"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str) -> None:
    assert message in mistake(*RUN, *words)
