"""A judged curve as JSON: the keys that every claim has, of its worst point, and all points."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from npusim.explore.evaluate.curve_judged import JudgedCurve, JudgedPoint
from npusim.explore.evaluate.decision import ACCEPT
from npusim.units import GB, US_PER_S


def curve_json(judged: JudgedCurve) -> dict[str, Any]:
    claim, worst = judged.asked, _point(judged.worst)
    least, most = judged.span
    return {
        "claim": claim.name,
        "text": claim.text,
        "metric": claim.metric,
        "unit": claim.unit,
        "source": claim.source,
        "baseline": None if claim.baseline is None else claim.baseline.model_dump(),
        "claimed": worst["claimed"],
        "side": "at_least" if claim.wants_more else "at_most",
        **{name: worst[name] for name in ("predicted", "low", "high")},
        "probability": judged.probability,
        "probability_low": least,
        "probability_high": most,
        "draws": max(each.draws for each in judged.settled),
        "decision": judged.decision,
        "withheld": [str(reason) for reason in judged.withheld],
        "needs": [] if judged.decision == ACCEPT or judged.broken else [_room(judged)],
        "worst": {name: worst[name] for name in ("collective", "bytes", "cards")},
        "points": [_point(each) for each in judged.points],
    }


def _point(judged: JudgedPoint) -> dict[str, Any]:
    reading, fastest = judged.assumed, judged.fastest
    return {
        "collective": judged.point.collective,
        "bytes": judged.point.bytes,
        "cards": judged.point.cards,
        "claimed": judged.point.value,
        "predicted": reading.value,
        "low": reading.low,
        "high": reading.high,
        "probability": 0.0 if judged.broken else reading.probability,
        "free_software": asdict(judged.best) if len(judged.readings) > 1 else None,
        "bound": judged.limit,
        "across": judged.least.across,
        "impossible": judged.broken,
        "algorithm": fastest.algorithm,
        "links_alone_us": fastest.time_s * US_PER_S,
        "alpha_us": fastest.alpha_s * US_PER_S,
        "beta_gb_per_s": fastest.rate_bytes_per_s / GB,
    }


def _room(judged: JudgedCurve) -> dict[str, Any]:
    """What software may add at the worst point to what the links take."""
    return {"number": f"software of {judged.worst.title}", "unit": "s", "needed": judged.room_s}
