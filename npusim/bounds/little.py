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


def littles_law(
    users: float | None, isl: float | None, osl: float | None, figures: Mapping[str, Reading]
) -> Iterator[Finding]:
    """Throughput x end-to-end time is at most the number of users, each with one request in flight.

    isl, osl: where all requests have them, else None.
    """
    rate, whole = request_rate(isl, osl, figures), answer_ms(osl, figures)
    if users is None or rate is None or whole is None:
        return
    there, metric = in_flight(rate, whole), "e2e_ms_mean"
    told = {"users": f"{users:g}", "rate": f"{rate.value:,.4g}", "time": f"{whole.value / MS_PER_S:,.4g}"}
    says = Phrase("{users} users in flight: {rate} requests/s x {time} s", told)
    limit: float | None = users * (1.0 + CLOCKS) / max(rate.low, _LEAST) * MS_PER_S
    if metric not in figures:
        metric, limit = next(name for name, _ in _rates(isl, osl) if name in figures), None
    yield Finding(NAME, metric, there.low / users / (1.0 + CLOCKS), there.high / users, says, limit)


def answer_ms(osl: float | None, figures: Mapping[str, Reading]) -> Reading | None:
    """The mean time of an answer as given, or of its first token and the others where all outputs are `osl` long."""
    if "e2e_ms_mean" in figures or not osl:
        return figures.get("e2e_ms_mean")
    first, token = figures.get("ttft_ms_mean"), figures.get("tpot_ms_mean")
    if first is None or (token is None and osl > 1.0):
        return None
    others = Reading.exact(0.0) if token is None else token.times(osl - 1.0)
    return Reading(first.value + others.value, first.low + others.low, first.high + others.high)


def _rates(isl: float | None, osl: float | None) -> Iterator[tuple[str, float]]:
    """Rates from which requests per second follow, and how much of each is one request's."""
    yield "requests_per_s", 1.0
    if osl:
        yield "output_tokens_per_s", osl
    if isl and osl:
        yield "total_tokens_per_s", isl + osl


def request_rate(isl: float | None, osl: float | None, figures: Mapping[str, Reading]) -> Reading | None:
    """Requests per second as given, or from the tokens where all requests have `isl` and `osl`."""
    return next((figures[name].times(1.0 / each) for name, each in _rates(isl, osl) if name in figures), None)
