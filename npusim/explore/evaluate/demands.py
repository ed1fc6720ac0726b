"""What a proposal must show before its claims are relied on: measurements, accuracy, and stable operation."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.explore.evaluate.amounts import amount, span
from npusim.explore.evaluate.deciders import ClaimDecider
from npusim.explore.evaluate.decision import Judged
from npusim.explore.evaluate.run import Evaluation
from npusim.words import Say

_SOAK_HOURS = 72
_DRIFT_PERCENT = 5


def measurements(judged: Sequence[Judged], say: Say) -> list[list[str]]:
    """Target, metric, procedure and evidence for every number that decides a conditional claim, each once."""
    rows: dict[str, list[str]] = {}
    for each in judged:
        if each.decision != "conditional":
            continue
        for decider in each.deciders:
            name = f"{decider.owner}.{decider.path}"
            rows.setdefault(
                name,
                [
                    _target(decider, say),
                    name,
                    say("measured on the prototype, apart from the model, at five or more operating points"),
                    say("raw log, instrument and its uncertainty, script that repeats it"),
                ],
            )
    return list(rows.values())


def _target(decider: ClaimDecider, say: Say) -> str:
    """What to show of a number: that it is good enough for the claim, or where in its range it lies."""
    return say("within {range}", range=span(decider.quantity, say)) if decider.needed is None else needed(decider, say)


def needed(decider: ClaimDecider, say: Say) -> str:
    """What a number would have to be, alone."""
    if decider.needed is None:
        return say("any within reach") if decider.holds else say("none within reach")
    value = say(amount(decider.quantity, decider.needed))
    if decider.is_count:
        value = say("{value} (whole)", value=value)
    return say("at least {value}", value=value) if decider.wants_more else say("at most {value}", value=value)


def accuracy_lines(evaluation: Evaluation, say: Say) -> list[str]:
    """The precondition that accuracy holds at the precisions claimed."""
    if not evaluation.judged:
        return []
    precisions = sorted({each.claim.precision for each in evaluation.judged if each.claim.precision is not None})
    return [
        say(
            "Precondition: all claims presume that the model keeps its accuracy in {precisions}. A performance model "
            "does not predict accuracy: hand in scores of the same checkpoints on the same harness, in bf16 and as "
            "claimed, with repeats; for INT8 name the granularity of the scales.",
            precisions=", ".join(precisions),
        )
    ]


def stability_lines(evaluation: Evaluation, say: Say) -> list[str]:
    """What running stably on one server would have to show."""
    if not evaluation.judged:
        return []
    users = max(each.claim.users or 1 for each in evaluation.judged)
    return [
        say(
            "To run stably on one server means to show: {hours} hours at {users} users without a restart; no failed "
            "request, or each with its cause; TPOT and power of the last hour within {drift} % of the first; "
            "temperatures and clocks logged; the same tokens from the same seeds at the beginning and the end.",
            hours=_SOAK_HOURS,
            users=users,
            drift=_DRIFT_PERCENT,
        )
    ]
