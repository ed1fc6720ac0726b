"""The evaluation as a report: summary, one section a claim, what must be shown, how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from npusim.explore.evaluate.amounts import amount, probability_text, span
from npusim.explore.evaluate.committee import committee_sheets, demand_blocks, risk_blocks
from npusim.explore.evaluate.curve_page import curve_section
from npusim.explore.evaluate.deciders import ClaimDecider
from npusim.explore.evaluate.decision import ACCEPT, CONDITIONAL, INCOMPLETE, REJECT, UNDECIDED, Judged, Judgement
from npusim.explore.evaluate.demands import accuracy_lines, measurements, needed, stability_lines
from npusim.explore.evaluate.needs import need_text
from npusim.explore.evaluate.open_titles import OPEN_TITLES
from npusim.explore.evaluate.readings import chosen
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import Score
from npusim.explore.evaluate.target_page import target_blocks
from npusim.explore.evaluate.target_units import unit_of
from npusim.report.charts import COLOURS, layout
from npusim.report.page import Block, Chart, Page, Section, Table, Text
from npusim.words import Say


def evaluation_page(
    evaluation: Evaluation,
    score: Score | None,
    notes: Sequence[str],
    manifest: Mapping[str, Any],
    say: Say,
    language: str,
) -> Page:
    """Two sheets for a committee and an appendix, in the language that `say` speaks.

    notes: what every reader of the predictions must know.
    """
    proposal = evaluation.proposal
    summary = [
        say("Context of use: {text}", text=proposal.context_of_use),
        say(
            "Maturity: technology readiness level {trl}: {evidence}",
            trl=proposal.maturity.trl,
            evidence=proposal.maturity.evidence,
        ),
    ]
    sections = [*committee_sheets(evaluation, score, notes, say), *appendix(evaluation, say)]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    return Page(say("Evaluation: {title}", title=proposal.title), summary, sections, manifest, language, words)


def appendix(evaluation: Evaluation, say: Say) -> list[Section]:
    """What stands behind the sheets: every claim, target, risk and demand in full, credibility and assumptions."""
    first: list[Block] = [
        Text(say("{path} moves none of the claimed figures.", path=each.path)) for each in evaluation.unmoved
    ]
    if any(each.prediction is not None for each in evaluation.judged):
        caption = say("Predictions relative to what is claimed, with their 90 % intervals.")
        first.append(Chart(caption, _chart(evaluation, say), toolbar=False))
    return [
        Section(say("Appendix: predictions"), [*first, *target_blocks(evaluation, say)], sheet=True),
        *(Section(f"{say('Claim')}: {each.claim.name}", list(_claim(each, say))) for each in evaluation.judged),
        *(curve_section(each, say) for each in evaluation.curves),
        Section(say("All risks and measurements"), [*risk_blocks(evaluation, say), *demand_blocks(evaluation, say)]),
        Section(say("What must be shown"), list(_demands(evaluation, say))),
        Section(say("Credibility"), [_credibility(evaluation, say)]),
        Section(say("Assumptions"), [_assumptions(evaluation, say)]),
    ]


def _chart(evaluation: Evaluation, say: Say) -> go.Figure:
    figure = go.Figure()
    known = [(each.claim, each.prediction) for each in evaluation.judged if each.prediction is not None]
    figure.add_scatter(
        x=[found.value / claim.value for claim, found in known],
        y=[claim.name for claim, _ in known],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(found.high - found.value) / claim.value for claim, found in known],
            "arrayminus": [(found.value - found.low) / claim.value for claim, found in known],
        },
        mode="markers",
        name=say("predicted / claimed"),
        marker={"size": 10, "color": COLOURS[0]},
    )
    figure.add_vline(x=1.0, line={"color": COLOURS[1], "dash": "dash"})
    figure.update_layout(height=max(320, 120 + 50 * len(known)))
    figure.update_yaxes(automargin=True, autorange="reversed")
    return layout(figure, say("predicted / claimed"), "", log_x=True)


def _claim(judged: Judged, say: Say) -> Iterator[Block]:
    yield Text(_read_as(judged, say))
    yield Text(_reason(judged, say), "warning" if judged.decision == REJECT else "plain")
    for reason in judged.withheld:
        yield Text(say("Not accepted yet: {reason}.", reason=reason.in_words_of(say)), "warning")
    if judged.findings:
        headings = [say(word) for word in ("Bound", "Verdict", "The claim needs")]
        rows = [
            [say(found.bound), say(found.verdict), need_text(found, judged.claim, say)] for found in judged.findings
        ]
        caption = say("Hard bounds, each from the numbers' most favourable ends to their usual values.")
        yield Table(caption, headings, rows)
    if judged.open:
        yield from _open(judged, say)
    if judged.groups:
        yield _groups(judged, say)
    if judged.deciders:
        yield _deciders(judged, say)
    if judged.software is not None:
        yield Text(judged.software.text(say), "note")
    if judged.neighbour is not None:
        yield Text(_neighbour(judged, say), "note")


def _read_as(judged: Judged, say: Say) -> str:
    claim = judged.claim
    if claim.is_peak:
        return say(
            "{text}. Read as: {metric} of {cards} cards.", text=claim.text, metric=claim.metric, cards=claim.cards
        )
    told = {name: getattr(claim, name) for name in ("text", "model", "precision", "cards", "isl", "osl", "users")}
    return say(
        "{text}. Read as: {model} in {precision} on {cards} cards, {isl} tokens in, {osl} out, {users} users.", **told
    )


def _open(judged: Judged, say: Say) -> Iterator[Block]:
    """The sweep over what the claim does not tell."""
    names = list(judged.open)
    titles = [say(OPEN_TITLES[name]) for name in names]
    rows = [
        [
            *(str(chosen(each.claim, name)) for name in names),
            *_found(each, say),
            _answers(judged, each, say),
        ]
        for each in (judged.reading, *judged.extremes)
    ]
    yield Table(
        say("What the claim does not tell: as it is read here, and the most and the least favourable readings."),
        [*titles, say("Predicted"), say("Probability"), say("Decision")],
        rows,
    )
    unit = unit_of(judged.claim)
    figures = [
        [say(OPEN_TITLES[name]), str(value), "-" if math.isnan(figure) else f"{figure:,.4g} {unit}"]
        for name, value, figure in judged.singly
    ]
    yield Table(
        say("The figure with one of these conditions changed, estimated."),
        [say("Condition"), say("Value"), say("Predicted")],
        figures,
        frozenset({2}),
    )


def _found(judgement: Judgement, say: Say) -> list[str]:
    found = judgement.prediction
    value = say("does not fit") if found is None else f"{found.value:,.4g}"
    return [value, probability_text(judgement.probability)]


def _answers(judged: Judged, judgement: Judgement, say: Say) -> str:
    return say(" or ").join(say(answer) for answer in judged.answers_of(judgement))


def _groups(judged: Judged, say: Say) -> Table:
    rows = [
        [say(group.name), str(group.numbers), f"{group.gain:.2f}", f"{100.0 * group.share:.0f} %"]
        for group in judged.groups
    ]
    headings = [say(word) for word in ("Group", "Numbers with a range", "Bits expected", "Share of the spread")]
    caption = say("What to measure first: how much measuring each group is expected to tell of the claim.")
    return Table(caption, headings, rows, frozenset({1, 2, 3}))


def _reason(judged: Judged, say: Say) -> str:
    values = {"probability": probability_text(judged.probability)}
    if judged.decision == INCOMPLETE:
        low, high = (probability_text(each) for each in judged.span)
        names = ", ".join(say(OPEN_TITLES[name]) for name in judged.open)
        return say(
            "The decision hangs on what the claim does not tell ({names}): it holds on {low} to {high} of the machines "
            "that the proposal's ranges allow.",
            names=names,
            low=low,
            high=high,
        )
    if judged.decision == UNDECIDED:
        both = say(" or ").join(say(answer) for answer in judged.undecided)
        return say(
            "It holds on {probability} of the drawn machines, too near a limit to tell {both}.", both=both, **values
        )
    if judged.broken:
        return say("Impossible: it needs {need}.", need=need_text(judged.broken[0], judged.claim, say))
    if judged.prediction is None:
        return say("It does not fit: {unfit}.", unfit=judged.unfit)
    return {
        ACCEPT: say("It holds on {probability} of the machines that the proposal's ranges allow.", **values),
        REJECT: say("It holds on only {probability} of the machines that the proposal's ranges allow.", **values),
        CONDITIONAL: say(
            "It holds on {probability} of the machines that the proposal's ranges allow: the numbers below decide, and "
            "must be measured before it is relied on.",
            **values,
        ),
    }[judged.decision]


def _deciders(judged: Judged, say: Say) -> Table:
    words = ("Number", "Kind", "Value", "Range", "Prediction at its ends", "What it would have to be, alone")
    rows = [
        [
            f"{each.owner}.{each.path}",
            say(each.quantity.kind),
            say(amount(each.quantity, each.quantity.value)),
            span(each.quantity, say),
            _ends(each, say),
            needed(each, say),
        ]
        for each in judged.deciders
    ]
    caption = (
        say("The numbers that decide it: those whose ranges move the prediction most.")
        if any(each.is_ranged for each in judged.deciders)
        else say("The numbers that decide it: no range reaches the claim, these would with the least change.")
    )
    return Table(caption, [say(word) for word in words], rows)


def _ends(decider: ClaimDecider, say: Say) -> str:
    if not decider.is_ranged:
        return "-"
    return say("{low} to {high}", low=f"{decider.at_low:,.4g}", high=f"{decider.at_high:,.4g}")


def _neighbour(judged: Judged, say: Say) -> str:
    near = judged.neighbour
    assert near is not None
    told = {
        "run": near.run,
        "value": f"{near.value:,.4g} {unit_of(judged.claim)}",
        "source": near.source,
        "bandwidth": f"{near.bandwidth_ratio:.2f}",
        "peak": f"{near.peak_ratio:.2f}",
        "far": ", ".join(say(name) for name in near.far) or say("nothing"),
    }
    return say(
        "Nearest measured run: {run}: {value} ({source}). One proposed chip has {bandwidth} times its memory bandwidth "
        "and {peak} times its bf16 peak. More than a factor of two away: {far}.",
        **told,
    )


def _demands(evaluation: Evaluation, say: Say) -> Iterator[Block]:
    rows = [
        [each.due, each.target, each.metric, each.procedure, each.evidence] for each in evaluation.proposal.milestones
    ]
    words = ("Due", "Target", "Metric", "Test procedure", "Evidence")
    headings = [say(word) for word in words]
    if rows:
        yield Table(say("Milestones that the proposal names."), headings, rows)
    else:
        yield Text(say("The proposal names no milestones."), "warning")
    needed = measurements(evaluation.judged, say)
    if needed:
        yield Table(say("Measurements that the decisions ask for."), headings[1:], needed)
    for line in (*accuracy_lines(evaluation, say), *stability_lines(evaluation, say)):
        yield Text(line)


def _credibility(evaluation: Evaluation, say: Say) -> Table:
    rows = [
        [say(factor.name), "-" if factor.level is None else str(factor.level), factor.reason.in_words_of(say)]
        for factor in evaluation.factors
    ]
    headings = [say(word) for word in ("Factor", "Level", "Reason")]
    return Table(say("Levels 0 to 4 in the manner of NASA-STD-7009B, set by rule."), headings, rows, frozenset({1}))


def _assumptions(evaluation: Evaluation, say: Say) -> Table:
    found = {
        (item.owner, item.path): item.quantity
        for deployment in evaluation.deployments
        for item in deployment.provenances()
        if item.quantity.is_assumed
    }
    rows = [
        [
            f"{owner}.{path}",
            say(amount(quantity, quantity.value)),
            span(quantity, say),
            quantity.source,
        ]
        for (owner, path), quantity in found.items()
    ]
    headings = [say(word) for word in ("Number", "Value", "Range", "Source")]
    return Table(say("Every assumed number that a prediction depends on."), headings, rows)
