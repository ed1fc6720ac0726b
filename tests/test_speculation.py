"""Speculative decoding: what a step that verifies drafts computes, what it costs, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_support import drafting

from npusim.engine.elasticity import elasticities
from npusim.engine.speculation import SpeculativeEngine, analytic_engine
from npusim.errors import UserError
from npusim.hardware.drafting import MOST_DRAFTED, read_drafting, shipped_drafting
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.lower import lower
from npusim.mapping.optable import ATTENTION, LINEAR, LM_HEAD
from npusim.mapping.plan import Plan
from npusim.mapping.shared import ranged_shared, with_shared
from npusim.serving.drafts import Drafts
from npusim.serving.load import random_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision
from npusim.workload.step import decode

Deploy = Callable[..., Deployment]
MODEL = "llama-3.1-8b"
CHANCE = st.just(0.0) | st.floats(1e-6, 1.0, exclude_max=True)
FREE = "waits: false\n" + "".join(
    f"{name}: {{value: 0 s, kind: derived, source: the test}}\n" for name in ("turn_time", "token_time", "pass_time")
)
"""Software that takes no time."""


def free(folder: Path, kind: str, rest: str) -> str:
    """The file of a way of drafting whose software takes no time."""
    path = folder / f"{kind}-{len(list(folder.iterdir()))}.yaml"
    path.write_text(f"extends: {kind}\nname: free-{kind}\ntitle: as the test has it\n{FREE}{rest}\n")
    return str(path)


def chances(*values: float) -> str:
    told = (f"{{value: {each}, kind: derived, source: the test}}" for each in values)
    return f"acceptance: [{', '.join(told)}]"


def served(deployment: Deployment, users: int = 4, osl: int = 200, requests: int | None = None) -> RunMetrics:
    return measure(simulate(deployment, random_load(512, osl, Closed(users), requests or users), 1))


def test_verification_computes_every_drafted_token_and_reads_weights_once() -> None:
    model, bf16, one = load_model(MODEL), resolve_precision("bf16", "bf16"), Plan(1, 1)
    plain, verified = (lower(model, bf16, one, decode([1000, 500], query=query)).rows for query in (1, 4))
    for before, after in zip(plain, verified, strict=True):
        assert after["m"] == 4 * before["m"]
        if before["kind"] == LINEAR:
            assert (after["weight_bytes"], after["flops"]) == (before["weight_bytes"], 4 * before["flops"])
    head = verified[verified["op"] == LM_HEAD]
    assert head["m"] == 8, "every drafted position needs logits"
    attention, own = verified[verified["kind"] == ATTENTION][0], plain[plain["kind"] == ATTENTION][0]
    # Causal: of four new tokens at 997 ... 1000, each sees what is before it and itself.
    assert attention["pairs"] == sum(range(997, 1001)) + sum(range(497, 501))
    assert attention["kv_read_bytes"] == own["kv_read_bytes"]
    assert attention["kv_write_bytes"] == 4 * own["kv_write_bytes"]


@pytest.mark.parametrize("arch", ["h200", "rngd"])
def test_a_few_tokens_more_cost_a_small_batch_little_and_a_large_one_much(deployed: Deploy, arch: str) -> None:
    engine = analytic_engine(deployed(arch, MODEL))

    def longer(batch: int) -> float:
        times = [engine.cost(decode(np.full(batch, 1024), query=query)).time_s for query in (1, 5)]
        return times[1] / times[0]

    assert 1.0 <= longer(1) < 1.35
    assert longer(1) < longer(32) < 5.0


@given(CHANCE, st.integers(1, 12))
def test_tokens_a_step_are_those_of_the_closed_form(chance: float, drafted: int) -> None:
    """Leviathan, Kalman, Matias 2023, equation 1."""
    found = read_drafting(f"ngram:k={drafted}:a={chance!r}")
    assert found is not None
    assert found.tokens_per_step == pytest.approx((1.0 - chance ** (drafted + 1)) / (1.0 - chance))


@pytest.mark.parametrize("drafted", [1, 3, 8])
@pytest.mark.parametrize("chance", [0.0, 0.3, 0.8, 1.0])
def test_drawn_tokens_have_the_mean_of_the_closed_form(chance: float, drafted: int) -> None:
    sequences, steps = 400, 500
    drafts = Drafts(np.full(drafted, chance), 7, None)  # type: ignore[arg-type]
    numbers = np.arange(sequences)
    tokens = drafts.tokens(numbers, np.ones_like(numbers), np.full_like(numbers, 10**6), steps)
    expected = 1 + drafted if chance == 1.0 else (1.0 - chance ** (drafted + 1)) / (1.0 - chance)
    assert tokens.mean() == pytest.approx(expected, rel=0.01)
    assert tokens.min() >= 1 and tokens.max() <= 1 + drafted


def test_draws_hang_on_places_in_answers_and_end_with_them() -> None:
    """However steps are asked for, and whoever is beside: the same tokens; no more than remain."""
    drafts = Drafts(np.array([0.7, 0.6, 0.5]), 3, None)  # type: ignore[arg-type]
    at_once = drafts.tokens(np.array([5, 9]), np.array([1, 1]), np.array([60, 20]), 30)
    assert at_once.sum(axis=0).tolist() == [60, 20]
    generated, remaining, found = 1, 60, []
    while remaining:
        (step,) = drafts.tokens(np.array([5]), np.array([generated]), np.array([remaining]), 1)
        generated, remaining = generated + int(step[0]), remaining - int(step[0])
        found.append(int(step[0]))
    assert found == [each for each in at_once[:, 0].tolist() if each]


def test_no_drafted_token_is_no_drafting(deployed: Deploy) -> None:
    assert deployed("h200", MODEL, drafting="ngram:k=0").drafting is None
    assert drafting(deployed("h200", MODEL), "draft:k=0").drafting is None


def test_speed_up_is_that_of_the_closed_form(deployed: Deploy, tmp_path: Path) -> None:
    """Leviathan et al. 2023, theorem 3.8: (1 - a^(k+1)) / ((1 - a) (k c + 1)), c a pass of the draft over one of the
    model; while verification costs what a token costs, so at one user."""
    chance, drafted = 0.8, 4
    text = free(tmp_path, "draft", f"model: llama-3.2-1b\ntokens: {drafted}\n{chances(chance)}")
    plain, fast = (deployed("h200", MODEL, runtime="vllm-0.24", drafting=each) for each in (None, text))
    engine = analytic_engine(fast)
    assert isinstance(engine, SpeculativeEngine) and engine.drafter is not None
    model_s = analytic_engine(plain).cost(decode([700])).time_s
    cost = engine.drafter.cost(decode([700])).time_s / model_s
    expected = (1.0 - chance ** (drafted + 1)) / ((1.0 - chance) * (drafted * cost + 1.0))
    gained = served(plain, 1, 1000)["tpot_ms_mean"] / served(fast, 1, 1000, 8)["tpot_ms_mean"]
    assert gained == pytest.approx(expected, rel=0.03)


def test_what_is_never_accepted_never_helps_and_what_always_is_gives_all(deployed: Deploy, tmp_path: Path) -> None:
    plain = served(deployed("h200", MODEL))
    for kind, rest in (("ngram", ""), ("draft", "model: llama-3.2-1b\n"), ("eagle", ""), ("mtp", "")):
        vain = served(deployed("h200", MODEL, drafting=free(tmp_path, kind, f"{rest}tokens: 3\n{chances(0.0)}")))
        assert vain["tpot_ms_mean"] >= plain["tpot_ms_mean"]
        assert vain["itl_ms_mean"] == pytest.approx(vain["tpot_ms_mean"])
    fast = served(deployed("h200", MODEL, drafting=free(tmp_path, "ngram", f"tokens: 3\n{chances(1.0)}")), osl=201)
    assert fast["itl_ms_mean"] == pytest.approx(4 * fast["tpot_ms_mean"])
    assert 3.5 * fast["tpot_ms_mean"] < plain["tpot_ms_mean"] < 4.0 * fast["tpot_ms_mean"]


def test_a_stream_pauses_longer_than_a_token_takes(deployed: Deploy) -> None:
    run = served(deployed("h200", MODEL, drafting="ngram:k=3:a=0.5"), users=8)
    assert run["itl_ms_mean"] == pytest.approx(1.875 * run["tpot_ms_mean"], rel=0.05)


def test_a_large_batch_loses_and_says_by_what(deployed: Deploy) -> None:
    """Its arithmetic binds: computing rejected tokens takes more than accepted ones save."""
    plain, fast = deployed("h200", MODEL), deployed("h200", MODEL, drafting="ngram:k=4:a=0.4")
    gains = [served(plain, users)["tpot_ms_mean"] / served(fast, users)["tpot_ms_mean"] for users in (1, 256)]
    assert gains[0] > 1.2 and gains[1] < 1.0
    engine, step = analytic_engine(fast), fast.decoding(np.full(256, 600))
    assert elasticities(fast, engine, step).bound in ("contraction", "power")
    assert elasticities(plain, analytic_engine(plain), plain.decoding(np.full(8, 600))).bound == "memory"


def test_a_drafting_model_takes_memory_for_weights_and_every_token(deployed: Deploy) -> None:
    plain, beside = (deployed("h200", MODEL, drafting=each).require_fit(1) for each in (None, "draft:llama-3.2-1b"))
    alone = deployed("h200", "llama-3.2-1b").require_fit(1)
    assert beside.weight_bytes == plain.weight_bytes + alone.weight_bytes
    assert beside.kv_bytes_per_token == plain.kv_bytes_per_token + alone.kv_bytes_per_token
    head = deployed("h200", "deepseek-v3", precision="fp8", cards=8, drafting="mtp").require_fit(1)
    without = deployed("h200", "deepseek-v3", precision="fp8", cards=8).require_fit(1)
    one_layer = without.kv_bytes_per_token / 61
    assert head.kv_bytes_per_token == pytest.approx(without.kv_bytes_per_token + one_layer)
    assert 1.0 < (head.weight_bytes - without.weight_bytes) / (without.weight_bytes / 61) < 1.2


def test_multi_token_prediction_gains_what_its_makers_say(deployed: Deploy) -> None:
    """DeepSeek-V3 (arXiv 2412.19437), section 5.4.3: 85 to 90 % accepted, 1.8 times the tokens per second.

    That is many cards with a few experts each; where a step reads more experts for more tokens, less is gained.
    """
    runs = (deployed("h200", "deepseek-v3", precision="fp8", cards=8, drafting=each) for each in (None, "mtp:k=1"))
    plain, fast = (served(run, 8, 120)["tpot_ms_mean"] for run in runs)
    assert 1.3 < plain / fast < 1.87


def test_pipeline_stages_wait_for_drafts(deployed: Deploy) -> None:
    run = deployed("h200", "llama-3.3-70b", plan="tp2-pp2", drafting="eagle:k=2")
    step = run.decoding([500] * 4)
    engine, flat = analytic_engine(run), analytic_engine(deployed("h200", "llama-3.3-70b", plan="tp2-pp2"))
    cost, plain = engine.cost(step), flat.cost(step)
    assert cost.time_s > plain.time_s
    assert sum(cost.parts_j.values()) == pytest.approx(cost.energy_j)
    assert sum(cost.shares_s.values()) == pytest.approx(cost.time_s)


def test_acceptance_is_drawn_over_its_range(deployed: Deploy) -> None:
    where = deployed("h200", MODEL, drafting="ngram:k=3")
    numbers = {each.label: each for each in ranged_shared(where) if each.owner == "drafting/ngram"}
    assert {"acceptance.0", "turn_time", "token_time"} <= numbers.keys()
    moved = with_shared(where, {numbers["acceptance.0"]: 0.75})
    assert moved.drafting is not None and moved.drafting.profile.tolist() == [0.75] * 3
    assert with_shared(where, {}) is where


@pytest.mark.parametrize("name", shipped_drafting())
def test_every_shipped_way_is_described(name: str) -> None:
    told = f"{name}:llama-3.2-1b" if name == "draft" else name
    found = read_drafting(told)
    assert found is not None and found.name == name
    assert 1.0 < found.tokens_per_step <= 1 + found.tokens
    assert all(each.low is not None and each.low < each.value < (each.high or 0.0) for each in found.acceptance)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nigram:k=2", "known: draft, eagle, mtp, ngram"),
        ("ngram:k=-1", "give 0 to 64"),
        (f"ngram:k={MOST_DRAFTED + 1}", "give 0 to 64"),
        ("ngram:a=1.5", "give 0 to 1"),
        ("ngram:a=nan", "give 0 to 1"),
        ("ngram:k=2:k=3", "cannot be read"),
        ("ngram:llama-3.2-1b", "only kind draft takes a model"),
        ("draft:k=2", "which model drafts?"),
        ("draft:qwen2.5-0.5b", "same vocabulary"),
        ("draft:llama-9-1b", "unknown model"),
        ("absent.yaml", "cannot be read"),
    ],
)
def test_mistakes_name_the_mend(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        deploy("h200", MODEL, drafting=text)


def test_a_head_is_for_heads_alone(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("extends: ngram\nname: odd\ntitle: odd\nhead: {features: 2, source: the test}\n")
    with pytest.raises(UserError, match="'head' is for kinds eagle and mtp"):
        read_drafting(str(path))


def test_a_run_of_the_event_engine_says_that_it_cannot(deployed: Deploy) -> None:
    from npusim.answers.predict import predict_run

    where = deployed("h200", MODEL, drafting="ngram:k=2")
    with pytest.raises(UserError, match="leave --engine event out"):
        predict_run(where, isl=64, osl=8, concurrency=1, engine="event")
    assert replace(where, drafting=None).drafted == 0
