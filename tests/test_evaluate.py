"""Claims of proposals: probabilities, deciding numbers, decisions, and reports in both languages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import tell

from npusim.errors import UserError
from npusim.explore.evaluate.deciders import claim_deciders
from npusim.explore.evaluate.fixed_times import fixed_times
from npusim.explore.evaluate.prediction import claimed_figure, load_of_claim, predict_claim
from npusim.explore.evaluate.proposal import Claim, load_proposal
from npusim.explore.evaluate.run import evaluate_proposal
from npusim.hardware.draws import ranged_numbers
from npusim.mapping.deployment import deploy
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate

ROOT = Path(__file__).resolve().parents[1]
EXAGGERATED = ROOT / "examples" / "exaggerated" / "proposal.yaml"


def claim(**changes: object) -> Claim:
    base = {"name": "c", "text": "t", "model": "llama-3.1-8b", "isl": 256, "osl": 32}
    return Claim.model_validate(base | {"metric": "tokens_per_s_per_user", "at_least": 40.0} | changes)


def test_a_claim_and_its_opposite_share_all_probability() -> None:
    base = deploy("rngd", "llama-3.1-8b")
    middle = predict_claim(claim(), base, 0).value
    for limit in (0.9 * middle, middle, 1.2 * middle):
        more = predict_claim(claim(at_least=limit), base, 0).probability
        less = predict_claim(claim(at_least=None, at_most=limit), base, 0).probability
        assert more + less == pytest.approx(1.0)
        assert (more > less) == (limit < middle) or limit == middle


def test_the_unexplained_part_is_in_the_probability() -> None:
    """What the calibration of RNGD leaves of a token's time makes speeds beyond every drawn machine possible."""
    base = deploy("rngd", "llama-3.1-8b")
    found = predict_claim(claim(at_least=1.25 * predict_claim(claim(), base, 0).value), base, 0)
    assert 0.0 < found.probability < 0.3
    assert found.low < found.value < found.high


def test_the_needed_value_makes_the_claim_hold() -> None:
    asked, base = claim(at_least=70.0), deploy("rngd", "llama-3.1-8b")
    value = predict_claim(asked, base, 0).value
    found = claim_deciders(asked, base, value)
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


def test_the_exaggerated_proposal_fails_with_reasons() -> None:
    found = evaluate_proposal(load_proposal(EXAGGERATED), EXAGGERATED, 0, lambda _: None)
    decisions = {each.claim.name: each.decision for each in found.judged}
    assert decisions == {"speed-70b": "reject", "speed-8b": "reject", "power": "reject", "modest": "accept"}
    broken = {each.claim.name: {bound.bound for bound in each.broken} for each in found.judged}
    assert broken["speed-70b"] == {"capacity", "memory bandwidth"} and broken["speed-8b"] == {"memory bandwidth"}


def test_a_proposal_is_checked(tmp_path: Path) -> None:
    text = EXAGGERATED.read_text(encoding="utf-8")
    wrong = tmp_path / "p.yaml"
    wrong.write_text(text.replace("at_most: 20", "at_most: 20\n    at_least: 5"), encoding="utf-8")
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
    [("lpddr6-pim", {"accept", "conditional"}), ("on-device-20b", {"accept", "conditional"})],
)
def test_the_other_examples_are_judged(name: str, decisions: set[str]) -> None:
    path = ROOT / "examples" / name / "proposal.yaml"
    found = evaluate_proposal(load_proposal(path), path, 0, lambda _: None)
    assert {each.decision for each in found.judged} <= decisions
    assert all(each.prediction is not None and each.deciders for each in found.judged)


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
    load = {"model": "llama-3.1-8b", "isl": 64, "osl": 4}
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
