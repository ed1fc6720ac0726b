"""A judged curve on the page: the worst point among the verdicts, then all points, their bounds and a chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from npusim.explore.evaluate.amounts import probability_text
from npusim.explore.evaluate.curve_judged import JudgedCurve, JudgedPoint, Readout, size_text
from npusim.explore.evaluate.decision import ACCEPT
from npusim.report.charts import Axis, line_chart
from npusim.report.page import Block, Chart, Section, Table, Text
from npusim.units import GB, US_PER_S, readable
from npusim.words import Phrase, Say


def curve_section(judged: JudgedCurve, say: Say) -> Section:
    """Everything that is said of one curve."""
    return Section(f"{say('Claim')}: {judged.asked.name}", list(_blocks(judged, say)))


def curve_row(judged: JudgedCurve, say: Say) -> list[str]:
    """Its row among the verdicts: figures of the worst point."""
    worst = judged.worst
    value, span = _figures(worst.assumed, say)
    text = say("{text} (worst: {point})", text=judged.asked.text, point=worst.title.in_words_of(say))
    return [text, _limit(judged, worst, say), value, span, probability_text(judged.probability), say(judged.decision)]


def _blocks(judged: JudgedCurve, say: Say) -> Iterator[Block]:
    claim = judged.asked
    yield Text(say("{text}. Source of the values: {source}.", text=claim.text, source=claim.source))
    yield Text(verdict_text(judged).in_words_of(say), "warning" if judged.broken else "plain")
    for reason in judged.withheld:
        yield Text(say("Not accepted yet: {reason}.", reason=reason.in_words_of(say)), "warning")
    yield Table(say(_CAPTION), point_headings(say), point_rows(judged, say), frozenset(range(1, 9)))
    for name in dict.fromkeys(each.point.collective for each in judged.points):
        found = _chart(judged, name, say)
        if found is not None:
            yield Chart(say("{w_what}: claimed, predicted, and the bound of the links.", w_what=name), found, False)
    yield Text(say(_READINGS if claim.library is None else _ONE_READING), "note")


_CAPTION = (
    "Every point beside what is predicted for the described library, what the links alone leave to the best named "
    "algorithm (alpha-beta), and the bound of the links that holds for any algorithm and any software."
)
_READINGS = (
    "The claim names no library of the fabric: it is judged from the described library, the least favourable reading, "
    "to software that costs no time, the most favourable. All points are drawn on the same machines."
)
_ONE_READING = "Judged with the library that the claim names, as it is described. All points share the drawn machines."


def verdict_text(judged: JudgedCurve) -> Phrase:
    """The verdict in a sentence that names the worst point."""
    worst = judged.worst
    told: dict[str, Any] = {"point": worst.title, "claimed": _told(judged, worst.point.value)}
    if worst.broken:
        told |= {"limit": _told(judged, worst.limit), "link": worst.least.across}
        text = "Worst point {point}: {claimed} claimed, but {link} leaves {limit} to any algorithm: impossible."
        return Phrase(text, told)
    least, most = (probability_text(each) for each in judged.span)
    told |= {"least": least, "most": most, "count": len(judged.points)}
    if judged.decision == ACCEPT:
        return Phrase("All {count} points hold together with {least}; the worst is {point}.", told)
    told |= {"room": readable(abs(judged.room_s), "s"), "algorithm": worst.fastest.algorithm}
    if judged.room_s < 0.0:
        text = (
            "All {count} points hold together with {least} to {most}. Worst point {point}: {claimed} is {room} short "
            "of what the links alone take ({algorithm})."
        )
        return Phrase(text, told)
    text = (
        "All {count} points hold together with {least} to {most}. Worst point {point}: {claimed} leaves software "
        "{room} beside what the links take ({algorithm})."
    )
    return Phrase(text, told)


def point_headings(say: Say) -> list[str]:
    """Headings of the table of points."""
    words = ("Point", "Claimed", "Predicted", "90 % interval", "Links alone", "Bound", "Algorithm", "alpha, beta")
    return [*(say(word) for word in words), say("Probability")]


def point_rows(judged: JudgedCurve, say: Say) -> list[list[str]]:
    """A row for each point."""
    return [_row(judged, each, say) for each in judged.points]


def _row(judged: JudgedCurve, each: JudgedPoint, say: Say) -> list[str]:
    fastest = each.fastest
    bound = _told(judged, each.limit).in_words_of(say)
    ends = [probability_text(reading.probability) for reading in each.readings]
    chance = ends[0] if len(set(ends)) == 1 else say("{low} to {high}", low=ends[0], high=ends[-1])
    return [
        each.title.in_words_of(say),
        _told(judged, each.point.value).in_words_of(say),
        *_figures(each.assumed, say),
        "-" if judged.asked.library is not None else _figures(each.best, say)[0],
        say("{bound}: impossible", bound=bound) if each.broken else bound,
        fastest.algorithm,
        f"{fastest.alpha_s * US_PER_S:.3g} us, {fastest.rate_bytes_per_s / GB:,.4g} GB/s",
        "0 %" if each.broken else chance,
    ]


def _figures(found: Readout, say: Say) -> tuple[str, str]:
    """Value and interval."""
    if found.value is None or found.low is None or found.high is None:
        return say("no algorithm of the library"), "-"
    return f"{found.value:,.4g}", say("{low} to {high}", low=f"{found.low:,.4g}", high=f"{found.high:,.4g}")


def _limit(judged: JudgedCurve, each: JudgedPoint, say: Say) -> str:
    value = _told(judged, each.point.value).in_words_of(say)
    return say("at least {value}", value=value) if judged.asked.wants_more else say("at most {value}", value=value)


def _told(judged: JudgedCurve, value: float) -> Phrase:
    """A value of the curve with its unit, or times the baseline."""
    if judged.asked.unit is None:
        return Phrase("{n_factor} times the baseline", {"n_factor": f"{value:,.4g}"})
    return Phrase(f"{value:,.4g} {judged.asked.unit}")


def _chart(judged: JudgedCurve, collective: str, say: Say) -> go.Figure | None:
    """Value against the size of the message, a line for each number of cards; none for a single size."""
    points = [each for each in judged.points if each.point.collective == collective]
    if len({each.point.bytes for each in points}) < 2:
        return None
    rows = [row for each in points for row in _drawn(each, say)]
    frame = pd.DataFrame(rows)
    what = (
        say("times the baseline") if judged.asked.unit is None else f"{say(judged.asked.metric)} [{judged.asked.unit}]"
    )
    sizes = sorted({each.point.bytes for each in points})
    x = Axis(say("size of the message"), True, sizes)
    return _named_sizes(line_chart(frame, "x", "y", ["what"], (x, Axis.holding(what, frame["y"]))), sizes)


def _drawn(each: JudgedPoint, say: Say) -> Iterator[dict[str, object]]:
    value, cards = each.assumed.value, say("{n_cards} cards", n_cards=str(each.point.cards))
    for name, height in (("claimed", each.point.value), ("predicted", value), ("bound of the links", each.limit)):
        if height is not None:
            yield {"x": each.point.bytes, "y": height, "what": f"{say(name)}, {cards}"}


def _named_sizes(figure: go.Figure, sizes: Sequence[float]) -> go.Figure:
    """Labels of the message's sizes as people write them."""
    return figure.update_xaxes(tickvals=list(sizes), ticktext=[size_text(size) for size in sizes])
