"""Conditions: what is told stays, what is not told is a set of what the chip can run and holds."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from cli_support import tell

from npusim import dtypes
from npusim.conditions.conditions import Conditions, Members, deciding
from npusim.conditions.question import Question
from npusim.conditions.table import CONDITIONS
from npusim.errors import UserError
from npusim.workload.precision import SCHEMES

RNGD_8B = Question("rngd", "llama-3.1-8b", 2048, 64)


def test_the_table_and_the_object_name_the_same_conditions() -> None:
    assert {each.name for each in fields(Conditions)} == {each.name for each in CONDITIONS}


def test_told_values_are_those_of_every_member() -> None:
    told = Conditions(cards=2, precision="fp8", prefix_caching=False)
    for member in told.members(RNGD_8B):
        assert {name: member[name] for name in told.told} == told.told


def test_every_member_holds_the_model_and_multiplies_its_format() -> None:
    question = Question("h100", "llama-3.3-70b", 4096, 8)
    members = Conditions(runtime="vllm").members(question)
    assert len(members) > 10
    for member in list(members)[:: max(1, len(members) // 12)]:
        deployment = member.deployment
        deployment.require_fit(question.tokens)
        weights, activations = (dtypes.code(name) for name in SCHEMES[member["precision"]])
        assert deployment.machine[0]["multiplies"][weights, activations] != dtypes.NOT_MULTIPLIED
        assert deployment.plan.cards == member["cards"]
        assert deployment.runtime.kv.prefix_caching == member["prefix_caching"]


def test_70b_in_bf16_needs_more_than_one_card_and_fp8_may_do_with_one() -> None:
    question = Question("h200", "llama-3.3-70b", 2048)
    one = {member["precision"] for member in Conditions(cards=1).members(question)}
    assert "fp8" in one and {"bf16"} & {member["precision"] for member in Conditions(cards=4).members(question)}
    assert {member["cards"] for member in Conditions(precision="bf16").members(Question("h100", "llama-3.3-70b"))} == {
        2,
        4,
        8,
    }


def test_weights_are_even_within_a_condition_and_sum_to_one() -> None:
    members = Conditions(cards=1).members(RNGD_8B)
    assert sum(member.weight for member in members) == pytest.approx(1.0)
    by_runtime = {name: sum(m.weight for m in members if m["runtime"] == name) for name in members.open["runtime"]}
    assert np.ptp(list(by_runtime.values())) == pytest.approx(0.0)


def test_alike_prompts_count_only_where_a_cache_keeps_them() -> None:
    members = Conditions(cards=1, precision="bf16").members(RNGD_8B)
    assert not [m for m in members if m["prompts"] == "alike" and not m["prefix_caching"]]
    alike = next(m for m in members if m["prompts"] == "alike")
    assert len(set(alike.prompts(8, 128))) == 1 and len(set(members.all[0].prompts(8, 128))) == 8


def test_telling_more_leaves_a_subset() -> None:
    """Of any condition, each value: the members told it are those of the open set that have it."""
    whole = Conditions(runtime="furiosa-llm-2026.3").members(RNGD_8B)
    for name, values in whole.open.items():
        for value in values:
            told = list(Conditions(**{"runtime": "furiosa-llm-2026.3", name: value}).members(RNGD_8B))
            if name == "prompts":  # alike ones may be told without a cache, where they change nothing
                told = [m for m in told if m["prefix_caching"] or value == "different"]
            assert {m.values for m in told} == {m.values for m in whole if m[name] == value}


def test_the_assumed_run_is_the_first_member_and_what_a_plain_run_takes() -> None:
    assumed = Conditions().assumed(RNGD_8B)
    assert assumed.values == Conditions().members(RNGD_8B).all[0].values
    assert (assumed["precision"], assumed["cards"], assumed["plan"]) == ("bf16", 1, "TP1")


def test_a_model_that_fits_nowhere_says_why() -> None:
    question = Question("rtx-a6000", "llama-3.1-405b")
    assert not len(Conditions().members(question))
    with pytest.raises(UserError, match="holds the model"):
        Conditions().assumed(question)


def test_a_told_format_that_the_chip_cannot_multiply_is_refused_with_the_reason() -> None:
    members = Conditions(precision="fp8").members(Question("rtx-a6000", "llama-3.1-8b"))
    assert not len(members) and any("does not multiply" in reason for reason in members.refused)


def test_what_decides_is_what_the_outcomes_follow() -> None:
    members: Members = Conditions(runtime="furiosa-llm-2026.3").members(RNGD_8B)
    by_cards = [float(member["cards"]) for member in members]
    first, share = deciding(members, by_cards)[0]
    assert first == "cards" and share == pytest.approx(1.0)
    assert deciding(members, [1.0] * len(members)) == ()


GRID = """name: tiny
title: tiny
source: a test
arrival: closed
requests_per_user: 1
points:
  - {isl: 64, osl: 4, users: [1]}
"""
SPEC = """name: tiny
arch: lpddr6-pim
models: [qwen2.5-0.5b]
precisions: [int8]
bounds: false
workloads:
  - {isl: 64, osl: 4, users: [1]}
vary:
  chip.memory.stream_residual: {values: ["1.0"]}
objectives: {output_tokens_per_s: max}
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), {}),
        (("--cards", "2"), {"cards": 2}),
        (("--precision", "bf16"), {"precision": "bf16"}),
        (("--plan", "tp2-dp2"), {"plan": "TP2 DP2", "cards": 4, "tensor_parallel": 2}),
    ],
)
def test_commands_tell_which_conditions_were_told(words: tuple[str, ...], told: dict[str, object]) -> None:
    """A value that is typed is told even where it is the default; every condition is either."""
    question = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "4", "--context", "512")
    found = tell(*question, *words, "--json").json["conditions"]
    assert found["told"] == told
    assert set(found["told"]) | set(found["assumed"]) == {each.name for each in CONDITIONS}
    assert not set(found["told"]) & set(found["assumed"])


def test_grids_sweeps_and_comparisons_tell_their_conditions(tmp_path: Path) -> None:
    grid, spec = tmp_path / "g.yaml", tmp_path / "s.yaml"
    grid.write_text(GRID)
    spec.write_text(SPEC)
    common = ("--precision", "int8", "--json")
    answers = [
        tell("predict", "lpddr6-pim", "--models", "qwen2.5-0.5b", "--grid", grid, *common).json["conditions"][0],
        tell("sweep", spec, "--out", tmp_path / "out", "--workers", "1", "--json").json["conditions"][0],
        tell("pim", "compare", "lpddr6-pim", "qwen2.5-0.5b", "--osl", "4", "--draws", "2", *common).json["conditions"],
    ]
    for found in answers:
        assert found["told"] == {"precision": "int8"}
        assert found["assumed"]["kv_precision"] == "bf16" and found["assumed"]["cards"] == 1
