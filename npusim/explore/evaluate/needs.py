"""What a claim needs of a bound, in words: a time beside the time that it leaves, else the part that it would take."""

from __future__ import annotations

from npusim.bounds.finding import Finding
from npusim.explore.evaluate.claim import Claim
from npusim.metric_names import inverses, metric
from npusim.units import MS_PER_S
from npusim.words import Phrase, Say


def need_text(found: Finding, claim: Claim, say: Say) -> str:
    """In the language that `say` speaks."""
    row = metric(found.metric) if found.metric else None
    target = _target_ms(found, claim)
    if row is None or row.unit != "ms" or found.limit is None or target is None:
        return say("{need} of {says}", need=found.need.in_words_of(say), says=found.says.in_words_of(say))
    told = {"limit": f"{found.limit:,.3g}", "target": f"{target:,.3g}", "what": _what(found, say)}
    if found.limit <= target:
        return say("at least {limit} ms needed{what}, target {target} ms", **told)
    times = f"{found.limit / target:,.2g}"
    return say("at least {limit} ms needed{what}, target {target} ms: {times} times too short", times=times, **told)


def _target_ms(found: Finding, claim: Claim) -> float | None:
    """The time that the claim leaves; of a speed per user the time between its tokens."""
    if claim.figure == found.metric:
        return claim.value
    if inverses(claim.figure) == found.metric:
        return MS_PER_S / claim.value
    return next(
        (limit for name, limit in claim.slo if name in (found.metric, found.metric.removesuffix("_mean"))), None
    )


def _what(found: Finding, say: Say) -> str:
    what, rate = found.says.values.get("what"), found.says.values.get("rate")
    if not isinstance(what, Phrase) or rate is None:
        return ""
    return say(" ({what}, {rate} TB/s)", what=what.in_words_of(say), rate=rate)
