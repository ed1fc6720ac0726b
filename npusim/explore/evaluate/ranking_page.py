"""Several proposals on one page: two sheets with ranks, targets, risks and demands, then each proposal's appendix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from npusim.explore.evaluate.amounts import probability_text
from npusim.explore.evaluate.committee import demand_blocks, risk_blocks, verdicts
from npusim.explore.evaluate.comparing import Beside
from npusim.explore.evaluate.decision import ACCEPT, CONDITIONAL, INCOMPLETE, REJECT, UNDECIDED
from npusim.explore.evaluate.draws import DRAWS
from npusim.explore.evaluate.page import appendix
from npusim.explore.evaluate.scoring import BATCHES
from npusim.report.page import Block, Page, Section, Table, Text
from npusim.words import Say

_RISKS = 3
"""Risks and demands of each proposal on the second sheet."""


def ranking_page(beside: Beside, manifest: Mapping[str, Any], say: Say, language: str) -> Page:
    """The page in the language that `say` speaks."""
    count = len(beside.evaluations)
    sections = [
        Section(say("Ranking"), [*_ranking(beside, say), *_verdicts(beside, say)], sheet=True),
        Section(say("Risks, demands and conditions"), list(_second(beside, say)), sheet=True),
        *(_titled(section, beside, at) for at in beside.order for section in appendix(beside.evaluations[at], say)),
    ]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    summary = [say("Rule: {title} ({source}).", title=say(beside.rule.title), source=say(beside.rule.source))]
    return Page(say("{count} proposals side by side", count=count), summary, sections, manifest, language, words)


def _titled(section: Section, beside: Beside, at: int) -> Section:
    return Section(f"{beside.evaluations[at].proposal.name}: {section.title}", section.blocks, section.sheet)


def _ranking(beside: Beside, say: Say) -> Iterator[Block]:
    count = len(beside.evaluations)
    words = ("Rank", "Proposal", "Score", "Range", "Weights predicted")
    ranks = [say("rank {number}", number=number + 1) for number in range(count)]
    rows = [_row(beside, at, say) for at in beside.order]
    caption = say(
        "Scores and the probability of each rank, over {draws} machines drawn together; proposals of one chip share "
        "their draws.",
        draws=BATCHES * DRAWS,
    )
    yield Table(caption, [*(say(word) for word in words), *ranks, say("First, over all readings")], rows,
                frozenset({0, 2, 3, 4, *range(5, 6 + count)}))  # fmt: skip


def _row(beside: Beside, at: int, say: Say) -> list[str]:
    score, rank, told = beside.scores[at], beside.ranks[at], beside.evaluations[at].proposal
    if score is None or rank is None:
        return ["-", told.title, say("not decidable here"), *["-"] * (len(beside.ranks) + 3)]
    ends = {"low": probability_text(rank.first_low), "high": probability_text(rank.first_high)}
    return [
        str(rank.rank),
        told.title,
        f"{score.value:.0f}",
        say("{low} to {high}", low=f"{score.low:.0f}", high=f"{score.high:.0f}"),
        f"{score.decidable_percent:.0f} %",
        *(probability_text(each) for each in rank.probability),
        say("{low} to {high}", **ends),
    ]


def _verdicts(beside: Beside, say: Say) -> Iterator[Block]:
    decisions = (ACCEPT, CONDITIONAL, INCOMPLETE, UNDECIDED, REJECT)
    rows = []
    for at in beside.order:
        found = beside.evaluations[at]
        counts = [str(sum(each.decision == decision for each in found.judged)) for decision in decisions]
        goal = found.proposal.maturity.target_trl
        trl = f"{found.proposal.maturity.trl} → {'-' if goal is None else goal}"
        rows.append([found.proposal.title, *counts, trl])
    headings = [say("Proposal"), *(say(decision) for decision in decisions), say("TRL")]
    yield Table(say("Decisions on the claims of each."), headings, rows, frozenset(range(1, 6)))
    for at in beside.order:
        yield Text(beside.evaluations[at].proposal.title)
        *_, table = verdicts(beside.evaluations[at], None, say)
        yield table


def _second(beside: Beside, say: Say) -> Iterator[Block]:
    for at in beside.order:
        found = beside.evaluations[at]
        yield Text(found.proposal.title)
        yield from risk_blocks(found, say, _RISKS)
        yield from demand_blocks(found, say, _RISKS)
        for target in found.targets:
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
