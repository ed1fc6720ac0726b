"""Latencies of a run among themselves: parts and wholes, percentiles, means, spreads and chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from npusim.bounds.reading import LEAST, Reading
from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules.agreement import EXACT, apart, quotient, slip, sum_of
from npusim.lab.rules.remark import DOUBT, FAULT, Remark
from npusim.metric_names import metric
from npusim.metrics import METRICS

_PARTS = tuple(dict.fromkeys(row.quantity for row in METRICS if row.unit == "ms" and row.statistic))
"""Every latency."""
_ALIKE_DIGITS, _ALIKE_REQUESTS = 6, 10
"""Digits beyond the first, of all together, to which a mean and percentiles of so many requests are never the same."""
_MEAN_OF_SPEEDS = 0.15
"""Part by which a mean of users' speeds lies above one over their mean time; more where users differ more."""


def adds_up(run: LabRun) -> Iterator[Remark]:
    """E2E = TTFT + TPOT x (OSL - 1), in the mean over requests of one length."""
    whole, summed = run.figures.get("e2e_ms_mean"), first_and_others(run)
    if whole is None or summed is None or not apart(summed, whole, EXACT):
        return
    told = f"TTFT + TPOT x (OSL - 1) = {summed.value:,.4g} ms, but the end-to-end time is {whole.value:,.4g} ms"
    yield Remark("latencies add up", FAULT, told + slip(run, whole, summed, EXACT))


def adds_up_roughly(run: LabRun) -> Iterator[Remark]:
    """The same where lengths differ: long answers are not so much faster or slower than short ones."""
    whole, osl = run.figures.get("e2e_ms_mean"), run.setting.osl
    first, token = run.figures.get("ttft_ms_mean"), run.figures.get("tpot_ms_mean")
    if run.conduct.lengths_fixed or whole is None or first is None or token is None or not osl or osl <= 1.0:
        return
    summed = sum_of(first, token.times(osl - 1.0))
    far = max(summed.low / max(whole.high, LEAST), whole.low / max(summed.high, LEAST)) - 1.0
    if far > _ROUGH[0]:
        told = f"TTFT + TPOT x (mean OSL - 1) = {summed.value:,.4g} ms, the end-to-end time is {whole.value:,.4g} ms"
        severity = FAULT if far > _ROUGH[1] else DOUBT
        yield Remark("latencies add up", severity, told + slip(run, whole, summed, EXACT))


_ROUGH = (0.2, 0.5)
"""Parts by which times per token that go with the length may part the sum from the whole: a standard deviation of 0.25
of their mean, beside one of the lengths as large as theirs, correlated by 0.8; and more than twice as much."""


def first_and_others(run: LabRun) -> Reading | None:
    """TTFT + TPOT x (OSL - 1) in the mean; None where lengths differ or a part is missing."""
    first, token = run.figures.get("ttft_ms_mean"), run.figures.get("tpot_ms_mean")
    osl = run.setting.osl
    if not run.conduct.lengths_fixed or not osl or first is None:
        return None
    if osl <= 1.0:
        return first
    return None if token is None else sum_of(first, token.times(osl - 1.0))


def percentiles_rise(run: LabRun) -> Iterator[Remark]:
    """From the least over all percentiles to the greatest."""
    for latency in _PARTS:
        for (below, lower), (above, upper) in itertools.pairwise(sorted(_steps(run, latency).items())):
            if lower.low > upper.high:
                told = f"{latency} {_step(below)} = {lower.value:,.4g} is above {_step(above)} = {upper.value:,.4g}"
                yield Remark("percentiles rise", FAULT, told)


def _steps(run: LabRun, latency: str) -> dict[float, Reading]:
    """Figures of a latency by percent of the requests below, the least and the greatest among them."""
    ends = {0.0: run.aside.get(f"{latency}_min"), 100.0: run.aside.get(f"{latency}_max")}
    found = {part: figure for part, figure in ends.items() if figure is not None}
    for name, figure in run.figures.items():
        row = metric(name)
        if row is not None and row.quantity == latency and row.statistic.startswith("p"):
            found[float(row.statistic[1:])] = figure
    return found


def _step(part: float) -> str:
    return {0.0: "min", 100.0: "max"}.get(part, f"p{part:g}")


def mean_within(run: LabRun) -> Iterator[Remark]:
    """A mean lies between what its percentiles leave it at least and at most."""
    for latency in _PARTS:
        mean, steps = run.figures.get(f"{latency}_mean"), _steps(run, latency)
        if mean is None or not steps:
            continue
        room = _of_few(run, steps)
        least, most = _least_mean(steps) - room, _most_mean(steps)
        if mean.high < least * (1.0 - EXACT):
            told = f"{latency} mean {mean.value:,.4g} is below {least:,.4g}, the least that its percentiles allow"
            yield Remark("mean within percentiles", FAULT, told)
        elif latency != _CHUNK and most is not None and mean.low > (most + room) * (1.0 + EXACT):
            told = f"{latency} mean {mean.value:,.4g} is above {most:,.4g}, the most that its percentiles allow"
            yield Remark("mean within percentiles", FAULT, told)


def _of_few(run: LabRun, steps: Mapping[float, Reading]) -> float:
    """What percentiles between the values of few requests may be off: a request's share of their range."""
    requests = run.conduct.completed or run.conduct.requests
    values = [figure.value for figure in steps.values()]
    return (max(values) - min(values)) / (requests or _ALIKE_REQUESTS)


def _least_mean(steps: Mapping[float, Reading]) -> float:
    """Every request as fast as the percentile below it."""
    known = sorted((part, figure.low) for part, figure in steps.items())
    ends = [*known[1:], (100.0, 0.0)]
    return sum(value * (end - part) / 100.0 for (part, value), (end, _) in zip(known, ends, strict=True))


def _most_mean(steps: Mapping[float, Reading]) -> float | None:
    """Every request as slow as the percentile above it; of the last hundredth without a greatest nothing is known, and
    a mean above the 99th percentile is none of a server that is loaded evenly."""
    known = sorted((part, figure.high) for part, figure in steps.items())
    if known[-1][0] < _LAST:
        return None
    starts = [0.0, *(part for part, _ in known[:-1])]
    own = sum(value * (part - start) / 100.0 for start, (part, value) in zip(starts, known, strict=True))
    return own + known[-1][1] * (100.0 - known[-1][0]) / 100.0 * (_TAIL if known[-1][0] < 100.0 else 1.0)


_CHUNK = "itl_ms"
"""Times between chunks hold a few stalls that their percentiles pass over."""
_LAST, _TAIL = 99.0, 10.0
"""Percent from which on a percentile bounds the mean, and times it that the requests beyond may take in the mean."""


def spreads(run: LabRun) -> Iterator[Remark]:
    """Mean and median are at most a standard deviation apart (Mallows 1969), which is at most half the range."""
    for latency in _PARTS:
        mean, median = run.figures.get(f"{latency}_mean"), run.figures.get(f"{latency}_p50")
        sd, steps = run.aside.get(f"{latency}_std"), _steps(run, latency)
        if sd is None:
            continue
        if mean is not None and median is not None and _gap(mean, median) > sd.high * (1.0 + CLOSE):
            told = f"{latency} mean {mean.value:,.4g} and median {median.value:,.4g} are further apart than"
            yield Remark("spread", FAULT, f"{told} one standard deviation of {sd.value:,.4g}")
        if {0.0, 100.0} <= set(steps) and sd.low > 0.5 * (steps[100.0].high - steps[0.0].low) * (1.0 + CLOSE):
            told = f"{latency} has a standard deviation of {sd.value:,.4g}, more than half its range"
            yield Remark("spread", FAULT, told)


CLOSE = 0.05
"""Part that a sample's standard deviation may differ from one over all requests."""


def _gap(one: Reading, other: Reading) -> float:
    return max(0.0, one.low - other.high, other.low - one.high)


def parts_below_whole(run: LabRun) -> Iterator[Remark]:
    """No percentile of the first token's time, or of all others', is above that of the whole answer."""
    osl = run.setting.osl if run.conduct.lengths_fixed else None
    times = {"ttft_ms": 1.0} | ({"tpot_ms": osl - 1.0} if osl and osl > 1.0 else {})
    wholes = _steps(run, "e2e_ms")
    for part, factor in times.items():
        for step, figure in _steps(run, part).items():
            whole = wholes.get(step)
            if whole is not None and figure.low * factor > whole.high * (1.0 + EXACT):
                own = f"{part} {_step(step)} {'' if factor == 1.0 else 'x (OSL - 1) '}= {figure.value * factor:,.4g} ms"
                yield Remark("latencies add up", FAULT, f"{own} is above the end-to-end {whole.value:,.4g} ms")


def percentiles_differ(run: LabRun) -> Iterator[Remark]:
    """Percentiles of the first token's time are never all alike over many requests of several users, as copies of one
    figure are. (Whole answers of users in step may be.)"""
    requests, steps = run.conduct.completed or run.conduct.requests, _steps(run, _FIRST)
    known = [figure for part, figure in steps.items() if _MIDDLE <= part < 100.0]
    alone = run.setting.users is not None and run.setting.users < 2.0
    mean = run.figures.get(f"{_FIRST}_mean")
    if alone or (requests is not None and requests < _ALIKE_REQUESTS):
        return
    for figures in (known, known if mean is None else [*known, mean]):
        digits = len(figures) * (min(map(_digits, figures), default=0.0) - 1.0)
        if len({figure.value for figure in figures}) == 1 and len(figures) > 1 and digits >= _ALIKE_DIGITS:
            told = f"{len(figures)} of the mean and the percentiles of {_FIRST} are {figures[0].value:,.6g}"
            yield Remark("percentiles all alike", FAULT, f"{told}: copied, not measured")
            return


_FIRST = "ttft_ms"
_MIDDLE = 50.0
"""Percentile from which on they are compared."""


def _digits(figure: Reading) -> float:
    """Value over the unit of its last place, as a count of digits."""
    step = figure.high - figure.low
    return float("inf") if step <= 0.0 else len(f"{figure.value / step:.0f}")


def chunks_hold_tokens(run: LabRun) -> Iterator[Remark]:
    """A chunk holds a token or more: the mean time between chunks is no less than that of a token."""
    chunk, token = run.figures.get("itl_ms_mean"), run.figures.get("tpot_ms_mean")
    if not run.conduct.lengths_fixed or chunk is None or token is None or not run.setting.osl:
        return
    least = token.times(max(0.0, 1.0 - 1.0 / run.setting.osl))
    if chunk.high < least.low * (1.0 - CHUNKS):
        told = (
            f"the mean time between chunks, {chunk.value:,.4g} ms, is below the time per token, {token.value:,.4g} ms"
        )
        yield Remark("chunks and tokens", FAULT, told)


CHUNKS = 0.02
"""Relative difference that a last chunk without a token, or the first one's wait, makes in a mean."""


def users_speed(run: LabRun) -> Iterator[Remark]:
    """The speed of a user is one over the time per token, or, with its first token, tokens over the whole time."""
    speed, token = run.figures.get("tokens_per_s_per_user"), run.figures.get("tpot_ms_mean")
    if speed is None or token is None:
        return
    most = quotient(Reading.exact(1e3), token)
    whole, osl = run.figures.get("e2e_ms_mean") or first_and_others(run), run.setting.osl
    least = most if whole is None or not osl else quotient(Reading.exact(1e3 * osl), whole)
    if speed.low > most.high * (1.0 + _MEAN_OF_SPEEDS) or speed.high < min(least.low, most.low) * (1.0 - CHUNKS):
        told = f"{speed.value:,.4g} tokens/s a user, but {token.value:,.4g} ms a token are {most.value:,.4g}"
        yield Remark("speed of a user", FAULT, told + slip(run, speed, most, CHUNKS))


RULES = (
    adds_up,
    adds_up_roughly,
    percentiles_rise,
    mean_within,
    spreads,
    parts_below_whole,
    percentiles_differ,
    chunks_hold_tokens,
    users_speed,
)
