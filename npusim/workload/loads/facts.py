"""What a drawn load is in numbers: how often sessions come, how long they are, what their prompts share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from npusim.ledger import provenances
from npusim.workload.arrivals import FIRST
from npusim.workload.loads.description import LoadDescription, TurnCounts
from npusim.workload.loads.told import HourlyRates, ToldLengths
from npusim.workload.traces.formats.sessions import BLOCK_TOKENS
from npusim.workload.traces.read import Trace


def facts_of(told: LoadDescription, trace: Trace) -> dict[str, Any]:
    """What was drawn, in SI units and fractions; rates and spreads of gaps are null of a single session."""
    assert trace.before is not None and trace.times_s is not None
    begun_s = np.sort(trace.times_s[trace.before == FIRST])
    gaps_s = np.diff(begun_s)
    mean_s = float(gaps_s.mean()) if len(gaps_s) else 0.0
    return {
        "name": told.name,
        "requests": len(trace),
        "sessions": len(begun_s),
        "turns_mean": len(trace) / len(begun_s),
        "sessions_per_s": 1.0 / mean_s if mean_s else None,
        "gap_cv": float(gaps_s.std()) / mean_s if mean_s else None,
        "seconds": trace.seconds,
        "isl_mean": float(trace.tokens[:, 0].mean()),
        "osl_mean": float(trace.tokens[:, 1].mean()),
        "isl_most": int(trace.tokens[:, 0].max()),
        "shared_fraction": shared_fraction(told, trace),
        "assumed": list(assumed(told)),
    }


def shared_fraction(told: LoadDescription, trace: Trace) -> float:
    """Part of all prompt tokens that a prefix cache without end finds, in whole blocks: the system prompt in all first
    turns but one, and in each other turn all that the one before it has read and written, but its last token."""
    assert trace.before is not None
    before, (isl, osl) = trace.before, trace.tokens.T
    system = 0 if told.system_prompt is None else round(told.system_prompt.value)
    known = np.where(before == FIRST, system, (isl + osl)[before] - 1)
    known[0] = 0
    found = np.minimum(known // BLOCK_TOKENS, (isl - 1) // BLOCK_TOKENS) * BLOCK_TOKENS
    return float(found.sum() / isl.sum())


def load_summary(told: LoadDescription) -> dict[str, Any]:
    """A load in a few words; assumed: how many of its numbers are."""
    return {
        "name": told.name,
        "title": told.title,
        "sessions": told.sessions,
        "turns": _turns_text(told.turns),
        "sessions_per_s": told.arrivals.sessions_per_s.value,
        "prompt": str(told.prompt.value),
        "answer": str(told.answer.value),
        "assumed": len(list(assumed(told))),
    }


def _turns_text(told: TurnCounts) -> str:
    if told.mean is not None:
        return "1" if told.mean.value == 1.0 else f"geometric, mean {told.mean.value:g}"
    return ", ".join(str(each) for each in told.counts or ())


def assumed(told: LoadDescription) -> Iterator[Mapping[str, Any]]:
    """Every assumed number of a load, with its range and source."""
    for each in provenances(told.name, told):
        if each.quantity.is_assumed:
            number = each.quantity
            yield _assumption(each.path, number.value, (number.low, number.high), number.unit, number.source)
    day = told.arrivals.day
    rates = None if day is None else day.hourly
    parts = {"prompt": told.prompt, "answer": told.answer, "arrivals.day.hourly": rates}
    for path, part in parts.items():
        if part is not None and part.kind == "assumed":
            yield _of_part(path, part)


def _of_part(path: str, part: ToldLengths | HourlyRates) -> Mapping[str, Any]:
    if isinstance(part, ToldLengths):
        return _assumption(path, part.value, (part.low, part.high), "token", part.source)
    return _assumption(path, part.value, (part.low, part.high), "", part.source)


def _assumption(path: str, value: Any, ends: tuple[Any, Any], unit: str, source: str) -> Mapping[str, Any]:
    value, low, high = (list(each) if isinstance(each, tuple) else each for each in (value, *ends))
    return {"key": path, "value": value, "low": low, "high": high, "unit": unit, "source": source}
