"""Plans: which there are, what each rank holds, pipelines and their bubbles, replicas, and the search for the best."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import DoesNotFit, UserError
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.fitting import Fitting
from npusim.mapping.lower import program, stage_programs
from npusim.mapping.micro_batches import bubble_s, micro_steps
from npusim.mapping.optable import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, ATTENTION, SEND_RECV
from npusim.mapping.plan import Plan, all_plans, named_plan, objection, plan_of
from npusim.mapping.stages import stages
from npusim.serving.load import random_load
from npusim.serving.metrics import measure
from npusim.serving.planning import OBJECTIVES, PlanScore, Wish, best_for_run, estimate_plan, front
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision
from npusim.workload.step import decode, prefill

Deploy = Callable[..., Deployment]
BF16 = resolve_precision("bf16", "bf16")


def brute_force(arch: str, model: str, cards: int) -> set[tuple[int, int, int, int]]:
    """(TP, PP, EP, DP) of every plan, by the rules alone."""
    system, shape = load_system(arch), load_model(model)
    most, experts = cards * system.chips_per_card, shape.experts.count if shape.experts else 1
    found = set()
    for tp, pp, ep, dp in product(range(1, most + 1), repeat=4):
        chips = tp * pp * dp
        if chips > most or chips % system.chips_per_card or tp > shape.heads or pp > shape.layers:
            continue
        if ep > 1 and (ep > experts or experts == 1 or (tp * dp) % ep or ep % dp):
            continue
        found.add((tp, pp, ep, dp))
    return found


@pytest.mark.parametrize(
    ("arch", "model", "cards"),
    [("rngd", "llama-3.1-8b", 4), ("rngd-plus-max", "llama-3.1-8b", 3), ("h200", "gpt-oss-20b", 4)],
)
def test_every_plan_is_found_once(arch: str, model: str, cards: int) -> None:
    plans = list(all_plans(load_system(arch), load_model(model), cards))
    found = [(p.tensor_parallel, p.pipeline_parallel, p.expert_parallel, p.data_parallel) for p in plans]
    assert len(found) == len(set(found))
    assert set(found) == brute_force(arch, model, cards)
    assert all(plan.cards * load_system(arch).chips_per_card == plan.chips for plan in plans)


@pytest.mark.parametrize("name", ["tp4-pp2", "TP4 PP2", "pp2_tp4"])
def test_plans_have_names(name: str) -> None:
    plan = named_plan(load_system("rngd"), load_model("llama-3.1-8b"), name)
    assert plan == Plan(4, 8, pipeline_parallel=2, micro_batches=2)
    assert plan.name == "TP4 PP2"


@pytest.mark.parametrize(
    ("degrees", "reason"),
    [
        ({"tensor_parallel": 9}, "9 chips, but rngd joins at most 8"),
        ({"pipeline_parallel": 3, "data_parallel": 3}, "9 chips, but rngd joins at most 8"),
        ({"expert_parallel": 2, "tensor_parallel": 2}, "llama-3.1-8b has no experts to spread"),
        ({"data_parallel": 0}, "degrees start at 1"),
    ],
)
def test_a_plan_that_cannot_be_says_why(degrees: dict[str, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        plan_of(load_system("rngd"), load_model("llama-3.1-8b"), **degrees)


def test_experts_reach_over_all_replicas() -> None:
    system, model = load_system("h200"), load_model("gpt-oss-20b")
    assert "must divide TP x DP" in objection(Plan(2, 2, expert_parallel=4), system, model)
    assert "multiple of DP" in objection(Plan(2, 8, expert_parallel=2, data_parallel=4), system, model)
    assert not objection(Plan(2, 4, expert_parallel=4, data_parallel=2), system, model)


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_stages_hold_every_layer_once(count: int) -> None:
    model = load_model("deepseek-v3")
    cut = stages(model, Plan(1, count, pipeline_parallel=count))
    layers = [layer for stage in cut for run, repeats in stage.segments for _ in range(repeats) for layer in run]
    assert tuple(layers) == model.layer_kinds
    assert [stage.first for stage in cut] == [index == 0 for index in range(count)]
    assert [stage.last for stage in cut] == [index == count - 1 for index in range(count)]


def test_a_stage_sends_its_tokens_on() -> None:
    model = load_model("llama-3.1-8b")
    for rows in stage_programs(model, BF16, Plan(2, 4, pipeline_parallel=2, micro_batches=2)):
        (send,) = rows[rows["op"] == SEND_RECV]
        assert send["n"] == model.hidden
        attention = rows[rows["kind"] == ATTENTION]
        assert attention["repeat"].sum() == model.layers / 2


def test_replicas_with_common_experts_exchange_tokens() -> None:
    """Each chip sends its part of its replica's tokens, once for each expert that they go to, and gets them back."""
    model = load_model("gpt-oss-20b")
    assert model.experts is not None
    rows = program(model, BF16, Plan(2, 4, expert_parallel=4, data_parallel=2))
    exchanges = rows[rows["op"] == ALL_TO_ALL]
    layers = len(rows[rows["kind"] == ATTENTION])
    assert len(exchanges) == 2 * layers
    assert (exchanges["n"] == model.hidden * model.experts.chosen / 2).all()
    assert len(rows[rows["op"] == ALL_REDUCE]) == len(rows[(rows["op"] == ALL_GATHER)]) - 1 == layers
    alone = program(model, BF16, Plan(2, 2, expert_parallel=2))
    assert not (alone["op"] == ALL_TO_ALL).any()


@pytest.mark.parametrize(("parts", "stage_count"), [(1, 4), (2, 4), (4, 4), (8, 4), (3, 2)])
def test_bubbles(parts: int, stage_count: int) -> None:
    """GPipe: a prompt of m parts through s stages takes (m + s - 1) / m as long; decoding waits where m < s."""
    plan = Plan(1, stage_count, pipeline_parallel=stage_count, micro_batches=parts)
    times = [0.25] * parts
    busy = sum(times)
    assert busy + bubble_s(times, plan, decoding=False) == pytest.approx((parts + stage_count - 1) * 0.25)
    assert busy + bubble_s(times, plan, decoding=True) == pytest.approx(max(parts, stage_count) * 0.25)


def test_micro_batches_hold_every_token_once() -> None:
    parts = micro_steps(decode([5, 6, 7, 8, 9]), 2)
    assert np.concatenate([part.context for part in parts]).tolist() == [5, 6, 7, 8, 9]
    cut = micro_steps(prefill(1, 10, 30), 4)
    assert sum(int(part.query[0]) for part in cut) == 10
    assert [int(part.context[0]) for part in cut] == [22, 25, 27, 30]
    assert len(micro_steps(prefill(1, 2), 4)) == 2


def test_a_run_of_steps_costs_what_its_steps_do(deployed: Deploy) -> None:
    """The compiled loop and the single step agree under a pipeline, joules of waiting stages included."""
    where = deployed("h200", "llama-3.1-8b", plan="tp1-pp4")
    engine = AnalyticEngine(where, max_sequences=6)
    contexts = np.array([100, 400, 900, 1600, 2500, 3600])
    step = engine.with_host(engine.cost(decode(contexts)), len(contexts))
    run = engine.decode_run(contexts - 1, len(contexts), 1, np.inf, 0, 0)
    stall_s = engine.stall_s(0, 0)
    assert run.times_s[0] == pytest.approx(step.time_s + stall_s, rel=1e-12)
    assert run.energies_j[0] == pytest.approx(engine.waiting(step, stall_s).energy_j, rel=1e-9)
    assert sum(step.shares_s.values()) == pytest.approx(step.time_s)


def test_a_single_sequence_gains_nothing_from_stages(deployed: Deploy) -> None:
    """Its token passes one stage after the other, each with its part of the layers."""
    times = []
    for plan in ("tp1", "tp1-pp4"):
        engine = AnalyticEngine(deployed("h200", "llama-3.1-8b", plan=plan), max_sequences=1)
        times.append(engine.cost(decode([1000])).time_s)
    assert times[0] < times[1] < 1.3 * times[0]


def test_replicas_serve_their_share(deployed: Deploy) -> None:
    """Two replicas with two users each are two servers of one card with two users."""
    one = measure(simulate(deployed("rngd", "llama-3.1-8b"), random_load(64, 8, Closed(2), 4), 0))
    two = measure(simulate(deployed("rngd", "llama-3.1-8b", plan="tp1-dp2"), random_load(64, 8, Closed(4), 8), 0))
    assert two["requests"] == 2 * one["requests"]
    assert two["output_tokens_per_s"] == pytest.approx(2 * one["output_tokens_per_s"])
    assert two["power_w_mean"] == pytest.approx(2 * one["power_w_mean"])
    assert two["tokens_per_joule"] == pytest.approx(one["tokens_per_joule"])
    assert two["tpot_ms_mean"] == pytest.approx(one["tpot_ms_mean"])


def test_a_bit_too_large_is_refused_with_the_numbers() -> None:
    where = deploy("rngd-server", "llama-3.1-405b", precision="fp8", cards=8)
    with pytest.raises(DoesNotFit) as caught:
        where.require_fit(1)
    told = caught.value.message
    assert "each chip would hold 47.8 GiB of weights; 47.5 GiB are usable" in told
    assert "choose a smaller precision: w4a16 would do there" in told
    assert caught.value.cards_needed is None


def test_a_plan_that_would_fit_is_named() -> None:
    """Where tensor parallelism alone has no room on a power of two of cards, the pipeline that has."""
    where = deploy("rngd", "llama-3.3-70b", precision="bf16", plan="tp1-pp2")
    with pytest.raises(DoesNotFit, match=r"4 cards would do \(--cards 4\)"):
        where.require_fit(1)
    small = where.machine.copy()
    small["memory_usable_capacity"] = 21.5 * 2**30
    fitting = Fitting(where.system, small, where.runtime_record, where.model, where.precision)
    plan = fitting.fitting_plan(1)
    assert plan is not None
    assert fitting.holds(plan, 1)
    assert not any(
        fitting.holds(other, 1)
        for other in all_plans(where.system, where.model, plan.cards - 1)
        if other.data_parallel == 1
    )
    assert plan.name in fitting.does_not_fit(Plan(1, 1), 1).message or fitting.cards_needed(1) is not None


def test_usual_cards_are_filled_with_replicas() -> None:
    assert deploy("rngd-server", "llama-3.1-8b", cards=None).plan == Plan(1, 8, data_parallel=8)
    assert deploy("rngd-server", "llama-3.3-70b", cards=None).plan == Plan(4, 8, data_parallel=2)
    assert deploy("rngd-server", "llama-3.1-8b", cards=2).plan == Plan(2, 2)
    assert deploy("rngd", "llama-3.1-8b", cards=None).plan == Plan(1, 1)


def test_two_chips_of_a_card_share_a_layer() -> None:
    where = deploy("rngd-plus-max", "llama-3.1-8b", cards=1)
    assert where.plan == Plan(2, 1)
    assert not where.system.silicon


def test_an_extended_architecture_takes_over_what_it_does_not_say(tmp_path: Path) -> None:
    server, card = load_system("rngd-server"), load_system("rngd")
    assert (server.chip, server.card, server.server.fabric) == (card.chip, card.card, card.server.fabric)
    assert (server.name, server.usual_cards, card.usual_cards) == ("rngd-server", 8, 1)
    (tmp_path / "mine.yaml").write_text("extends: nothing\nname: mine\n")
    with pytest.raises(UserError, match="no such file; known: a100"):
        load_system(str(tmp_path / "mine.yaml"))


def _score(cards: int, tpot: float, rate: float, joule: float) -> PlanScore:
    return PlanScore(Plan(1, cards), 1.0, tpot, rate, joule, "memory")


def test_the_front_holds_what_nothing_beats() -> None:
    best, other, beaten = _score(2, 1.0, 9.0, 1.0), _score(2, 2.0, 10.0, 1.0), _score(2, 2.0, 9.0, 0.5)
    alike = _score(1, 1.0, 9.0, 1.0)
    assert front([best, other, beaten]) == [best, other]
    assert front([best, alike]) == [alike]


def test_the_search_takes_the_best_of_all(deployed: Deploy) -> None:
    """Against serving every plan in turn."""
    base = deployed("rngd", "llama-3.1-8b")
    load = random_load(64, 8, Closed(4), 8)
    plans = [plan for plan in all_plans(base.system, base.model, 2) if base.fitting.holds(plan, 72)]
    served = {plan: measure(simulate(base.under(plan), load, 0)) for plan in plans}
    for objective, figure in (("tpot", "tpot_ms"), ("throughput", "output_tokens_per_s")):
        found = best_for_run(base, load, 4, Wish(objective, cards=2), 0)
        assert found.considered == len(list(all_plans(base.system, base.model, 2)))
        values = {
            plan: metrics["tpot_ms_mean"] if figure == "tpot_ms" else -metrics["output_tokens_per_s"]
            for plan, metrics in served.items()
        }
        assert values[found.best.plan] <= min(values.values()) * (1.0 if min(values.values()) < 0 else 1.05)


def test_limits_hold_or_are_refused(deployed: Deploy) -> None:
    base, load = deployed("rngd", "llama-3.1-8b"), random_load(64, 8, Closed(2), 4)
    with pytest.raises(UserError, match="no plan keeps the limits: the least TTFT is"):
        best_for_run(base, load, 2, Wish(tpot_limit_ms=0.001, cards=2), 0)
    found = best_for_run(base, load, 2, Wish("throughput", tpot_limit_ms=1e6, cards=2), 0)
    assert all(score.served and score.bound for score in found.front)


def test_estimates_rank_like_runs(deployed: Deploy) -> None:
    base, load = deployed("h200", "llama-3.1-8b"), random_load(512, 32, Closed(16), 32)
    plans = [
        plan_of(base.system, base.model, tensor_parallel=tp, data_parallel=dp) for tp, dp in ((1, 1), (1, 4), (4, 1))
    ]
    rates = [measure(simulate(base.under(plan), load, 0))["output_tokens_per_s"] for plan in plans]
    guesses = [estimate_plan(base.under(plan), 512, 32, 16).output_tokens_per_s for plan in plans]
    assert np.argsort(rates).tolist() == np.argsort(guesses).tolist()
    assert guesses == pytest.approx(rates, rel=0.35)
    assert set(OBJECTIVES) == {"throughput", "tpot", "efficiency"}
