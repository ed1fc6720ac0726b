"""What vendor and customer told of RNGD: plausible with tuned software, not as labs ran it, and what decides."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from cli_support import tell

from npusim.explore.evaluate.proposal import Proposal, load_proposal
from npusim.explore.evaluate.run import Evaluation, evaluate_proposal
from npusim.explore.evaluate.software import SoftwareFinding
from npusim.hardware.states import AS_LABS_RAN, OPEN, STATES, TUNED

PATH = Path(__file__).resolve().parents[1] / "examples" / "told-of-rngd" / "proposal.yaml"


@cache
def _judged(name: str, software: str | None = None) -> Evaluation:
    proposal = load_proposal(PATH)
    claim = next(each for each in proposal.claims if each.name == name).model_copy(update={"software": software})
    one: Proposal = proposal.model_copy(update={"claims": (claim,)})
    return evaluate_proposal(one, PATH, 0, lambda _: None)


def _software(name: str) -> SoftwareFinding:
    found = _judged(name).judged[0].software
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "mechanism"), [("gpt-oss", "host"), ("exaone-4k", "reductions")])
def test_what_was_told_lies_inside_tuned_software_and_not_inside_what_labs_ran(name: str, mechanism: str) -> None:
    found = _software(name)
    assert (found.state, found.told) == (AS_LABS_RAN, False)
    assert [each.state for each in found.states] == list(STATES)
    assert found.under(TUNED).inside and found.under(TUNED).plausible
    assert not found.under(AS_LABS_RAN).inside and not found.under(AS_LABS_RAN).plausible
    assert found.decides is not None and found.decides.name == mechanism
    ran, mixture, tuned = (found.under(state).probability for state in (AS_LABS_RAN, OPEN, TUNED))
    assert ran < mixture < tuned
    assert _judged(name).judged[0].decision == "conditions incomplete"
    assert _judged(name).judged[0].open["software"] == (AS_LABS_RAN, TUNED)


def test_in_fp8_tuned_software_would_be_faster_than_was_told() -> None:
    """The number format of the customer's figure is not known; with eight bits it is slower than tuned software."""
    found = _software("exaone-4k-fp8")
    assert found.under(TUNED).low > 60.0 and found.under(OPEN).inside
    assert found.under(AS_LABS_RAN).high < 60.0


def test_a_claim_that_tells_its_software_is_judged_by_it() -> None:
    tuned = _judged("gpt-oss", TUNED).judged[0]
    assert tuned.software is not None and tuned.software.told
    assert tuned.probability == tuned.software.under(TUNED).probability
    assert _judged("gpt-oss", AS_LABS_RAN).judged[0].decision == "reject"


def test_the_command_says_which_mechanism_decides(tmp_path: Path) -> None:
    text = PATH.read_text(encoding="utf-8")
    own = tmp_path / "p.yaml"
    own.write_text(text[: text.index("  # LG AI Research")], encoding="utf-8")
    told = tell("evaluate", own).out.replace("\n", " ")
    assert "plausible with tuned software, implausible as labs ran it" in told
    assert "host decides" in told
    answer = tell("evaluate", own, "--software", AS_LABS_RAN, "--json").json
    assert answer["claims"][0]["software"]["state"] == AS_LABS_RAN
    assert answer["claims"][0]["decision"] == "reject"
    assert answer["manifest"]["argv"].count("--software") == 1
