"""A judged claim as JSON, as the contract of the command line has it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from npusim.explore.evaluate.deciders import ClaimDecider
from npusim.explore.evaluate.decision import Judged
from npusim.explore.evaluate.readings import PROMPTS, SOFTWARE, chosen
from npusim.explore.evaluate.software import SoftwareFinding
from npusim.metric_names import told_as
from npusim.metrics import TABLE_COLUMN


def claim_json(judged: Judged) -> dict[str, Any]:
    claim, prediction = judged.claim, judged.prediction
    least, most = judged.span
    return {
        "claim": claim.name,
        "text": claim.text,
        "metric": claim.metric,
        "claimed": claim.value,
        "side": "at_least" if claim.wants_more else "at_most",
        "predicted": None if prediction is None else prediction.value,
        "low": None if prediction is None else prediction.low,
        "high": None if prediction is None else prediction.high,
        "probability": judged.probability,
        "probability_low": least,
        "probability_high": most,
        "draws": 0 if prediction is None else prediction.draws,
        "draws_without_room": 0 if prediction is None else prediction.failed,
        "decision": judged.decision,
        "undecided_between": list(judged.undecided),
        "withheld": [str(reason) for reason in judged.withheld],
        "conditions": _conditions_json(judged),
        "needs": [_need(decider) for decider in judged.deciders],
        "groups": [asdict(group) for group in judged.groups],
        "together": None if judged.together is None else asdict(judged.together),
        "bounds": [
            vars(found)
            | {
                "metric": told_as(TABLE_COLUMN, found.metric),
                "verdict": found.verdict,
                "need": str(found.need),
                "says": str(found.says),
            }
            for found in judged.findings
        ],
        "software": None if judged.software is None else _software(judged.software),
        "unfit": judged.unfit,
        "neighbour": None
        if judged.neighbour is None
        else asdict(judged.neighbour) | {"far": list(judged.neighbour.far), "distance": judged.neighbour.distance},
    }


def _conditions_json(judged: Judged) -> dict[str, Any]:
    names = ("runtime", "precision", "kv_precision", "cards", "isl", "osl", "users", PROMPTS, SOFTWARE)
    return {
        "told": dict(judged.told),
        "open": {name: list(values) for name, values in judged.open.items()},
        "assumed": {name: chosen(judged.claim, name) for name in names if name not in judged.told},
        "readings": [
            {
                **{name: chosen(each.claim, name) for name in judged.open},
                "predicted": None if each.prediction is None else each.prediction.value,
                "probability": each.probability,
            }
            for each in (judged.reading, *judged.extremes)
        ],
        "singly": [
            {"condition": name, "value": value, "estimated": None if math.isnan(figure) else figure}
            for name, value, figure in judged.singly
        ],
    }


def _software(found: SoftwareFinding) -> dict[str, Any]:
    return {
        "state": found.state,
        "told": found.told,
        "states": {each.state: asdict(each) | {"plausible": each.plausible} for each in found.states},
        "decides": None if found.decides is None else found.decides.name,
        "without": [asdict(each) for each in found.mechanisms],
    }


def _need(decider: ClaimDecider) -> dict[str, Any]:
    quantity = decider.quantity
    return {
        "number": f"{decider.owner}.{decider.path}",
        "kind": quantity.kind,
        "unit": quantity.unit,
        "value": quantity.value,
        "low": quantity.low,
        "high": quantity.high,
        "needed": decider.needed,
        "is_count": decider.is_count,
        "at_low": decider.at_low,
        "at_high": decider.at_high,
        "gain_bits": decider.gain,
        "source": quantity.source,
    }
