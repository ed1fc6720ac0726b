"""The two sheets that a committee reads: verdicts and targets by year; risks, demands, conditions and the rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npusim.explore.evaluate.amounts import probability_text
from npusim.explore.evaluate.curve_judged import JudgedCurve
from npusim.explore.evaluate.curve_page import curve_row
from npusim.explore.evaluate.decision import ACCEPT, CONDITIONAL, INCOMPLETE, REJECT, UNDECIDED, Judged
from npusim.explore.evaluate.demanded import demands
from npusim.explore.evaluate.evidence import TRL_RULE, TRL_SOURCE
from npusim.explore.evaluate.open_titles import OPEN_TITLES
from npusim.explore.evaluate.risks import computed_risks
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import Score
from npusim.explore.evaluate.target_table import TargetLevel
from npusim.explore.evaluate.target_units import unit_of
from npusim.explore.evaluate.worlds_best import NOT_KNOWN, NOT_TOLD
from npusim.explore.evaluate.yearly import JudgedTarget, JudgedYear
from npusim.report.page import Block, Section, Table, Text
from npusim.words import Phrase, Say

MOST_ROWS = 6
"""Risks and demands on the second sheet; the appendix has all."""
_DECISIONS = (ACCEPT, CONDITIONAL, INCOMPLETE, UNDECIDED, REJECT)

_GRADES = {"low": Phrase("low (grade)"), "medium": Phrase("medium (grade)"), "high": Phrase("high (grade)")}


def committee_sheets(evaluation: Evaluation, score: Score | None, notes: Sequence[str], say: Say) -> list[Section]:
    """Both sheets. notes: what every reader of the predictions must know."""
    return [
        Section(say("Verdicts"), [*verdicts(evaluation, score, say), *_targets(evaluation, say)], sheet=True),
        Section(say("Risks, demands and conditions"), list(_second(evaluation, notes, say)), sheet=True),
    ]


def verdicts(evaluation: Evaluation, score: Score | None, say: Say) -> Iterator[Block]:
    """The counts of decisions, the score, and a row for each claim."""
    all_claims: list[Judged | JudgedCurve] = [*evaluation.judged, *evaluation.curves]
    counts = [(each, sum(judged.decision == each for judged in all_claims)) for each in _DECISIONS]
    told = ", ".join(f"{say(decision)} {count}" for decision, count in counts if count)
    yield Text(say("Claims: {count}. {told}.", count=len(all_claims), told=told))
    if score is not None:
        yield Text(score_text(score, say))
    caption = say("Claims, what is predicted for them, and the decision.")
    yield Table(caption, verdict_headings(say), verdict_rows(evaluation, say), frozenset({1, 2, 3, 4}))


def verdict_headings(say: Say) -> list[str]:
    """Headings of the table of claims."""
    return [say(word) for word in ("Claim", "Claimed", "Predicted", "90 % interval", "Probability", "Decision")]


def verdict_rows(evaluation: Evaluation, say: Say) -> list[list[str]]:
    """A row for each claim."""
    rows = [
        [each.claim.text, claimed(each, say), *_predicted(each, say), say(each.decision)] for each in evaluation.judged
    ]
    return [*rows, *(curve_row(each, say) for each in evaluation.curves)]


def score_text(score: Score, say: Say) -> str:
    """A score with its range and the weights that it is of."""
    return say(
        "Score {value} of 100 ({low} to {high}), over {share} % of the weights, which npusim can predict.",
        value=f"{score.value:.0f}",
        low=f"{score.low:.0f}",
        high=f"{score.high:.0f}",
        share=f"{score.decidable_percent:.0f}",
    )


def claimed(judged: Judged, say: Say) -> str:
    """The limit of a claim with its unit."""
    value = f"{judged.claim.value:,.4g} {say(unit_of(judged.claim))}"
    return say("at least {value}", value=value) if judged.claim.wants_more else say("at most {value}", value=value)


def _predicted(judged: Judged, say: Say) -> list[str]:
    """Prediction, interval and probability."""
    found = judged.prediction
    if found is None:
        return [say("does not fit"), "-", "0 %"]
    return [
        f"{found.value:,.4g}",
        say("{low} to {high}", low=f"{found.low:,.4g}", high=f"{found.high:,.4g}"),
        probability_text(judged.probability),
    ]


def _targets(evaluation: Evaluation, say: Say) -> Iterator[Block]:
    if not evaluation.targets:
        yield Text(say("The proposal has no table of quantitative targets: all claims weigh the same."), "warning")
        return
    years = sorted({year.told.year for each in evaluation.targets for year in each.years})
    words = ("Item", "Weight", "World's best", "Domestic level")
    headings = [*(say(word) for word in words), *(str(year) for year in years)]
    rows = [_target(each, years, say) for each in evaluation.targets]
    caption = say("Targets by year: the target, the probability that it holds, and the decision.")
    yield Table(caption, headings, rows, frozenset({1}))
    for each in evaluation.targets:
        for line in each.contradictions:
            yield Text(say("Contradiction: {text}.", text=line.in_words_of(say)), "warning")


def _target(target: JudgedTarget, years: Sequence[int], say: Say) -> list[str]:
    told = target.told
    by_year = {each.told.year: each for each in target.years}
    item = f"{told.item} ({told.unit})" if told.unit else told.item
    best = _level(told.world_best, say)
    if target.best.status not in (NOT_KNOWN, NOT_TOLD):
        best = f"{best} [{say(target.best.status)}]"
    cells = [_year(by_year[year], say) if year in by_year else "-" for year in years]
    return [item, f"{told.weight_percent:g} %", best, _level(told.domestic, say), *cells]


def _level(level: TargetLevel | None, say: Say) -> str:
    return say("not told") if level is None else f"{level.value:,.4g} ({level.holder})"


def _year(year: JudgedYear, say: Say) -> str:
    value = f"{year.told.value:,.4g}"
    limit = say("at most {value}", value=value) if year.told.at_least is None else say("at least {value}", value=value)
    if year.judged is None:
        return f"{limit}: {say(year.decision)}"
    return f"{limit}: {probability_text(year.judged.probability)}, {say(year.decision)}"


def _second(evaluation: Evaluation, notes: Sequence[str], say: Say) -> Iterator[Block]:
    yield from risk_blocks(evaluation, say, MOST_ROWS)
    yield from demand_blocks(evaluation, say, MOST_ROWS)
    yield from _conditions(evaluation, say)
    maturity = evaluation.proposal.maturity
    goal = "-" if maturity.target_trl is None else str(maturity.target_trl)
    yield Text(
        say("Readiness: TRL {trl} at entry, {goal} as the goal ({evidence}).", trl=maturity.trl, goal=goal,
            evidence=maturity.evidence)
    )  # fmt: skip
    yield from _resources(evaluation, say)
    yield Text(decision_rule(say), "note")
    yield Text(f"{TRL_RULE.in_words_of(say)} ({TRL_SOURCE})", "note")
    for line in notes:
        yield Text(line, "note")


def decision_rule(say: Say) -> str:
    """The rule by which claims are decided, in words."""
    return say(
        "Decision rule. Accept: the claim holds with a probability of 90 % or more, and the evidence that the rule "
        "asks for is there. Reject: it breaks a bound, does not fit, or holds with less than 10 %. Conditional: it "
        "depends on numbers that must be measured first. Conditions incomplete: the decision hangs on what the "
        "claim does not tell. Undecided: the draws do not settle it."
    )


def risk_blocks(evaluation: Evaluation, say: Say, most: int | None = None) -> Iterator[Block]:
    """The register of risks, all of it or its first rows."""
    rows = risk_rows(evaluation, say)
    if not rows:
        yield Text(say("No claim is at risk, and the proposal names no risks."))
        return
    yield Table(say("Risks."), risk_headings(say), rows[:most], frozenset({2, 3}))
    yield from _more(len(rows), most, say)


def risk_headings(say: Say) -> list[str]:
    """Headings of the register of risks."""
    return [say(word) for word in ("Risk", "From", "Likelihood", "Impact (weight)", "What would lower it")]


def risk_rows(evaluation: Evaluation, say: Say) -> list[list[str]]:
    """Computed risks first, then those that the proposal tells, marked so."""
    computed = [
        [
            each.text.in_words_of(say),
            say("computed"),
            probability_text(each.likelihood),
            f"{each.weight:.0f} %",
            each.lowered_by.in_words_of(say),
        ]
        for each in computed_risks(evaluation)
    ]
    told = [
        [each.risk, say("told"), _grade(each.likelihood, say), _grade(each.impact, say), each.mitigation or "-"]
        for each in evaluation.proposal.risks
    ]
    return [*computed, *told]


def _grade(grade: str | None, say: Say) -> str:
    return "-" if grade is None else _GRADES[grade].in_words_of(say)


def demand_blocks(evaluation: Evaluation, say: Say, most: int | None = None) -> Iterator[Block]:
    """What to demand first, all of it or its first rows."""
    rows = demand_rows(evaluation, say)
    if not rows:
        yield Text(say("No measurement within the ranges would tell more of a claim."))
        return
    yield Table(demand_caption(say), demand_headings(say), rows[:most], frozenset({2, 3, 4, 5}))
    yield from _more(len(rows), most, say)


def demand_caption(say: Say) -> str:
    """What the table of demands says."""
    return say(
        "Demand these measurements first (well and badly: the 90th and the 10th percentile of what each may give)."
    )


def demand_headings(say: Say) -> list[str]:
    """Headings of the table of demands."""
    words = ("Claim", "Measurement", "Probability now", "if it turns out well", "if it turns out badly", "Bits")
    return [say(word) for word in words]


def demand_rows(evaluation: Evaluation, say: Say) -> list[list[str]]:
    """A row for each measurement, with the probability after each outcome."""
    return [
        [
            each.judged.claim.name,
            say("{group} (first: {leading})", group=say(each.group.name), leading=each.group.leading),
            probability_text(each.now),
            probability_text(each.group.well),
            probability_text(each.group.badly),
            f"{each.group.gain:.2f}",
        ]
        for each in demands(evaluation)
    ]


def _more(rows: int, most: int | None, say: Say) -> Iterator[Block]:
    if most is not None and rows > most:
        yield Text(say("{count} more in the appendix.", count=rows - most), "note")


def _conditions(evaluation: Evaluation, say: Say) -> Iterator[Block]:
    """Why what is predicted to hold is not accepted yet, each reason once, and what the claims leave open."""
    held: list[Judged | JudgedCurve] = [*evaluation.judged, *evaluation.curves]
    reasons = dict.fromkeys(reason.in_words_of(say) for each in held for reason in each.withheld)
    for reason in reasons:
        yield Text(say("Not accepted yet: {reason}.", reason=reason), "warning")
    names = dict.fromkeys(say(OPEN_TITLES[name]) for each in evaluation.judged for name in each.open)
    if names:
        yield Text(say("Not told by one claim or more: {names}.", names=", ".join(names)))


def _resources(evaluation: Evaluation, say: Say) -> Iterator[Block]:
    told = evaluation.proposal.resources
    if told is None:
        return
    parts = []
    if told.months is not None:
        parts.append(say("{months} months", months=told.months))
    if told.people is not None:
        parts.append(say("{people} people", people=f"{told.people:g}"))
    parts += [f"{each.year}: {each.amount:,.15g} {told.currency}" for each in told.budget]
    yield Text(say("Cost and schedule as told, not judged: {parts}.", parts="; ".join(parts) or "-"))
