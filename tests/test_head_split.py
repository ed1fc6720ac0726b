"""Which plans a runtime refuses, over runtimes, heads and chips: no recommendation is refused, a refusal has a mend."""

from __future__ import annotations

import re

import pytest
from cli_support import tell
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.hardware.catalog import shipped_runtimes
from npusim.hardware.runtime import HeadRule, Runtime
from npusim.hardware.yaml_file import load_yaml
from npusim.mapping.deployment import deploy
from npusim.mapping.head_split import accepted, is_certain, mend, refusal
from npusim.mapping.plan import Plan, all_plans
from npusim.serving import planning
from npusim.serving.planning import Wish
from npusim.workload.catalog import load_model
from npusim.workload.model import Model

MODEL = load_model("qwen2.5-7b")
RULES = [None] + [
    HeadRule(query=query, kv=kv, source="a test") for query in ("divide", "pad") for kv in ("even", "any")
]


def shaped(heads: int, kv_heads: int) -> Model:
    return MODEL.with_mixers(heads=heads, kv_heads=kv_heads)


@st.composite
def shapes(draw: st.DrawFn) -> Model:
    kv = draw(st.integers(1, 16))
    return shaped(kv * draw(st.integers(1, 16)), kv)


@settings(max_examples=150)
@given(model=shapes(), chips=st.integers(1, 72), rule=st.sampled_from(RULES))
def test_a_refusal_is_what_the_rule_says_and_its_mend_works(model: Model, chips: int, rule: HeadRule | None) -> None:
    """Against the words of the rule: vLLM's `heads % tp == 0`, and one of tp and KV heads divides the other."""
    plan, kv = Plan(chips, chips), model.kv_heads
    divides = model.heads % chips == 0
    even = kv % chips == 0 if kv >= chips else chips % kv == 0
    wrong = rule is not None and ((rule.query == "divide" and not divides) or (rule.kv == "even" and not even))
    assert bool(refusal(rule, model, plan)) == wrong
    taken = accepted(rule, model, chips)
    assert 1 in taken
    named = [int(each) for each in re.findall(r"\d+", mend(rule, model, chips, 72).split("would")[0])]
    assert named and not any(refusal(rule, model, Plan(each, each)) for each in named)
    if is_certain(rule, model, plan):
        assert not wrong
    if rule is None:
        assert is_certain(rule, model, plan) == (divides and even)


@pytest.mark.parametrize("name", sorted(shipped_runtimes()))
def test_shipped_runtimes_say_what_they_refuse_or_that_nobody_tells(name: str) -> None:
    """Every runtime of vLLM's own configuration refuses what vLLM refuses; a rule has a source."""
    rule = load_yaml(shipped_runtimes()[name], Runtime).heads
    if name.startswith("vllm") and name != "vllm-rbln":
        assert rule is not None and (rule.query, rule.kv) == ("divide", "even")
    if rule is not None:
        assert rule.source.strip()


@pytest.mark.parametrize("arch", ["h200", "rngd", "gaudi-3", "trainium2", "rebel100"])
@pytest.mark.parametrize("model", ["qwen2.5-7b", "qwen2.5-1.5b", "qwen2.5-14b", "llama-3.1-8b"])
def test_no_default_and_no_recommended_plan_is_refused(arch: str, model: str) -> None:
    """28, 12, 40 and 32 heads: the smallest cards, the widest plan, and every plan that a search looks at."""
    base = deploy(arch, model, cards="auto")
    fitting, rule = base.fitting, base.runtime.heads
    assert not refusal(rule, base.model, base.plan)
    most = min(4, base.system.max_cards)
    assert not refusal(rule, base.model, fitting.widest(most))
    looked_at = [plan for plan in all_plans(base.system, base.model, most) if fitting.recommends(plan, 1)]
    assert looked_at and not any(refusal(rule, base.model, plan) for plan in looked_at)
    if rule is None:
        assert all(base.model.heads % plan.tensor_parallel == 0 for plan in looked_at)


def test_the_search_passes_over_what_the_runtime_refuses() -> None:
    """Seven chips divide 28 heads and not 4 KV heads; eight divide neither."""
    base = deploy("h200", "qwen2.5-7b")
    looked_at, _ = planning._with_room(base, 512, Wish("tpot"))
    assert {where.plan.tensor_parallel for where in looked_at} == {1, 2, 4}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "step h200 qwen2.5-7b --phase decode --batch 1 --context 64 --cards 4 --tp 3",
            "refuses 28 query heads over 3 chips",
        ),
        ("step h200 qwen2.5-7b --phase decode --batch 1 --context 64 --plan tp7", "refuses 4 KV heads over 7 chips"),
        ("run h200 qwen2.5-7b --isl 64 --osl 8 --concurrency 1 --cards 8", "refuses 28 query heads over 8 chips"),
        (
            "run h200 llama-3.1-8b --isl 64 --osl 8 --concurrency 1 --plan tp3-dp2",
            "refuses 32 query heads over 3 chips",
        ),
    ],
)
def test_a_refused_plan_exits_with_one_line(arguments: str, words: str) -> None:
    told = tell(*arguments.split())
    lines = told.err.strip().splitlines()
    assert told.code == 2 and len(lines) == 1
    assert "vllm" in lines[0] and words in lines[0] and "would do (--tp " in lines[0]


def test_a_runtime_that_pads_prices_it() -> None:
    """32 heads over 3 chips are 33: a step of attention costs as much as that of the widest chip."""
    uneven, even = (deploy("rngd", "llama-3.1-8b", cards=4, tensor_parallel=chips) for chips in (3, 4))
    assert uneven.plan.tensor_parallel == 3 and uneven.runtime.heads is not None
    assert uneven.fitting.footprint(uneven.plan).weight_bytes > even.fitting.footprint(even.plan).weight_bytes


def test_another_runtime_may_take_what_the_own_refuses() -> None:
    with pytest.raises(UserError, match="vllm refuses 28 query heads over 8 chips"):
        deploy("h200", "qwen2.5-7b", cards=8)
    assert deploy("h200", "qwen2.5-7b", cards=8, runtime="cuda-graph-engine").plan.tensor_parallel == 8
