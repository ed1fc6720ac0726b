"""Claims of proposals: probabilities, deciding numbers, decisions, and reports in both languages."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.deciders import _decider, claim_deciders
from npusim.explore.evaluate.demands import needed
from npusim.explore.evaluate.estimated import changed_estimates
from npusim.explore.evaluate.figures import claimed_figure, load_of_claim
from npusim.explore.evaluate.fixed_times import fixed_times
from npusim.explore.evaluate.information import gain_bits
from npusim.explore.evaluate.placing import claim_deployment, goodness_on
from npusim.explore.evaluate.prediction import predict_claim
from npusim.explore.evaluate.proposal import load_proposal
from npusim.explore.evaluate.run import evaluate_proposal
from npusim.explore.one_changed import every_of
from npusim.hardware.draws import ranged_numbers
from npusim.mapping.deployment import deploy
from npusim.serving.joint import run_draws
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.serving.uncertainty import drawn_engines, drawn_metrics
from npusim.words import speaker

ROOT = Path(__file__).resolve().parents[1]
EXAGGERATED = ROOT / "examples" / "exaggerated" / "proposal.yaml"


def claim(**changes: object) -> Claim:
    told = {"isl": 256, "osl": 32, "users": 1, "cards": 1, "precision": "bf16", "kv_precision": "bf16"}
    base = {"name": "c", "text": "t", "model": "llama-3.1-8b", **told}
    return Claim.model_validate(base | {"metric": "tokens_per_s_per_user", "at_least": 40.0} | changes)


def test_a_claim_and_its_opposite_share_all_probability() -> None:
    base = deploy("rngd", "llama-3.1-8b")
    middle = predict_claim(claim(), base, 0).value
    for limit in (0.9 * middle, middle, 1.2 * middle):
        more = predict_claim(claim(at_least=limit), base, 0).probability
        less = predict_claim(claim(at_least=None, at_most=limit), base, 0).probability
        assert more + less == pytest.approx(1.0, abs=0.02), "either may stop drawing earlier"
        assert (more > less) == (limit < middle) or limit == middle


def test_the_unexplained_part_is_in_the_probability() -> None:
    """What the calibration of RNGD leaves of a token's time makes speeds beyond every drawn machine possible."""
    base = deploy("rngd", "llama-3.1-8b")
    found = predict_claim(claim(at_least=1.25 * predict_claim(claim(), base, 0).value), base, 0)
    assert 0.0 < found.probability < 0.3
    assert found.low < found.value < found.high


def test_estimated_machines_give_the_interval_of_simulated_ones() -> None:
    base, asked = deploy("rngd", "llama-3.1-8b"), claim(users=8, metric="output_tokens_per_s", at_least=100.0)
    load = load_of_claim(asked)
    own = measure(simulate(base, load, 0))
    joint = run_draws(base, load, own, drawn_metrics(load, drawn_engines(base, 0), 0), 0)
    found = predict_claim(asked, base, 0)
    for end, simulated in zip((found.low, found.high), joint.interval(asked.figure), strict=True):
        assert end == pytest.approx(simulated, rel=0.05)


def test_the_needed_value_makes_the_claim_hold() -> None:
    asked, base = claim(at_least=70.0), deploy("rngd", "llama-3.1-8b")
    value = predict_claim(asked, base, 0).value
    found = claim_deciders(asked, base, value).numbers
    assert 1 <= len(found) <= 3 and [each.swing for each in found] == sorted((e.swing for e in found), reverse=True)
    reached = [each for each in found if each.needed is not None]
    for decider in reached:
        machine, record = base.machine.copy(), base.runtime_record.copy()
        target = machine if decider.owner == "rngd" else record
        leaf = decider.path.split(".")[-1]
        name = min((name for name in target.dtype.names if name.endswith(f"_{leaf}")), key=len)
        if target[name].ndim > 1:
            continue
        target[name] = decider.needed
        run = measure(simulate(base.with_records(machine, record), load_of_claim(asked), 0))
        assert claimed_figure(asked, run) == pytest.approx(70.0, rel=0.05), "an estimate leaves stalls of the host out"


def test_a_needed_count_is_the_next_whole_one_that_passes() -> None:
    """A little more than what is predicted, and a fifth less, want so many channels at least, no fraction of one."""
    base = deploy("rngd", "llama-3.1-8b")
    value = predict_claim(claim(), base, 0).value
    (channels,) = [each for each in every_of(base) if each[0].label == "chip.memory.channels_per_stack"]
    for limit in (value * 1.02, value * 0.8):
        asked = claim(at_least=limit)
        decider = _decider(asked, base, channels, value, np.ones(2))
        assert decider.is_count and decider.needed is not None and decider.wants_more
        reached = [
            value * float(changed_estimates(asked, base, [(channels, decider.needed - less)])[0]) for less in (0.0, 1.0)
        ]
        assert decider.needed == round(decider.needed) and asked.holds(reached[0]) and not asked.holds(reached[1])
        assert "(whole)" in needed(decider, speaker("en"))


def test_the_exaggerated_proposal_fails_with_reasons() -> None:
    found = evaluate_proposal(load_proposal(EXAGGERATED), EXAGGERATED, 0, lambda _: None)
    decisions = {each.claim.name: each.decision for each in found.judged}
    assert decisions == {"speed-70b": "reject", "speed-8b": "reject", "power": "reject", "modest": "accept"}
    broken = {each.claim.name: {bound.bound for bound in each.broken} for each in found.judged}
    assert broken["speed-70b"] == {"capacity", "memory bandwidth"} and broken["speed-8b"] == {"memory bandwidth"}


def test_a_proposal_is_checked(tmp_path: Path) -> None:
    text = EXAGGERATED.read_text(encoding="utf-8")
    wrong = tmp_path / "p.yaml"
    wrong.write_text(text.replace("at_most: 20", "at_most: 20\n    at_least: 5", 1), encoding="utf-8")
    with pytest.raises(UserError, match="either at_least or at_most"):
        load_proposal(wrong)
    wrong.write_text(text.replace("architecture: rngd", "architecture: rngdd"), encoding="utf-8")
    with pytest.raises(UserError, match="did you mean 'rngd'"):
        evaluate_proposal(load_proposal(wrong), wrong, 0, lambda _: None)


@pytest.mark.parametrize(("language", "word"), [("en", "Verdicts"), ("ko", "판정")])
def test_the_command_writes_one_page(tmp_path: Path, language: str, word: str) -> None:
    page = tmp_path / "page.html"
    words = ["evaluate", str(EXAGGERATED), "--out", str(page), "--lang", language, "--json"]
    done = subprocess.run([sys.executable, "-m", "npusim", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["claims"]
    keys = {"claim", "predicted", "low", "high", "probability", "decision", "needs"}
    assert all(keys <= set(each) for each in answer)
    html = page.read_text(encoding="utf-8")
    assert f'<html lang="{language}">' in html and word in html
    assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="http', html)


@pytest.mark.parametrize(
    ("name", "decisions"),
    [
        ("lpddr6-pim", {"conditional", "conditions incomplete"}),
        ("on-device-20b", {"conditional", "conditions incomplete"}),
    ],
)
def test_the_other_examples_are_judged(name: str, decisions: set[str]) -> None:
    path = ROOT / "examples" / name / "proposal.yaml"
    found = evaluate_proposal(load_proposal(path), path, 0, lambda _: None)
    assert {each.decision for each in found.judged} <= decisions
    assert all(each.prediction is not None and each.deciders and each.groups for each in found.judged)
    assert all(each.withheld for each in found.judged), "nothing is accepted of what works in no laboratory"


def test_shorter_fixed_times_together_make_the_claim_hold() -> None:
    asked = claim(metric="tpot_ms", at_least=None, at_most=9.0, precision="fp8")
    base = deploy("rngd", "llama-3.1-8b", precision="fp8")
    value = predict_claim(asked, base, 0).value
    found = fixed_times(asked, base, value)
    assert found is not None and 0.0 < found.part < 1.0
    assert all(each.needed == pytest.approx(found.part * each.value) for each in found.longest)
    machine, record = base.machine.copy(), base.runtime_record.copy()
    for number in ranged_numbers(base.system, base.runtime):
        if number.quantity.unit == "s":
            number.put(machine if number.owner == "rngd" else record, found.part * number.quantity.value)
    run = measure(simulate(base.with_records(machine, record), load_of_claim(asked), 0))
    assert claimed_figure(asked, run) == pytest.approx(9.0, rel=0.03)


def test_a_claim_that_holds_asks_for_no_shorter_times() -> None:
    easy = claim(metric="tpot_ms", at_least=None, at_most=900.0)
    base = deploy("rngd", "llama-3.1-8b")
    assert fixed_times(easy, base, predict_claim(easy, base, 0).value) is None


def test_a_number_that_moves_no_claim_is_told(tmp_path: Path) -> None:
    """The memory's efficiency moves the time of a token, idle power does not."""
    number = "{{value: {value}, kind: assumed, source: a promise, low: {value}, high: {value}}}"
    (tmp_path / "own.yaml").write_text(
        "extends: rngd\nname: own\ntitle: Own\nchip:\n"
        f"  memory:\n    stream_efficiency: {number.format(value=0.5)}\n"
        f"  power:\n    idle: {number.format(value='60 W')}\n"
    )
    load = {"model": "llama-3.1-8b", "isl": 64, "osl": 4, "cards": 1, "precision": "bf16", "users": 1}
    claims = [load | {"name": "c", "text": "t", "metric": "tpot_ms", "at_most": 99}]
    maturity = {"trl": 4, "evidence": "none"}
    told_of = {"context_of_use": "a test", "maturity": maturity}
    proposal = told_of | {"name": "p", "title": "P", "architecture": "own.yaml"}
    (tmp_path / "p.yaml").write_text(json.dumps(proposal | {"claims": claims}))
    told = tell("evaluate", tmp_path / "p.yaml", "--out", tmp_path / "page.html", "--json")
    assert told.code == 0, told.err
    assert [each["path"] for each in told.json["unmoved"]] == ["chip.power.idle"]
    (line,) = (line for line in told.err.splitlines() if line.startswith("warning:"))
    assert "own.yaml: chip.power.idle moves none of the claimed figures; Power" in line
    assert "chip.power.idle moves none of the claimed figures." in (tmp_path / "page.html").read_text()
    claims.append(claims[0] | {"name": "d", "metric": "power_w", "at_most": 900})
    (tmp_path / "p.yaml").write_text(json.dumps(proposal | {"claims": claims}))
    assert tell("evaluate", tmp_path / "p.yaml", "--json").json["unmoved"] == []


def judged(tmp_path: Path, claims: list[dict[str, object]], arch: str = "rngd", trl: int = 7) -> list[dict[str, Any]]:
    """The claims of a proposal as the command answers."""
    told = {"name": "p", "title": "P", "architecture": arch, "context_of_use": "a test"}
    told["maturity"] = {"trl": trl, "evidence": "a test"}
    path = tmp_path / "p.yaml"
    path.write_text(json.dumps(told | {"claims": [{"text": "t", **each} for each in claims]}), encoding="utf-8")
    answer = tell("evaluate", path, "--json")
    assert answer.code == 0, answer.err
    return answer.json["claims"]


TOLD = {"precision": "bf16", "kv_precision": "bf16", "prompts": "different", "software": "as-labs-ran"}
RUN = {"model": "llama-3.1-8b", "isl": 1024, "osl": 256} | TOLD


def test_eight_cards_serve_as_the_plan_that_is_best_for_the_claim(tmp_path: Path) -> None:
    """Eight replicas give fourteen times what eight cards that share each layer of a small model do."""
    asked = RUN | {"cards": 8, "users": 256, "metric": "output_tokens_per_s", "at_least": 7000}
    best, shared = judged(tmp_path, [asked | {"name": "a"}, asked | {"name": "b", "plan": "tp8"}], "rngd-server")
    assert best["predicted"] > 10.0 * shared["predicted"]
    assert shared["decision"] == "reject" and best["decision"] != "reject"


def test_draws_that_cannot_hold_the_model_fail(tmp_path: Path) -> None:
    """Half of the capacity's range does not hold the weights: so does half of the probability."""
    number = {"value": "20 GiB", "kind": "assumed", "source": "a test", "low": "8 GiB", "high": "22 GiB"}
    memory = {"capacity": {**number, "value": "24 GiB", "low": "23 GiB", "high": "30 GiB"}, "usable_capacity": number}
    own = {"extends": "rngd", "name": "own", "title": "Own", "calibration": None, "chip": {"memory": memory}}
    (tmp_path / "own.yaml").write_text(json.dumps(own), encoding="utf-8")
    asked = RUN | {"name": "c", "cards": 1, "users": 1, "metric": "tokens_per_s_per_user", "at_least": 1}
    (found,) = judged(tmp_path, [asked], "own.yaml")
    assert 0.2 < found["draws_without_room"] / found["draws"] < 0.7
    assert found["probability"] == pytest.approx(1.0 - found["draws_without_room"] / found["draws"], abs=0.02)
    assert found["decision"] == "conditional"


def test_units_in_the_memory_count_for_formats_that_they_multiply_alone(tmp_path: Path) -> None:
    asked = {"model": "llama-3.1-8b", "isl": 1024, "osl": 128, "cards": 1, "metric": "tokens_per_s_per_user"}
    asked |= {"at_least": 200}
    both = [asked | {"name": "a", "precision": "bf16"}, asked | {"name": "b", "precision": "int8"}]
    bf16, int8 = judged(tmp_path, both, "lpddr6-pim", 3)
    assert {each["bound"] for each in bf16["bounds"] if each["verdict"] == "impossible"} == {"memory bandwidth"}
    assert bf16["decision"] == "reject" and bf16["probability"] == 0.0
    assert "memory bandwidth" not in {each["bound"] for each in int8["bounds"] if each["verdict"] == "impossible"}


def test_a_decision_that_hangs_on_what_is_not_told_says_so(tmp_path: Path) -> None:
    asked = {"model": "llama-3.1-8b", "isl": 1024, "osl": 256, "cards": 1, "metric": "output_tokens_per_s"}
    asked |= {"precision": "bf16", "prompts": "different", "software": "as-labs-ran", "at_least": 500}
    open_users, told = judged(tmp_path, [asked | {"name": "a"}, asked | {"name": "b", "users": 64}])
    assert open_users["decision"] == "conditions incomplete"
    assert {"users", "kv_precision"} == set(open_users["conditions"]["open"])
    assert open_users["probability_low"] < 0.1 < 0.9 < open_users["probability_high"]
    assert any(each["condition"] == "users" and each["value"] == 1 for each in open_users["conditions"]["singly"])
    assert told["decision"] == "accept" and "users" in told["conditions"]["told"]


def test_a_rate_that_a_lab_measured_is_not_rejected_while_prompts_are_open(tmp_path: Path) -> None:
    """2,192 tokens/s were measured on this chip, with one prompt for all requests and a prefix cache."""
    asked = RUN | {"cards": 1, "users": 128, "metric": "output_tokens_per_s", "at_least": 2000}
    asked.pop("prompts")
    claims = [
        asked | {"name": "a"},
        asked | {"name": "b", "prompts": "alike"},
        asked | {"name": "c", "prompts": "different"},
    ]
    left_open, alike, different = judged(tmp_path, claims)
    assert left_open["decision"] == "conditions incomplete" and "prompts" in left_open["conditions"]["open"]
    assert alike["predicted"] > 1.3 * different["predicted"]
    assert different["decision"] == "reject"
    near = left_open["neighbour"]
    assert near["name"] == "rngd" and near["value"] == pytest.approx(2191.78) and near["far"] == []
    assert near["source"].startswith("http")


def test_a_ratio_to_a_baseline_is_drawn_with_it(tmp_path: Path) -> None:
    """The same chip on both sides shares its numbers, so that the ratio is surer than its parts."""
    asked = RUN | {
        "model": "llama-3.3-70b",
        "precision": "fp8",
        "cards": 8,
        "users": 1,
        "metric": "tpot_ms",
        "plan": "tp8",
    }
    ratio = asked | {"name": "a", "baseline": {"cards": 4, "plan": "tp4"}, "at_least": 1.2}
    alone = asked | {"name": "b", "at_most": 20}
    (of_four, own), (four,) = (
        judged(tmp_path, [ratio, alone]),
        judged(tmp_path, [asked | {"name": "c", "cards": 4, "plan": "tp4", "at_most": 20}]),
    )
    assert of_four["predicted"] == pytest.approx(four["predicted"] / own["predicted"])
    widths = [math.log(each["high"] / each["low"]) for each in (of_four, own)]
    assert widths[0] < 1.5 * widths[1]


def test_figures_of_the_chip_itself_are_judged(tmp_path: Path) -> None:
    claims = [
        {"name": "a", "metric": "peak_tops", "precision": "fp8", "at_least": 500},
        {"name": "b", "metric": "memory_gb_per_s", "at_least": 1600},
        {"name": "c", "metric": "memory_gib", "cards": 2, "at_least": 90},
        {"name": "d", "metric": "tops_per_w", "precision": "int8", "at_least": 2.5},
    ]
    peak, bandwidth, capacity, efficiency = judged(tmp_path, claims)
    assert (peak["predicted"], peak["decision"]) == (pytest.approx(524.288), "accept")
    assert (bandwidth["predicted"], bandwidth["decision"]) == (pytest.approx(1536.0, rel=0.03), "reject")
    assert (capacity["predicted"], capacity["decision"]) == (pytest.approx(96.0, rel=0.01), "accept")
    assert efficiency["predicted"] == pytest.approx(524.288 / 180.0)


def test_users_at_an_slo_hold_where_its_limits_are_kept(tmp_path: Path) -> None:
    asked = RUN | {"name": "a", "cards": 1, "metric": "users_at_slo", "prompts": "different"}
    asked |= {"slo": {"tpot_ms_mean": 40}, "at_least": 8, "isl": 64, "osl": 16}
    (found,) = judged(tmp_path, [asked])
    slower = asked | {"name": "b", "slo": {"tpot_ms_mean": 15}}
    assert found["predicted"] >= 8 and judged(tmp_path, [slower])[0]["predicted"] < found["predicted"]


@given(st.floats(-3.0, 3.0), st.floats(0.0, 2.0), st.floats(0.01, 2.0))
def test_what_measuring_tells_is_between_nothing_and_all(margin: float, part: float, rest: float) -> None:
    everything = gain_bits(margin, math.hypot(part, rest), 0.0)
    found = gain_bits(margin, part, rest)
    assert -1e-9 <= found <= everything + 1e-3 <= 1.0 + 2e-3
    assert gain_bits(margin, 0.0, rest) == 0.0


def test_a_point_given_for_unpublished_structure_withholds_acceptance(tmp_path: Path) -> None:
    """The same easy claim, the same number: accepted with a range, not as a certainty."""
    asked = RUN | {"name": "c", "cards": 1, "users": 1, "metric": "tokens_per_s_per_user", "at_least": 5}
    for ends, decision in ((("50 W", "70 W"), "accept"), (("60 W", "60 W"), "conditional")):
        number = {"value": "60 W", "kind": "assumed", "source": "a promise", "low": ends[0], "high": ends[1]}
        own = {"extends": "rngd", "name": "own", "title": "Own", "silicon": True, "chip": {"power": {"idle": number}}}
        (tmp_path / "own.yaml").write_text(json.dumps(own), encoding="utf-8")
        (found,) = judged(tmp_path, [asked], "own.yaml")
        assert found["decision"] == decision, found["withheld"]


def test_a_claim_says_what_it_lacks(tmp_path: Path) -> None:
    for wrong, words in (
        ({"metric": "users_at_slo", "at_least": 8}, "slo: gives the limits"),
        ({"metric": "tpot_ms", "at_most": 8, "slo": {"tpot_ms": 9}}, "slo: gives the limits"),
        ({"metric": "users_at_slo", "slo": {"power_w": 9}, "at_least": 8}, "no latency"),
        ({"metric": "tpot_ms", "at_most": 8, "baseline": {"cards": 1}}, "give at_least"),
        ({"metric": "tpot_ms", "at_most": 8, "model": None}, "give the model"),
    ):
        with pytest.raises(ValueError, match=words):
            claim(**{"at_least": None} | wrong)


def test_users_at_an_slo_are_counted_on_the_plan_that_keeps_it() -> None:
    """Replicas of one card serve most users in sum, and keep 25 ms a token of a 32B model for none."""
    told = {"model": "qwen3-32b", "precision": "fp8", "cards": 8, "users": 41, "isl": 1024, "osl": 1024}
    asked = claim(metric="users_at_slo", slo={"tpot_ms": 25}, at_least=4, **told)
    plan = claim_deployment(asked, "rngd-server").plan
    rate = claim_deployment(claim(metric="output_tokens_per_s", at_least=4, **told), "rngd-server").plan
    assert rate.chips == rate.data_parallel and plan.chips > plan.data_parallel
    assert goodness_on("rngd-server", asked) >= 0.0
