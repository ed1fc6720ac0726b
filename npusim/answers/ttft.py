"""Where the time to the first token went, as plain JSON-ready figures."""

from __future__ import annotations

from typing import Any

from npusim.serving.simulate import ServedRun
from npusim.serving.step_log import StepLog
from npusim.serving.ttft_parts import PARTS, ttft_parts
from npusim.units import MS_PER_S

NAMES = {f"{name}_ms": told for name, told in PARTS.items()}
"""What each part is called in an answer, and in words."""
PERCENTILES = ("p50", "p99")


def ttft_told(run: ServedRun, log: StepLog | None) -> dict[str, Any]:
    """`ttft_parts`: milliseconds by part, of the mean and of the requests at percentiles, which `requests` numbers in
    the order of sending, the first of the run 1; nothing without a log of its steps.
    """
    if log is None:
        return {}
    found = ttft_parts(run, log)
    if not len(found.requests):
        return {"ttft_parts": None}
    at = {name: found.at(float(name[1:])) for name in PERCENTILES}
    rows = {"mean": found.seconds.mean(axis=0)} | {name: found.seconds[place] for name, place in at.items()}
    told = {name: dict(zip(NAMES, (seconds * MS_PER_S).tolist(), strict=True)) for name, seconds in rows.items()}
    return {"ttft_parts": told | {"requests": {name: int(found.requests[place]) + 1 for name, place in at.items()}}}
