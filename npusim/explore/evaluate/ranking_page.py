"""Several proposals on one page: two sheets with ranks, targets, risks and demands, then each proposal's appendix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from npusim.explore.evaluate.amounts import probability_text
from npusim.explore.evaluate.committee import (
    decision_rule,
    demand_caption,
    demand_headings,
    demand_rows,
    risk_headings,
    risk_rows,
    verdict_headings,
    verdict_rows,
)
from npusim.explore.evaluate.comparing import Beside
from npusim.explore.evaluate.curve_judged import JudgedCurve
from npusim.explore.evaluate.decision import ACCEPT, CONDITIONAL, INCOMPLETE, REJECT, UNDECIDED, Judged
from npusim.explore.evaluate.draws import DRAWS
from npusim.explore.evaluate.evidence import TRL_RULE, TRL_SOURCE
from npusim.explore.evaluate.page import appendix
from npusim.explore.evaluate.scoring import BATCHES
from npusim.report.page import Block, Page, Section, Table, Text
from npusim.words import Say

_EACH = 2
"""Risks and demands of each proposal on the second sheet; its appendix has all."""
_DECISIONS = (ACCEPT, CONDITIONAL, INCOMPLETE, UNDECIDED, REJECT)


def ranking_page(beside: Beside, manifest: Mapping[str, Any], say: Say, language: str) -> Page:
    """The page in the language that `say` speaks."""
    count = len(beside.evaluations)
    sections = [
        Section(say("Ranking"), list(_first(beside, say)), sheet=True),
        Section(say("Risks, demands and conditions"), list(_second(beside, say)), sheet=True),
        *(_titled(section, beside, at) for at in beside.order for section in appendix(beside.evaluations[at], say)),
    ]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    summary = [say("Rule: {title} ({source}).", title=say(beside.rule.title), source=say(beside.rule.source))]
    return Page(say("{count} proposals side by side", count=count), summary, sections, manifest, language, words)


def _titled(section: Section, beside: Beside, at: int) -> Section:
    return Section(f"{beside.evaluations[at].proposal.name}: {section.title}", section.blocks, section.sheet)


def _first(beside: Beside, say: Say) -> Iterator[Block]:
    caption = say(
        "Scores and the probability of each rank, over {draws} machines drawn together; proposals of one chip share "
        "their draws, equal scores their ranks.",
        draws=BATCHES * DRAWS,
    )
    right = frozenset({0, 2, 3, 4, *range(5, 6 + beside.ranked_count)})
    yield Table(caption, ranking_headings(beside, say), ranking_rows(beside, say), right)
    if beside.undecided:
        yield Text(say("The first rank is not decided: no proposal has it with 90 % or more."), "warning")
    rows = [_counts(beside, at, say) for at in beside.order]
    headings = [say("Proposal"), say("Title"), *(say(decision) for decision in _DECISIONS), say("TRL")]
    yield Table(say("Decisions on the claims of each."), headings, rows, frozenset(range(2, 7)))
    caption = say("Claims, what is predicted for them, and the decision.")
    rows = [row for at in beside.order for row in _named(beside, at, verdict_rows(beside.evaluations[at], say))]
    yield Table(caption, [say("Proposal"), *verdict_headings(say)], rows, frozenset({2, 3, 4, 5}))


def ranking_headings(beside: Beside, say: Say) -> list[str]:
    """Headings of the table of ranks."""
    words = ("Rank", "Proposal", "Score", "Range", "Weights predicted")
    ranks = [say("rank {number}", number=number + 1) for number in range(beside.ranked_count)]
    return [*(say(word) for word in words), *ranks, say("First, over all readings")]


def ranking_rows(beside: Beside, say: Say) -> list[list[str]]:
    """A row for each proposal, the first rank first."""
    return [_row(beside, at, say) for at in beside.order]


def _named(beside: Beside, at: int, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of a proposal with its name before them."""
    return [[beside.evaluations[at].proposal.name, *row] for row in rows]


def _row(beside: Beside, at: int, say: Say) -> list[str]:
    score, rank, told = beside.scores[at], beside.ranks[at], beside.evaluations[at].proposal
    if score is None or rank is None:
        return ["-", told.name, say("not decidable here"), *["-"] * (beside.ranked_count + 3)]
    ends = {"low": probability_text(rank.first_low), "high": probability_text(rank.first_high)}
    return [
        str(rank.rank),
        told.name,
        f"{score.value:.0f}",
        say("{low} to {high}", low=f"{score.low:.0f}", high=f"{score.high:.0f}"),
        f"{score.decidable_percent:.0f} %",
        *(probability_text(each) for each in rank.probability),
        say("{low} to {high}", **ends),
    ]


def _counts(beside: Beside, at: int, say: Say) -> list[str]:
    """How many claims of a proposal have each decision, and its readiness."""
    found = beside.evaluations[at]
    claims: list[Judged | JudgedCurve] = [*found.judged, *found.curves]
    counts = [str(sum(each.decision == decision for each in claims)) for decision in _DECISIONS]
    goal = found.proposal.maturity.target_trl
    trl = f"{found.proposal.maturity.trl} → {'-' if goal is None else goal}"
    return [found.proposal.name, found.proposal.title, *counts, trl]


def _second(beside: Beside, say: Say) -> Iterator[Block]:
    rows = [row for at in beside.order for row in _named(beside, at, risk_rows(beside.evaluations[at], say)[:_EACH])]
    yield Table(say("Risks."), [say("Proposal"), *risk_headings(say)], rows, frozenset({3, 4}))
    rows = [row for at in beside.order for row in _named(beside, at, demand_rows(beside.evaluations[at], say)[:_EACH])]
    yield Table(demand_caption(say), [say("Proposal"), *demand_headings(say)], rows, frozenset({3, 4, 5, 6}))
    yield Text(say("The first {count} of each proposal; the others are in its appendix.", count=_EACH), "note")
    for at in beside.order:
        for target in beside.evaluations[at].targets:
            for line in target.contradictions:
                yield Text(say("Contradiction: {text}.", text=line.in_words_of(say)), "warning")
    yield Text(
        say(
            "The score of a proposal is the sum of the weights of its last year's targets, each times the probability "
            "that it holds; items that npusim cannot predict are left out unless the rule says otherwise. Its range "
            "goes from the 5th percentile under the least favourable readings to the 95th under the most favourable."
        ),
        "note",
    )
    yield Text(decision_rule(say), "note")
    yield Text(f"{TRL_RULE.in_words_of(say)} ({TRL_SOURCE})", "note")
