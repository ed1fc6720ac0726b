"""Rates of a run against its counts, its seconds, and its requests in flight."""

from __future__ import annotations

from collections.abc import Iterator

from npusim.bounds.little import answer_ms, in_flight, request_rate
from npusim.bounds.reading import Reading
from npusim.lab.files.lab_run import RATE, LabRun
from npusim.lab.rules.agreement import CLOCKS, apart, product, quotient, slip
from npusim.lab.rules.remark import DOUBT, FAULT, Remark
from npusim.units import MS_PER_S

NAME = "rates agree"
FEWEST_IN_FLIGHT = 0.5
"""Part of the users that is in flight on average even in a run of one request a user that ends ragged."""


def tokens_over_seconds(run: LabRun) -> Iterator[Remark]:
    """Counts over the duration are the rates."""
    conduct = run.conduct
    if not conduct.duration_s or conduct.completed == 0:
        return
    for name, count, noun in _counts(run):
        told = run.figures.get(name)
        if told is None or count is None:
            continue
        computed = Reading.exact(count / conduct.duration_s)
        if apart(computed, told, CLOCKS):
            says = f"{count:,} {noun} in {conduct.duration_s:,.4g} s are {computed.value:,.4g}/s, not {told.value:,.4g}"
            yield Remark(NAME, FAULT, says + slip(run, told, computed, CLOCKS))


def _counts(run: LabRun) -> Iterator[tuple[str, int | None, str]]:
    """Each rate with the count that it is of."""
    yield "output_tokens_per_s", run.conduct.output_tokens, "output tokens"
    yield "total_tokens_per_s", _all_tokens(run), "tokens in and out"
    yield "requests_per_s", run.conduct.completed, "requests"


def _all_tokens(run: LabRun) -> int | None:
    counts = run.conduct.input_tokens, run.conduct.output_tokens
    return None if counts[0] is None or counts[1] is None else counts[0] + counts[1]


def output_and_total(run: LabRun) -> Iterator[Remark]:
    """Output and total throughput are in the ratio of their tokens."""
    out, total = run.figures.get("output_tokens_per_s"), run.figures.get("total_tokens_per_s")
    isl, osl = run.setting.isl, run.setting.osl
    if out is None or total is None or not isl or not osl:
        return
    expected = out.times((isl + osl) / osl)
    if apart(expected, total, CLOCKS):
        ratio = f"at {isl:,.4g} in and {osl:,.4g} out the total is {expected.value:,.4g} tokens/s"
        yield Remark(NAME, FAULT, f"{ratio}, not {total.value:,.4g}{slip(run, out, total, CLOCKS)}")


def requests_and_tokens(run: LabRun) -> Iterator[Remark]:
    """Requests per second times output tokens of a request are output tokens per second."""
    rate, out, osl = run.figures.get("requests_per_s"), run.figures.get("output_tokens_per_s"), run.setting.osl
    if rate is None or out is None or not osl:
        return
    expected = rate.times(osl)
    if apart(expected, out, CLOCKS):
        says = f"{rate.value:,.4g} requests/s of {osl:,.4g} tokens are {expected.value:,.4g} tokens/s"
        yield Remark(NAME, FAULT, f"{says}, not {out.value:,.4g}{slip(run, out, expected, CLOCKS)}")


def users_in_flight(run: LabRun) -> Iterator[Remark]:
    """Little's law the other way: users whom the client keeps busy have a request in flight each, but at the end.

    The last requests end one by one: of k requests a user, at most half a request's time is lost where they are served
    in turn, so that 1 - 1 / 2k of the users are in flight in the mean, or more.
    """
    users, osl = run.setting.users, run.setting.osl if run.conduct.lengths_fixed else None
    rate, whole = request_rate(run.setting.isl, osl, run.figures), answer_ms(osl, run.figures)
    if users is None or rate is None or whole is None or run.conduct.arrival == RATE:
        return
    there, least, severity = in_flight(rate, whole), FEWEST_IN_FLIGHT, DOUBT
    each = (run.conduct.requests or run.conduct.completed or 0) / users
    if run.conduct.lengths_fixed and each >= 1.0 and not run.conduct.failed:
        least, severity = 1.0 - 0.5 / each, FAULT
    if there.high < least * users * (1.0 - CLOCKS):
        told = f"throughput x end-to-end time = {there.value:,.3g} requests in flight of {users:g} users"
        says = f"{told}: the client did not keep them busy, or a figure is wrong"
        yield Remark("Little's law", severity, says + slip(run, there, Reading.exact(users), CLOCKS))


def speeds_in_all(run: LabRun) -> Iterator[Remark]:
    """All users together are no faster than users times the median one, but for those that are faster than it."""
    users, rate, known = run.setting.users, run.figures.get("output_tokens_per_s"), _speed(run) or _pace(run)
    if users and rate is not None and known is not None and rate.low > users * known.high * (1.0 + _UNEVEN):
        told = f"{users:g} users of {known.value:,.4g} tokens/s in the median get {users * known.value:,.4g} in all"
        yield Remark(NAME, FAULT, f"{told}, not {rate.value:,.4g}{slip(run, rate, known.times(users), CLOCKS)}")


def speed_and_pace(run: LabRun) -> Iterator[Remark]:
    """Where a step gives a token, no user is faster than the pace of the tokens."""
    speed, pace = _speed(run), _pace(run)
    single = run.conduct.tokens_per_step <= 1.0 + CLOCKS
    if single and speed is not None and pace is not None and speed.low > pace.high * (1.0 + _PAUSES):
        told = f"{speed.value:,.4g} tokens/s of the median user, but {pace.value:,.4g} between its tokens"
        yield Remark("speed of a user", FAULT, told + slip(run, speed, pace, CLOCKS))


def _speed(run: LabRun) -> Reading | None:
    return run.figures.get("speed_p50") or _inverse(run.figures.get("tpot_ms_p50"))


def _pace(run: LabRun) -> Reading | None:
    return _inverse(run.figures.get("itl_ms_p50"))


_UNEVEN = 0.25
"""Part by which all users were faster than the median one in published runs (0.12 on RNGD, 0.24 of a vendor)."""
_PAUSES = 0.13
"""Part by which a median user may be faster than the median time between tokens, where tokens come unevenly."""


def _inverse(milliseconds: Reading | None) -> Reading | None:
    """Tokens/s of one token each so many milliseconds."""
    return None if milliseconds is None else quotient(Reading.exact(MS_PER_S), milliseconds)


def tokens_of_energy(run: LabRun) -> Iterator[Remark]:
    """Tokens per joule times watts are tokens per second."""
    rate, watts = run.figures.get("output_tokens_per_s"), run.figures.get("power_w_mean")
    joule = run.figures.get("tokens_per_joule")
    if rate is None or watts is None or joule is None or watts.value <= 0.0:
        return
    expected = product(joule, watts)
    if apart(expected, rate, CLOCKS):
        says = f"{joule.value:,.4g} tokens/J at {watts.value:,.4g} W are {expected.value:,.4g} tokens/s"
        yield Remark(NAME, FAULT, f"{says}, not {rate.value:,.4g}{slip(run, joule, _of(rate, watts), CLOCKS)}")


def _of(rate: Reading, watts: Reading) -> Reading:
    return Reading.exact(rate.value / watts.value)


RULES = (
    tokens_over_seconds,
    output_and_total,
    requests_and_tokens,
    users_in_flight,
    speeds_in_all,
    speed_and_pace,
    tokens_of_energy,
)
