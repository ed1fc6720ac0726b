"""Little's law: requests in flight are requests per second times the time that each stays (Little 1961)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from npusim.bounds.finding import Finding
from npusim.bounds.reading import Reading
from npusim.units import MS_PER_S
from npusim.words import Phrase

NAME = "Little's law"
_LEAST = 1e-12
"""Takes the part of a rate of zero below a fraction line, in requests/s."""
CLOCKS = 0.02
"""Part by which tools differ over when a run starts and ends, counted in favour of the figure."""


def in_flight(requests_per_s: Reading, e2e_ms: Reading) -> Reading:
    """Mean number of requests in flight."""
    return Reading(
        requests_per_s.value * e2e_ms.value / MS_PER_S,
        requests_per_s.low * max(e2e_ms.low, 0.0) / MS_PER_S,
        requests_per_s.high * e2e_ms.high / MS_PER_S,
    )


def littles_law(users: float | None, osl: float | None, figures: Mapping[str, Reading]) -> Iterator[Finding]:
    """Throughput x end-to-end time is at most the number of users, each with one request in flight."""
    rate = request_rate(osl, figures)
    if users is None or rate is None or "e2e_ms_mean" not in figures:
        return
    there = in_flight(rate, figures["e2e_ms_mean"])
    seconds = figures["e2e_ms_mean"].value / MS_PER_S
    told = {"users": f"{users:g}", "rate": f"{rate.value:,.4g}", "time": f"{seconds:,.4g}"}
    says = Phrase("{users} users in flight: {rate} requests/s x {time} s", told)
    limit = users * (1.0 + CLOCKS) / max(rate.low, _LEAST) * MS_PER_S
    yield Finding(NAME, "e2e_ms_mean", there.low / users / (1.0 + CLOCKS), there.high / users, says, limit)


def request_rate(osl: float | None, figures: Mapping[str, Reading]) -> Reading | None:
    """Requests per second as given, or from the output tokens where all outputs are `osl` long."""
    if "requests_per_s" in figures:
        return figures["requests_per_s"]
    if osl and "output_tokens_per_s" in figures:
        return figures["output_tokens_per_s"].times(1.0 / osl)
    return None
