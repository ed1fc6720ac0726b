"""`npusim evaluate`: whether the claims of a proposed chip can hold."""

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

    from npusim.explore.evaluate.decision import Judged
    from npusim.explore.evaluate.fixed_times import FixedTimes
    from npusim.explore.evaluate.run import Evaluation


@command(EvaluateOptions)
def evaluate(asked: EvaluateOptions, as_json: bool) -> None:
    """Judge every claim of a proposal: prediction, probability, bounds, deciding numbers, decision."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.evaluate.of(replace(asked, say=say))
    if asked.out is not None:
        say(f"wrote {asked.out}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.found)


def _print(found: Evaluation) -> None:
    from npusim.explore.evaluate.amounts import probability_text
    from npusim.explore.evaluate.demands import needed

    console = stdout_console()
    rows = []
    for claim in found.as_json():
        interval = "-" if claim["low"] is None else f"{figure(claim['low'])} to {figure(claim['high'])}"
        side = claim["side"].replace("_", " ")
        wanted = f"{side} {claim['claimed']:g} {claim['metric']}"
        chance = probability_text(claim["probability"])
        rows.append([claim["claim"], wanted, figure(claim["predicted"]), interval, chance, claim["decision"]])
    headings = ("claim", "claimed", "predicted", "90 % interval", "probability", "decision")
    console.print(table(headings, rows, found.proposal.title, text_columns=2))
    for each in found.judged:
        for broken in each.broken:
            console.print(f"{each.claim.name}: {broken.bound}: needs {broken.need} of {broken.says}.")
        for line in _left_open(each):
            console.print(f"{each.claim.name}: {line}.")
        if each.unfit:
            console.print(f"{each.claim.name}: {each.unfit}.")
        for decider in each.deciders if each.decision != "accept" else []:
            wanted = f"would have to be {needed(decider, speaker(ENGLISH))}"
            told = "no value within reach makes it hold alone" if decider.needed is None else wanted
            console.print(f"{each.claim.name} depends on {decider.owner}.{decider.path}: {told}.")
        if each.software is not None:
            console.print(f"{each.claim.name}: {each.software.text(speaker(ENGLISH))}")
        if each.together is not None:
            console.print(f"{each.claim.name} {_together_text(each.together)}.")
    for line in caveats(found.deployments[:1]):
        console.print(line)


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
