"""What a proposal must show before its claims are relied on: measurements, accuracy, and stable operation."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.studies.evaluate.decision import Judged
from npusim.studies.evaluate.run import Evaluation
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
            unit = decider.quantity.unit
            target = (
                say(
                    "within {low} to {high}",
                    low=f"{decider.quantity.low:.4g}",
                    high=f"{decider.quantity.high:.4g} {unit}",
                )
                if decider.needed is None
                else f"{decider.needed:.4g} {unit}"
            )
            rows.setdefault(
                name,
                [
                    target,
                    name,
                    say("measured on the prototype, apart from the model, at five or more operating points"),
                    say("raw log, instrument and its uncertainty, script that repeats it"),
                ],
            )
    return list(rows.values())


def accuracy_lines(evaluation: Evaluation, say: Say) -> list[str]:
    """The precondition that accuracy holds at the precisions claimed."""
    precisions = sorted({each.claim.precision for each in evaluation.judged})
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
    users = max(each.claim.users for each in evaluation.judged)
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
