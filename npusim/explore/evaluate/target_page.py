"""The table of targets in full: world's best beside what is known, and each year's prediction with its interval."""

from __future__ import annotations

from collections.abc import Iterator

from npusim.explore.evaluate.amounts import probability_text
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.yearly import JudgedTarget, JudgedYear
from npusim.report.page import Block, Table
from npusim.words import Phrase, Say


def target_blocks(evaluation: Evaluation, say: Say) -> Iterator[Block]:
    """Blocks for the appendix; none without a table."""
    if not evaluation.targets:
        return
    caption = say("Targets by year, with what is predicted for the claims to which they are tied.")
    yield Table(caption, year_headings(say), year_rows(evaluation, say), frozenset({2, 3, 4, 5}))
    columns = (
        "Item",
        "Test method",
        "Certifying body",
        "Basis",
        "World's best as told",
        "Best known to npusim",
        "Result of the comparison",
    )
    told = [_levels(each, say) for each in evaluation.targets]
    caption = say("How targets are tested, and their world's best beside the best that npusim knows of.")
    yield Table(caption, [say(word) for word in columns], told)


def year_headings(say: Say) -> list[str]:
    """Headings of the table of targets by year."""
    words = ("Item", "Year", "Target", "Predicted", "90 % interval", "Probability", "Decision", "Reason")
    return [say(word) for word in words]


def year_rows(evaluation: Evaluation, say: Say) -> list[list[str]]:
    """A row for each target and year."""
    return [_year(each, year, say) for each in evaluation.targets for year in each.years]


def _year(target: JudgedTarget, year: JudgedYear, say: Say) -> list[str]:
    told = target.reason if year.event is None else year.event.reason
    reason = told.in_words_of(say) if isinstance(told, Phrase) else told
    value = f"{year.told.value:,.4g} {target.told.unit}".strip()
    limit = say("at most {value}", value=value) if year.told.at_least is None else say("at least {value}", value=value)
    ends = year.interval
    figures = ["-", "-"]
    if ends is not None:
        low, value, high = (f"{each:,.4g}" for each in ends)
        figures = [value, say("{low} to {high}", low=low, high=high)]
    chance = "-" if year.judged is None else probability_text(year.judged.probability)
    return [target.told.item, str(year.told.year), limit, *figures, chance, say(year.decision), reason or "-"]


def _levels(target: JudgedTarget, say: Say) -> list[str]:
    told, best = target.told, target.best
    level = "-"
    if told.world_best is not None:
        source = told.world_best.source or say("source not told")
        level = f"{told.world_best.value:,.4g} {told.unit}, {told.world_best.holder} ({source})"
    known = "-"
    if best.known is not None:
        value = best.known.value / target.last.unit_worth
        known = f"{value:,.4g} {told.unit}, {best.known.holder}, {best.known.when} ({best.known.source})"
    differs = ", ".join(say(name) for name in best.differs)
    compared = say("{status}; other or untold: {names}", status=say(best.status), names=differs)
    return [
        told.item,
        told.test_method or say("not told"),
        told.certifier or say("not told"),
        told.basis or say("not told"),
        level,
        known,
        compared if differs else say(best.status),
    ]
