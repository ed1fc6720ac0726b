"""`npusim evaluate`: whether the claims of proposed chips can hold, and how several proposals rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.caveats import caveats
from npusim.api.evaluating import EvaluateOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, speaking, spoken_console, table
from npusim.units import US_PER_S

if TYPE_CHECKING:
    from npusim.explore.evaluate.comparing import Beside
    from npusim.explore.evaluate.deciders import ClaimDecider
    from npusim.explore.evaluate.decision import Judged
    from npusim.explore.evaluate.fixed_times import FixedTimes
    from npusim.explore.evaluate.run import Evaluation
    from npusim.words import Say


@command(EvaluateOptions)
def evaluate(asked: EvaluateOptions, as_json: bool) -> None:
    """Judge every claim of a proposal: prediction, probability, bounds, deciding numbers, decision; rank several."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.evaluate.of(replace(asked, say=say))
    if asked.out is not None:
        say(f"wrote {asked.out}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    elif len(found.beside.evaluations) > 1:
        _print_ranking(found.beside, speaking())
    else:
        _print(found.found, found.beside, asked.lang, speaking())


def _print_ranking(beside: Beside, tell: Say) -> None:
    from npusim.explore.evaluate.ranking_page import ranking_headings, ranking_rows

    console, title = spoken_console(), tell("Rule: {title}", title=tell(beside.rule.title))
    console.print(table(ranking_headings(beside, tell), ranking_rows(beside, tell), title, text_columns=2))
    if beside.undecided:
        console.print(tell("The first rank is not decided: no proposal has it with 90 % or more."))
    for at in beside.order:
        _print_claims(beside.evaluations[at], tell)


def _print_claims(found: Evaluation, tell: Say) -> None:
    from npusim.explore.evaluate.committee import verdict_headings, verdict_rows

    names = [each.claim.name for each in found.judged] + [each.asked.name for each in found.curves]
    rows = [[name, *row[1:]] for name, row in zip(names, verdict_rows(found, tell), strict=True)]
    spoken_console().print(table(verdict_headings(tell), rows, found.proposal.title, text_columns=2))


def _print_curves(found: Evaluation, tell: Say) -> None:
    """Every point of claimed curves, and their verdicts."""
    from npusim.explore.evaluate.curve_page import point_headings, point_rows, verdict_text

    console = spoken_console()
    for each in found.curves:
        headings, rows = point_headings(tell), point_rows(each, tell)
        console.print(table(headings, rows, f"{each.asked.name}: {each.asked.text}"))
        console.print(f"{each.asked.name}: {verdict_text(each).in_words_of(tell)} {tell(each.decision)}.")
        for reason in each.withheld:
            told = tell("Not accepted yet: {reason}.", reason=reason.in_words_of(tell))
            console.print(f"{each.asked.name}: {told}")


def _print_targets(found: Evaluation, tell: Say) -> None:
    from npusim.explore.evaluate.target_page import year_headings, year_rows

    rows = year_rows(found, tell)
    if rows:
        console, title = spoken_console(), tell("Targets by year")
        console.print(table(year_headings(tell), rows, title, text_columns=2))
    for target in found.targets:
        for line in target.contradictions:
            spoken_console().print(tell("Contradiction: {text}.", text=line.in_words_of(tell)))


def _print(found: Evaluation, beside: Beside, language: str, tell: Say) -> None:
    from npusim.explore.evaluate.committee import score_text

    console = spoken_console()
    _print_claims(found, tell)
    _print_curves(found, tell)
    _print_targets(found, tell)
    if beside.scores[0] is not None and found.targets:
        console.print(score_text(beside.scores[0], tell))
    for each in found.judged:
        for line in _lines(each, tell):
            console.print(f"{each.claim.name}: {line}")
    _print_demands(found, tell)
    for line in caveats(found.deployments[:1], language):
        console.print(line)


def _lines(each: Judged, tell: Say) -> Iterator[str]:
    """What breaks a claim, what it leaves open, the numbers that decide it, and the software."""
    from npusim.explore.evaluate.needs import need_text

    for broken in each.broken:
        yield f"{tell(broken.bound)}: {need_text(broken, each.claim, tell)}."
    yield from _left_open(each, tell)
    if each.unfit:
        yield tell("It does not fit: {unfit}.", unfit=each.unfit)
    if each.decision != "accept":
        yield from (_decider_text(decider, tell) for decider in each.deciders)
    if each.software is not None:
        yield each.software.text(tell)
    if each.together is not None:
        yield _together_text(each.together, tell)


def _decider_text(decider: ClaimDecider, tell: Say) -> str:
    from npusim.explore.evaluate.demands import needed

    number = f"{decider.owner}.{decider.path}"
    if decider.needed is not None:
        told = needed(decider, tell)
        return tell("It depends on {number}, which alone would have to be {needed}.", number=number, needed=told)
    if decider.holds:
        return tell("It depends on {number}: any value within reach lets it hold.", number=number)
    return tell("It depends on {number}: no value within reach makes it hold alone.", number=number)


def _print_demands(found: Evaluation, tell: Say) -> None:
    """The measurements that tell most, with the probability after each outcome."""
    from npusim.explore.evaluate.committee import demand_caption, demand_headings, demand_rows

    rows = demand_rows(found, tell)[:_DEMANDS]
    if rows:
        spoken_console().print(table(demand_headings(tell), rows, demand_caption(tell), text_columns=2))


_DEMANDS = 3


def _left_open(judged: Judged, tell: Say) -> Iterator[str]:
    """What the claim does not tell and how its decision hangs on it, and why what holds is not accepted."""
    from npusim.explore.evaluate.amounts import probability_text
    from npusim.explore.evaluate.open_titles import OPEN_TITLES

    if judged.open:
        low, high = (probability_text(each) for each in judged.span)
        names = ", ".join(tell(OPEN_TITLES[name]) for name in judged.open)
        text = "It does not tell {names}: it holds with {low} to {high}, from the least to the most favourable reading."
        yield tell(text, names=names, low=low, high=high)
    if judged.undecided and not judged.open:
        both = tell(" or ").join(tell(answer) for answer in judged.undecided)
        yield tell("The draws do not settle it: {both}.", both=both)
    for reason in judged.withheld:
        yield tell("Not accepted yet: {reason}.", reason=reason.in_words_of(tell))


def _together_text(times: FixedTimes, tell: Say) -> str:
    told = ", ".join(
        tell(
            "{w_number} {needed} us instead of {value} us",
            w_number=f"{each.owner}.{each.path}",
            needed=f"{each.needed * US_PER_S:.4g}",
            value=f"{each.value * US_PER_S:.4g}",
        )
        for each in times.longest
    )
    text = (
        "It depends on fixed times together: none alone is enough, all at {part} % of what they are would be ({told})."
    )
    return tell(text, part=f"{100.0 * times.part:.0f}", told=told)
