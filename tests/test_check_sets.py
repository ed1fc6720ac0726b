"""Verdicts over all that a run does not tell: telling less is never graver, and no honest run is accused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_check import _figure, _rows

from npusim.bounds.finding import IMPLAUSIBLE, PLAUSIBLE, VERDICTS
from npusim.bounds.reading import Reading
from npusim.bounds.unit_readings import explained
from npusim.conditions.conditions import Conditions, Member, Members
from npusim.conditions.question import Question
from npusim.lab.check.placing import Placed, place_run, predictor_of
from npusim.lab.check.predictions import _NEAR, Predictions
from npusim.lab.check.row import gravest_figure
from npusim.lab.check.weighing import Weighed, weigh
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions

FIGURES = ("output_tokens_per_s", "tpot_ms_mean", "ttft_ms_mean", "power_w_mean")
UNTOLD = RunConditions(device="rngd", model="llama-3.1-8b", isl=512, osl=32, users=4, runtime="furiosa-llm 2026.3")
SHARED = Predictions(0)
"""Predictions that the tests have in common."""

H100 = {
    "model_id": "meta-llama/Llama-3.3-70B-Instruct",
    "num_prompts": 16,
    "max_concurrency": 4,
    "duration": 30.0,
    "completed": 16,
    "total_input_tokens": 16 * 1024,
    "total_output_tokens": 16 * 1024,
    "output_throughput": 546.13,
    "mean_tpot_ms": 7.29,
    "mean_ttft_ms": 45.0,
}
"""A run that says nothing of cards, formats or caching."""


def _run(figures: dict[str, float], setting: RunConditions = UNTOLD) -> LabRun:
    conduct = Conduct(arrival=BURST, requests=12, lengths_fixed=True, power_scope="cards")
    return LabRun("made", "test", setting, {name: Reading.exact(value) for name, value in figures.items()}, conduct)


def _weigh(run: LabRun, told: RunConditions | None = None) -> Weighed:
    return weigh(run, place_run(run, told or RunConditions()), SHARED)


def _verdict(found: Weighed) -> str:
    decisive = gravest_figure([*found.whole, *found.figures])
    assert decisive is not None
    return decisive.verdict


def _leniency(found: Weighed) -> int:
    return VERDICTS.index(_verdict(found))


def _placed(setting: RunConditions = UNTOLD) -> Placed:
    return place_run(_run({}, setting), RunConditions())


def _members() -> list[Member]:
    placed = _placed()
    assert placed.question is not None
    return list(placed.conditions.members(placed.question))


def _predicted(member: Member) -> dict[str, float]:
    predictor = predictor_of(_run({}), _placed(), member)
    assert not isinstance(predictor, str)
    found = SHARED.outcome(predictor).figures
    return {name: found[name].value for name in FIGURES}


def _told(member: Member, *names: str) -> RunConditions:
    return RunConditions(**{name: member[name] for name in names})


MEMBERS = _members()[:: max(1, len(_members()) // 12)]
"""Some of all that the untold run may be."""


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.text(("precision", "plan", "prompts")))
def test_a_run_whose_figures_are_those_of_a_member_is_never_accused(member: Member) -> None:
    found = _weigh(_run(_predicted(member)))
    assert _verdict(found) == PLAUSIBLE, [(each.metric, each.verdict, each.reason) for each in found.figures]


@settings(max_examples=12, deadline=None)
@given(
    member=st.sampled_from(MEMBERS),
    factors=st.tuples(*[st.sampled_from((0.02, 0.4, 1.0, 2.5, 50.0)) for _ in FIGURES]),
    names=st.sets(st.sampled_from(("precision", "cards", "kv_precision", "prefix_caching")), min_size=1),
)
def test_telling_more_is_never_more_lenient(member: Member, factors: tuple[float, ...], names: set[str]) -> None:
    """A subset of the members allows no more than the whole set, where the whole is decided."""
    figures = {name: value * by for (name, value), by in zip(_predicted(member).items(), factors, strict=True)}
    whole, part = _weigh(_run(figures)), _weigh(_run(figures), _told(member, *sorted(names)))
    assert _leniency(whole) >= _leniency(part)


def test_the_order_of_members_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = _predicted(MEMBERS[-1])
    forth, members = _weigh(_run(figures)), Conditions.members

    def backwards(own: Conditions, question: Question) -> Members:
        found = members(own, question)
        return replace(found, all=found.all[::-1])

    monkeypatch.setattr(Conditions, "members", backwards)
    back = _weigh(_run(figures))
    assert (_verdict(back), back.known.deciding) == (_verdict(forth), forth.known.deciding)


def test_closed_forms_lie_as_near_their_runs_as_they_are_trusted() -> None:
    for member in MEMBERS:
        predictor = predictor_of(_run({}), _placed(), member)
        assert not isinstance(predictor, str)
        run = {name: Reading.exact(part.value) for name, part in SHARED.outcome(predictor).figures.items()}
        assert SHARED.field_of({predictor: member}).inside(run, _NEAR).all(), member.values


def test_figures_that_no_one_setting_allows_are_implausible_together() -> None:
    """The latency of eight stages in a wide format, and the watts of one card."""
    ends = ("w4a16", "TP1"), ("bf16", "TP1 PP8")
    one, slow = (
        _predicted(next(each for each in _members() if (each["precision"], each["plan"]) == end)) for end in ends
    )
    figures = {"tpot_ms_mean": 1.5 * slow["tpot_ms_mean"], "power_w_mean": 0.9 * one["power_w_mean"]}
    assert [_verdict(_weigh(_run({name: value}))) for name, value in figures.items()] == [PLAUSIBLE, PLAUSIBLE]
    found = _weigh(_run(figures))
    assert _verdict(found) == IMPLAUSIBLE
    assert "no one setting allows all figures" in found.whole[-1].reason
    assert "8 cards" in found.whole[-1].reason or "1 card" in found.whole[-1].reason


def _h100(tmp_path: Path, change: dict[str, Any], *words: str) -> dict[str, Any]:
    path = tmp_path / "vllm.json"
    path.write_text(json.dumps(H100 | change))
    (row,) = _rows(path, "--arch", "h100", *words)
    return row


def test_a_run_that_tells_no_cards_is_plausible_on_those_that_allow_it(tmp_path: Path) -> None:
    row = _h100(tmp_path, {})
    assert row["verdict"] == "plausible" and "8 cards" in row["reason"]
    cards = next(each["values"] for each in row["conditions"]["deciding"] if each["condition"] == "cards")
    assert {4, 8} <= set(cards) and 1 not in cards
    assert row["setting"]["cards"] is None and "cards" in row["conditions"]["open"]
    one = _h100(tmp_path, {}, "--cards", "1", "--precision", "bf16")
    assert one["verdict"] == "impossible" and one["conditions"]["told"]["cards"] == 1


def test_a_hundredfold_is_impossible_on_any_cards_in_any_format(tmp_path: Path) -> None:
    faster = {"output_throughput": 546130.0, "duration": 0.03, "mean_tpot_ms": 0.00729, "mean_ttft_ms": 0.02}
    row = _h100(tmp_path, faster)
    assert row["verdict"] == "impossible" and "8 cards" in row["reason"]


def test_a_model_that_fits_no_single_card_is_not_impossible_where_cards_are_untold(tmp_path: Path) -> None:
    change = {"model_id": "meta-llama/Llama-3.1-405B-Instruct", "output_throughput": 160.0, "duration": 102.4}
    change |= {"mean_tpot_ms": 24.0, "mean_ttft_ms": 500.0}
    assert _h100(tmp_path, change)["verdict"] == "plausible"
    assert _h100(tmp_path, change, "--cards", "1")["verdict"] == "impossible"


@pytest.mark.parametrize("words", [(), ("--model", "llama-3.1-8b"), ("--precision", "fp8")])
def test_watts_need_only_chip_and_cards(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "sensor_log_1.csv"
    path.write_text("time,npu0_power\n1,900\n2,900\n3,900\n")
    (row,) = _rows(path, *words)
    assert row["verdict"] == "implausible" and "assumed to draw at most" in row["reason"]
    path.write_text("time,npu0_power\n1,150\n2,170\n3,160\n")
    (row,) = _rows(path, *words)
    assert row["verdict"] == "unchecked"


_LOG = """:::MLLOG {{"key": "requested_scenario", "value": "Offline"}}
:::MLLOG {{"key": "result_validity", "value": "VALID"}}
:::MLLOG {{"key": "result_samples_per_second", "value": {samples}}}
:::MLLOG {{"key": "result_tokens_per_second", "value": {tokens}}}
"""


@pytest.mark.parametrize(("samples", "verdict"), [(100.0, "unchecked"), (45000.0, "impossible")])
def test_a_loadgen_log_is_judged_with_what_options_supply(tmp_path: Path, samples: float, verdict: str) -> None:
    path = tmp_path / "mlperf_log_detail.txt"
    path.write_text(_LOG.format(samples=samples, tokens=128 * samples))
    (row,) = _rows(path, "--arch", "h100", "--model", "llama-3.3-70b", "--isl", "128", "--osl", "128")
    assert (row["verdict"], row["setting"]["isl"]) == (verdict, 128)
    (row,) = _rows(path)
    assert row["verdict"] == "unchecked"


def test_one_output_token_a_request_is_judged_by_its_prompts(tmp_path: Path) -> None:
    """A prefill benchmark: no TPOT, and no arithmetic of output tokens to divide by."""
    change = {"total_output_tokens": 16, "output_throughput": 0.8, "duration": 20.0, "mean_tpot_ms": 0.0}
    row = _h100(tmp_path, change | {"mean_ttft_ms": 4000.0}, "--prompts", "alike")
    assert row["verdict"] != "impossible" and row["setting"]["osl"] == 1
    assert _figure(row, "ttft_ms_mean")["predicted"] is not None


def test_watts_of_four_cards_given_as_one_are_explained() -> None:
    one = _predicted(MEMBERS[0])["power_w_mean"]
    told = RunConditions(cards=1)
    assert "watts of 4 cards" in _weigh(_run({"power_w_mean": 4.0 * one}), told).figures[0].reason
    assert "cards were given" not in _weigh(_run({"power_w_mean": one}), told).figures[0].reason


@pytest.mark.parametrize(
    ("watts", "says"),
    [
        (190.0, "at the wall"),
        (260.0, "watts of 2 cards"),
        (520.0, "watts of 4 cards"),
        (90.0, "the 40 W of the cards at rest"),
        (0.13, "kilowatts"),
        (130.0, ""),
        (20.0, ""),
    ],
)
def test_watts_of_another_scope_are_explained(watts: float, says: str) -> None:
    found = explained("power_w_mean", watts, 105.0, 160.0, 40.0)
    assert says in found and bool(says) == bool(found)
