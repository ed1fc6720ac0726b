"""Tables of targets, the ranking of proposals, risks, demands, templates and the two sheets."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import DoesNotFit
from npusim.explore.evaluate import draws, prediction, scoring
from npusim.explore.evaluate.answer import evaluation_json
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.comparing import beside_json, compare_proposals
from npusim.explore.evaluate.draws import DRAWS
from npusim.explore.evaluate.information import WELL, after, gain_bits, margin_of
from npusim.explore.evaluate.page import evaluation_page
from npusim.explore.evaluate.placing import deployment_of, goodness_on
from npusim.explore.evaluate.prediction import predict_claim
from npusim.explore.evaluate.proposal import Proposal, architecture_of, load_proposal
from npusim.explore.evaluate.ranking import rank_probability, ranked
from npusim.explore.evaluate.ranking_page import ranking_page
from npusim.explore.evaluate.readings import readings
from npusim.explore.evaluate.run import Evaluation, evaluate_proposal
from npusim.explore.evaluate.scoring import BATCHES, Score, load_rule, score_of
from npusim.explore.evaluate.target_units import worth
from npusim.explore.evaluate.templates import proposal_templates
from npusim.explore.evaluate.worlds_best import compared_with_worlds_best, worlds_best
from npusim.mapping.deployment import Deployment
from npusim.report.page import render
from npusim.serving.joint import SPREAD
from npusim.words import catalogue, speaker

FEW = 8
ROOT = Path(__file__).resolve().parents[1]
TOLD = {"precision": "bf16", "kv_precision": "bf16", "prompts": "different", "software": "as-labs-ran"}
RUN = TOLD | {"model": "llama-3.1-8b", "cards": 1, "isl": 128, "osl": 128, "users": 1, "text": "t"}
SPEED = RUN | {"name": "speed", "metric": "tokens_per_s_per_user", "at_least": 55}
POWER = RUN | {"name": "power", "metric": "power_w", "at_most": 190}
YEARS = [{"year": 2027, "at_least": 30}, {"year": 2028, "at_least": 61}, {"year": 2029, "at_least": 400}]
TARGETS = [
    {"item": "속도", "unit": "토큰/초", "weight_percent": 50, "claim": "speed", "years": YEARS,
     "world_best": {"value": 150, "holder": "somebody"}, "domestic": {"value": 50, "holder": "us"}},
    {"item": "전력", "unit": "kW", "weight_percent": 30, "claim": "power", "years": [{"year": 2029, "at_most": 0.19}]},
    {"item": "논문", "unit": "편", "weight_percent": 20, "years": [{"year": 2029, "at_least": 5}]},
]  # fmt: skip
BASE: dict[str, Any] = {
    "name": "p",
    "title": "제안",
    "architecture": "rngd",
    "context_of_use": "시험",
    "maturity": {"trl": 5, "evidence": "시제품", "target_trl": 7},
    "claims": [SPEED, POWER],
    "targets": TARGETS,
    "risks": [{"risk": "공정 지연", "likelihood": "medium", "impact": "high", "mitigation": "이중 파운드리"}],
    "resources": {"months": 36, "people": 12, "budget": [{"year": 2027, "amount": 2e9}]},
}


def written(folder: Path, name: str = "p", **changes: object) -> Path:
    path = folder / f"{name}.yaml"
    told = copy.deepcopy(BASE) | {"name": name} | changes
    path.write_text(yaml.safe_dump(told, allow_unicode=True), encoding="utf-8")
    return path


def evaluated(path: Path, seed: int = 0) -> Evaluation:
    return evaluate_proposal(load_proposal(path), path, seed, lambda _: None)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated(written(tmp_path_factory.mktemp("proposal")))


@pytest.fixture(scope="module")
def answer(found: Evaluation) -> dict[str, Any]:
    return evaluation_json(found, score_of(found.items, load_rule("expected-weight")))


def test_each_year_has_a_verdict_by_the_machinery_of_claims(answer: dict[str, Any]) -> None:
    speed = answer["targets"][0]
    assert [year["decision"] for year in speed["years"]] == ["accept", "conditional", "reject"]
    chances = [year["probability"] for year in speed["years"]]
    assert chances == sorted(chances, reverse=True) and chances[0] > 0.99 and chances[2] == 0.0
    (claim,) = (each for each in answer["claims"] if each["claim"] == "speed")
    for year in speed["years"]:
        assert (year["predicted"], year["low"], year["high"]) == (claim["predicted"], claim["low"], claim["high"])


def test_a_target_equal_to_its_claim_has_the_claim_s_probability(found: Evaluation) -> None:
    power = found.targets[1]
    assert power.last.judged is found.judged[1], "190 W are 0.19 kW"
    low, value, high = power.last.interval or (0.0, 0.0, 0.0)
    known = found.judged[1].prediction
    assert known is not None
    assert (1e3 * low, 1e3 * value, 1e3 * high) == pytest.approx((known.low, known.value, known.high))


def test_what_npusim_cannot_predict_is_not_decidable_and_says_why(answer: dict[str, Any]) -> None:
    papers = answer["targets"][2]
    assert papers["years"][0]["decision"] == "not decidable here" and papers["years"][0]["probability"] is None
    assert "npusim predicts" in papers["reason"]
    assert answer["score"]["decidable_percent"] == pytest.approx(80.0)


def test_the_score_is_weight_times_probability_of_the_last_year(answer: dict[str, Any]) -> None:
    last = [target["years"][-1]["probability"] for target in answer["targets"][:2]]
    assert answer["score"]["value"] == pytest.approx(100.0 * (50 * last[0] + 30 * last[1]) / 80)
    assert answer["score"]["low"] <= answer["score"]["value"] <= answer["score"]["high"]


def test_a_told_world_s_best_is_contradicted_by_a_known_better_one(answer: dict[str, Any]) -> None:
    best = answer["targets"][0]["world_best"]
    assert best["status"] == "contradicted" and best["known"]["holder"] == "NVIDIA H200" and best["differs"] == []
    line, other = answer["targets"][0]["contradictions"]
    assert "H200" in line and "150" in line and "claim is told as 55" in other
    assert not answer["targets"][1]["contradictions"]


def test_other_conditions_question_and_do_not_contradict(found: Evaluation, tmp_path: Path) -> None:
    """No row has a prompt of 96 tokens: an honest table may know a best level that npusim's rows do not refute."""
    judged = found.judged[0]
    other = judged.reading.claim.model_copy(update={"isl": 96})
    moved = replace(judged, reading=replace(judged.reading, claim=other))
    status = compared_with_worlds_best(found.targets[0].told, moved, 1.0)
    assert status.status == "questioned" and "isl" in status.differs
    told = found.targets[0].told.world_best
    assert told is not None
    honest = found.targets[0].told.model_copy(update={"world_best": told.model_copy(update={"value": 500.0})})
    assert compared_with_worlds_best(honest, judged, 1.0).status == "better than known"


def test_every_row_of_the_world_s_best_has_a_source_and_a_metric_of_claims() -> None:
    rows = worlds_best().rows
    assert len(rows) > 15 and all(row.source and row.holder for row in rows)
    assert len({json.dumps(row.model_dump(mode="json"), sort_keys=True) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"targets": [{**TARGETS[0], "weight_percent": 40}, *TARGETS[1:]]}, ("targets", "90 %", "100 %")),
        ({"targets": [{**TARGETS[0], "claim": "sped"}, *TARGETS[1:]]}, ("'sped'", "known: speed, power")),
        ({"targets": [{**TARGETS[0], "unit": "ms"}, *TARGETS[1:]]}, ("unit", "'ms'", "tokens/s/user")),
        ({"targets": [{**TARGETS[0], "years": [{"year": 2027, "at_most": 3}]}, *TARGETS[1:]]}, ("at_least",)),
        ({"targets": [{**TARGETS[0], "years": YEARS[::-1]}, *TARGETS[1:]]}, ("years", "later")),
        ({"targets": [{**TARGETS[0], "not_decidable": "x"}, *TARGETS[1:]]}, ("not_decidable",)),
        ({"targets": [{**TARGETS[0], "item": "논문"}, *TARGETS[1:]]}, ("two targets", "논문")),
        ({"maturity": {"trl": 5, "evidence": "x", "target_trl": 3}}, ("target_trl", "below")),
        ({"resources": {"month": 3}}, ("month", "did you mean 'months'")),
        ({"risks": [{"risk": "x", "likelihood": "often"}]}, ("risks", "likelihood")),
    ],
)
def test_a_mistake_in_the_table_is_told_in_one_line(
    changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path
) -> None:
    line = mistake("evaluate", written(tmp_path, **changes))
    assert "p.yaml" in line and all(part in line for part in parts), line


@given(st.lists(st.floats(0.5, 100.0), min_size=1, max_size=6))
def test_weights_that_sum_to_a_hundred_pass_and_no_others(parts: list[float]) -> None:
    total = sum(parts)
    targets = [
        {
            "item": str(at),
            "unit": "",
            "weight_percent": 100.0 * part / total,
            "years": [{"year": 2028, "at_least": 1.0}],
        }
        for at, part in enumerate(parts)
    ]
    assert Proposal.model_validate(BASE | {"targets": targets}).targets
    if len(parts) > 1:
        with pytest.raises(ValueError, match="make them 100 %"):
            Proposal.model_validate(BASE | {"targets": targets[1:]})


def test_risks_are_computed_ones_with_their_likelihood_and_told_ones_marked(answer: dict[str, Any]) -> None:
    told = [risk for risk in answer["risks"] if risk["told"]]
    assert [risk["risk"] for risk in told] == ["공정 지연"] and told[0]["likelihood"] == "medium"
    last = {each["claim"]: each["years"][-1]["probability"] for each in answer["targets"]}
    computed = [risk for risk in answer["risks"] if not risk["told"]]
    assert computed and all(
        risk["likelihood"]["value"] == pytest.approx(1.0 - last[risk["claim"]]) and risk["lowered_by"]
        for risk in computed
    )
    assert answer["resources"]["months"] == 36 and answer["trl"]["target"] == 7


def test_demands_begin_with_what_tells_most_and_bracket_the_probability(answer: dict[str, Any]) -> None:
    demanded = answer["demands"]
    worth = [each["bits"] * each["weight"] for each in demanded]
    assert demanded and worth == sorted(worth, reverse=True)
    assert all(each["badly"] <= each["probability"] + 1e-9 <= each["well"] + 2e-9 for each in demanded)


@given(st.floats(0.01, 0.99), st.floats(0.05, 2.0), st.floats(0.05, 2.0))
def test_what_a_measurement_may_give_averages_to_the_probability_now(now: float, part: float, rest: float) -> None:
    """The law of total probability, over quantiles of the part."""
    margin = margin_of(now, float(np.hypot(part, rest)))
    shares = (np.arange(2000) + 0.5) / 2000
    assert np.mean([after(margin, part, rest, share) for share in shares]) == pytest.approx(now, abs=2e-3)
    badly, well = after(margin, part, rest, 1.0 - WELL), after(margin, part, rest, WELL)
    assert badly < well or badly == well in (0.0, 1.0)  # both beyond what a float tells from certainty
    assert gain_bits(margin, part, rest) > 0.0


def drawn(rng: np.random.Generator, chance: float) -> Score:
    holds = 100.0 * (rng.uniform(size=(BATCHES * DRAWS, SPREAD)) < chance)
    return Score(float(holds.mean()), 0.0, 100.0, 100.0, holds, holds, holds)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_ranks_are_shared_evenly(scores: list[list[int]]) -> None:
    found = rank_probability(np.array(scores, float))
    assert found.sum(axis=0) == pytest.approx(1.0) and found.sum(axis=1) == pytest.approx(1.0)


def test_draws_of_one_chip_are_shared_and_those_of_two_are_not() -> None:
    """Two scores that are one on every draw tie; independent ones of chance p win with p (1 - p) + half of the ties."""
    score = drawn(np.random.default_rng(0), 0.3)
    same = ranked([score, score], ["chip", "chip"], 0)
    assert [each.probability for each in same] == [(0.5, 0.5)] * 2
    better = Score(score.value + 1, 0.0, 100.0, 100.0, *(score.assumed + 1.0,) * 3)
    assert ranked([score, better], ["chip", "chip"], 0)[1].probability[0] == 1.0
    apart = ranked([score, better], ["chip", "another"], 0)[1].probability[0]
    assert apart == pytest.approx(1.0 - 0.3 * 0.7, abs=0.02)


def test_several_proposals_are_ranked(found: Evaluation, tmp_path: Path) -> None:
    easier = [{**TARGETS[0], "years": [{"year": 2028, "at_least": 30}]}, *TARGETS[1:]]
    other = evaluated(written(tmp_path, "easy", targets=easier))
    beside = compare_proposals([found, other], ["p.yaml", "easy.yaml"], load_rule("expected-weight"), 0)
    told = beside_json(beside)
    assert told["order"] == ["easy", "p"]
    assert {"name", "score", "rank_probability", "claims"} <= set(told["proposals"][0])
    by_name = {each["name"]: each for each in told["proposals"]}
    assert by_name["easy"]["rank_probability"][0] > 0.99, "one chip: its draws hold for both"
    assert sum(by_name["p"]["rank_probability"]) == pytest.approx(1.0)
    partial = compare_proposals([found, other], ["a", "b"], load_rule("partial-credit"), 0)
    assert partial.scores[0] is not None and beside.scores[0] is not None
    assert partial.scores[0].value >= beside.scores[0].value


def test_a_rule_is_a_file(found: Evaluation, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own\ntitle: t\nsource: s\nnothing_below: 1.0\nundecidable: nothing\n", encoding="utf-8")
    plain, strict = (score_of(found.items, load_rule(name)) for name in ("expected-weight", str(own)))
    assert plain is not None and strict is not None
    assert strict.value == pytest.approx(0.8 * plain.value), "a fifth of the weights earns nothing"
    assert "known: expected-weight" in mistake("evaluate", written(tmp_path), "--rule", "fair")


def english_in(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{4,}", text)


def test_korean_pages_say_nothing_that_the_catalogue_lacks(found: Evaluation) -> None:
    known, missed = catalogue("ko"), []

    def say(text: str, /, **values: object) -> str:
        if text not in known and english_in(text):
            missed.append(text)
        return speaker("ko")(text, **values)

    score = score_of(found.items, load_rule("expected-weight"))
    page = render(evaluation_page(found, score, [], {}, say, "ko"))
    beside = compare_proposals([found], ["p.yaml"], load_rule("expected-weight"), 0)
    render(ranking_page(beside, {}, say, "ko"))
    assert missed == []
    assert page.count('class="sheet"') == 3, "two sheets and the appendix"
    assert "조건부 타당(보완 필요)" in page and "단계별 목표(마일스톤)" in page and "배 부족" not in page


@pytest.mark.parametrize("name", proposal_templates())
def test_a_template_loads_and_says_where_its_criteria_come_from(name: str) -> None:
    proposal = load_proposal(proposal_templates()[name])
    assert proposal.targets and all(target.basis for target in proposal.targets)
    assert any(target.claim is None for target in proposal.targets), "what is not decidable is not left out"


@pytest.mark.parametrize("name", proposal_templates())
def test_a_template_evaluates_to_verdicts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (draws, scoring):
        monkeypatch.setattr(module, "DRAWS", FEW)
    monkeypatch.setattr(prediction, "MOST_DRAWS", FEW)
    result = evaluated(proposal_templates()[name])
    assert all(each.prediction is not None for each in result.judged), "the chip holds the model"
    assert all(year.decision for target in result.targets for year in target.years)
    assert score_of(result.items, load_rule("expected-weight")) is not None


def test_a_template_is_written_once(tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    assert tell("new-proposal", "pim", "--out", out, "--json").json["files"] == [str(out)]
    assert load_proposal(out).name == "pim"
    assert "never replaced" in mistake("new-proposal", "pim", "--out", out)
    assert "did you mean 'pim'" in mistake("new-proposal", "pin", "--out", tmp_path / "other.yaml")
    assert not (tmp_path / "other.yaml").exists()


def test_several_proposals_are_all_read_before_any_is_judged(tmp_path: Path) -> None:
    """Neither a second file of one name, nor one without its chip, is found after minutes of work."""
    first, again = written(tmp_path), written(tmp_path, "again")
    again.write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    assert "another proposal's name" in mistake("evaluate", first, again)
    lost = written(tmp_path, "lost", architecture="rngdd")
    told = tell("evaluate", first, lost)
    assert told.code == 2 and "lost.yaml" in told.err and "claim speed" not in told.err
    assert "nope.yaml" in mistake("evaluate", first, tmp_path / "nope.yaml")


WORKED = ("exaggerated", "lpddr6-pim", "on-device-20b")


def test_the_order_of_the_worked_proposals_does_not_turn_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scores of the readings that are assumed, from half of the machines that a ranking draws, so that they vary
    more."""
    for module in (draws, scoring):
        monkeypatch.setattr(module, "DRAWS", 64)
    monkeypatch.setattr(prediction, "MOST_DRAWS", 128)
    known = [item for name in WORKED for item in last_targets(name)]
    for seed in range(2):
        scores = dict.fromkeys(WORKED, 0.0)
        for name, weight, asked, where in known:
            scores[name] += weight * chance(asked, where, seed)
        assert sorted(scores, key=lambda name: -scores[name]) == ["lpddr6-pim", "on-device-20b", "exaggerated"]


def last_targets(name: str) -> list[tuple[str, float, Claim, Deployment]]:
    """Name, part of the decidable weights, claim as it is read, and its deployment, of each target of an example."""
    path = ROOT / "examples" / name / "proposal.yaml"
    proposal = load_proposal(path)
    arch, claims = architecture_of(proposal, path), {each.name: each for each in proposal.claims}
    tied = [target for target in proposal.targets if target.claim is not None]
    whole = sum(target.weight_percent for target in tied)
    found = []
    for target in tied:
        claim = claims[str(target.claim)]
        read = readings(claim, arch, proposal, partial(goodness_on, arch)).assumed
        factor = worth(target.unit, claim)
        assert factor is not None and factor * target.years[-1].value == claim.value
        found.append((name, target.weight_percent / whole, read, deployment_of(read, arch)))
    return found


def chance(claim: Claim, where: Deployment, seed: int) -> float:
    try:
        where.require_fit(sum(claim.load[:2]))
        return predict_claim(claim, where, seed).probability
    except DoesNotFit:
        return 0.0
