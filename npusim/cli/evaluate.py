"""`npusim evaluate`: whether the claims of proposed chips can hold, and how several proposals rank."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.caveats import caveats
from npusim.api.evaluating import EvaluateOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.units import US_PER_S
from npusim.words import ENGLISH, speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npusim.explore.evaluate.comparing import Beside
    from npusim.explore.evaluate.decision import Judged
    from npusim.explore.evaluate.fixed_times import FixedTimes
    from npusim.explore.evaluate.run import Evaluation


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
        _print_ranking(found.beside)
    else:
        _print(found.found, found.beside)


def _print_ranking(beside: Beside) -> None:
    from npusim.explore.evaluate.amounts import probability_text

    console, rows = stdout_console(), []
    for at in beside.order:
        score, rank, name = beside.scores[at], beside.ranks[at], beside.evaluations[at].proposal.name
        if score is None or rank is None:
            rows.append(["-", name, "not decidable here", *["-"] * (1 + beside.ranked_count)])
            continue
        chances = [probability_text(each) for each in rank.probability]
        rows.append([str(rank.rank), name, f"{score.value:.0f}", f"{score.low:.0f} to {score.high:.0f}", *chances])
    ranks = [f"rank {number + 1}" for number in range(beside.ranked_count)]
    headings = ("rank", "proposal", "score", "range", *ranks)
    console.print(table(headings, rows, f"Rule: {beside.rule.title}", text_columns=2))
    if beside.undecided:
        console.print("The first rank is not decided: no proposal has it with 90 % or more.")
    for at in beside.order:
        _print_claims(beside.evaluations[at])


def _print_claims(found: Evaluation) -> None:
    from npusim.explore.evaluate.amounts import probability_text
    from npusim.explore.evaluate.curve_page import curve_row

    rows = []
    for each in found.judged:
        known = each.prediction
        interval = "-" if known is None else f"{figure(known.low)} to {figure(known.high)}"
        side = "at least" if each.claim.wants_more else "at most"
        wanted = f"{side} {each.claim.value:g} {each.claim.metric}"
        chance = probability_text(each.probability)
        value = figure(None if known is None else known.value)
        rows.append([each.claim.name, wanted, value, interval, chance, each.decision])
    rows += [[each.asked.name, *curve_row(each, speaker(ENGLISH))[1:]] for each in found.curves]
    headings = ("claim", "claimed", "predicted", "90 % interval", "probability", "decision")
    stdout_console().print(table(headings, rows, found.proposal.title, text_columns=2))


def _print_curves(found: Evaluation) -> None:
    """Every point of claimed curves, and their verdicts."""
    from npusim.explore.evaluate.curve_page import point_headings, point_rows, verdict_text

    console, english = stdout_console(), speaker(ENGLISH)
    for each in found.curves:
        headings, rows = point_headings(each, english), point_rows(each, english)
        console.print(table(headings, rows, f"{each.asked.name}: {each.asked.text}"))
        console.print(f"{each.asked.name}: {verdict_text(each)} {each.decision}.")
        for reason in each.withheld:
            console.print(f"{each.asked.name}: not accepted yet: {reason}.")


def _print_targets(found: Evaluation) -> None:
    from npusim.explore.evaluate.amounts import probability_text

    rows = []
    for target in found.targets:
        for year in target.years:
            side = "at most" if year.told.at_least is None else "at least"
            wanted = f"{side} {year.told.value:g} {target.told.unit}"
            chance = "-" if year.judged is None else probability_text(year.judged.probability)
            weight = f"{target.told.weight_percent:g} %"
            rows.append([target.told.item, wanted, weight, str(year.told.year), chance, year.decision])
    headings = ("item", "target", "weight", "year", "probability", "decision")
    if rows:
        stdout_console().print(table(headings, rows, "Targets by year", text_columns=2))
    for target in found.targets:
        for line in target.contradictions:
            stdout_console().print(f"Contradiction: {line}.")


def _print(found: Evaluation, beside: Beside) -> None:
    from npusim.explore.evaluate.committee import score_text
    from npusim.explore.evaluate.demands import needed
    from npusim.explore.evaluate.needs import need_text

    console, english = stdout_console(), speaker(ENGLISH)
    _print_claims(found)
    _print_curves(found)
    _print_targets(found)
    if beside.scores[0] is not None and found.targets:
        console.print(score_text(beside.scores[0], english))
    for each in found.judged:
        for broken in each.broken:
            console.print(f"{each.claim.name}: {broken.bound}: {need_text(broken, each.claim, english)}.")
        for line in _left_open(each):
            console.print(f"{each.claim.name}: {line}.")
        if each.unfit:
            console.print(f"{each.claim.name}: {each.unfit}.")
        for decider in each.deciders if each.decision != "accept" else []:
            missing = (
                "any value within reach lets it hold" if decider.holds else "no value within reach makes it hold alone"
            )
            told = missing if decider.needed is None else f"would have to be {needed(decider, english)}"
            console.print(f"{each.claim.name} depends on {decider.owner}.{decider.path}: {told}.")
        if each.software is not None:
            console.print(f"{each.claim.name}: {each.software.text(english)}")
        if each.together is not None:
            console.print(f"{each.claim.name} {_together_text(each.together)}.")
    _print_demands(found)
    for line in caveats(found.deployments[:1]):
        console.print(line)


def _print_demands(found: Evaluation) -> None:
    """The measurements that tell most, with the probability after each outcome."""
    from npusim.explore.evaluate.amounts import probability_text
    from npusim.explore.evaluate.demanded import demands

    for each in demands(found)[:_DEMANDS]:
        now, well, badly = (probability_text(chance) for chance in (each.now, each.group.well, each.group.badly))
        stdout_console().print(
            f"demand first: {each.group.name} for {each.judged.claim.name}: {now} now, {well} if it turns out well, "
            f"{badly} if badly ({each.group.gain:.2f} bits)."
        )


_DEMANDS = 3


def _left_open(judged: Judged) -> Iterator[str]:
    """What the claim does not tell and how its decision hangs on it, and why what holds is not accepted."""
    from npusim.explore.evaluate.amounts import probability_text

    if judged.open:
        low, high = (probability_text(each) for each in judged.span)
        names = ", ".join(judged.open)
        yield f"does not tell {names}: it holds with {low} to {high}, from the least to the most favourable"
    if judged.undecided and not judged.open:
        yield f"the draws leave {' and '.join(judged.undecided)}"
    for reason in judged.withheld:
        yield f"not accepted yet: {reason}"


def _together_text(times: FixedTimes) -> str:
    told = ", ".join(
        f"{each.owner}.{each.path} {each.needed * US_PER_S:.4g} us instead of {each.value * US_PER_S:.4g}"
        for each in times.longest
    )
    return (
        f"depends on fixed times together: none alone is enough, all at {100.0 * times.part:.0f} % of what they are "
        f"would be: {told}"
    )
