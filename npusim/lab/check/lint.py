"""The measurement linter: whether a run was measured as it should be, and agrees with itself."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.little import in_flight, request_rate
from npusim.bounds.power_cap import MEAN
from npusim.bounds.reading import Reading
from npusim.lab.check.placing import Placed
from npusim.lab.check.row import DOUBT, FAULT, NOTE, Remark
from npusim.lab.files.lab_run import LabRun
from npusim.metrics import metric

SHORTEST_S = 60.0
"""Seconds that a run should last (MLPerf Inference asks for ten minutes of its scenarios)."""
OUTPUT_MARGIN = 0.10
"""By how much mean output lengths may differ from what was asked (MLPerf Inference compliance test TEST09)."""
AGREEMENT = 0.02
"""Relative difference between two ways to the same figure that clocks and token counts explain."""
FEWEST_IN_FLIGHT = 0.5
"""Part of the users that is in flight on average even in a run of three requests a user that ends ragged."""
WARM_UP_RATIO = 10.0
"""99th percentile over median of the first token's time, beyond which the first requests met an unready server."""

Rule = Callable[[LabRun, Placed], Iterator[Remark]]


def remarks_on(run: LabRun, placed: Placed) -> tuple[Remark, ...]:
    """Every remark on a run."""
    return tuple(remark for rule in _RULES for remark in rule(run, placed))


def _requests(run: LabRun, placed: Placed) -> Iterator[Remark]:
    conduct = run.conduct
    if conduct.failed:
        yield Remark("failed requests", DOUBT, f"{conduct.failed:,} requests failed; figures are of the others")
    if conduct.completed == 0:
        yield Remark("failed requests", FAULT, "no request was completed")
    if conduct.requests is not None and conduct.completed is not None:
        lost = conduct.requests - conduct.completed - (conduct.failed or 0)
        if lost > 0:
            yield Remark("failed requests", DOUBT, f"{lost:,} of {conduct.requests:,} requests are unaccounted for")
        elif lost < 0:
            asked = f"{conduct.requests:,} were sent"
            yield Remark("failed requests", FAULT, f"{conduct.completed:,} requests completed, but only {asked}")


def _duration(run: LabRun, placed: Placed) -> Iterator[Remark]:
    seconds = run.conduct.duration_s
    if seconds is not None and seconds < SHORTEST_S:
        yield Remark("short run", DOUBT, f"the run lasted {seconds:.3g} s, less than {SHORTEST_S:g} s")


def _warm_up(run: LabRun, placed: Placed) -> Iterator[Remark]:
    median, last = run.figures.get("ttft_ms_p50"), run.figures.get("ttft_ms_p99")
    alone = placed.setting.users is not None and placed.setting.users <= 1
    if alone and median is not None and last is not None and last.low > WARM_UP_RATIO * median.high:
        ratio = last.value / max(median.value, 1e-9)
        message = f"with one user the 99th percentile of TTFT is {ratio:.3g} times its median: a cold first request"
        yield Remark("warm-up", DOUBT, f"{message}; warm the server up and measure again")


def _output_length(run: LabRun, placed: Placed) -> Iterator[Remark]:
    conduct, osl = run.conduct, placed.setting.osl
    if conduct.expected_osl and conduct.output_tokens and conduct.completed:
        mean = conduct.output_tokens / conduct.completed
        if abs(mean / conduct.expected_osl - 1.0) > OUTPUT_MARGIN:
            told = f"{mean:,.1f} output tokens a request, {conduct.expected_osl:,.0f} asked for"
            yield Remark("output length", DOUBT, f"{told}: more than {OUTPUT_MARGIN:.0%} apart (end of sequence?)")
    elif osl is not None and abs(osl - round(osl)) > 0.01 and not conduct.lengths_fixed:
        message = f"mean output of {osl:,.1f} tokens: outputs end where the model ends them; use --ignore-eos"
        yield Remark("output length", NOTE, message)


def _latencies_add_up(run: LabRun, placed: Placed) -> Iterator[Remark]:
    """E2E = TTFT + TPOT x (OSL - 1), in the mean over requests of one length."""
    first, token = run.figures.get("ttft_ms_mean"), run.figures.get("tpot_ms_mean")
    whole = run.figures.get("e2e_ms_mean")
    if not run.conduct.lengths_fixed or not placed.setting.osl or first is None or token is None or whole is None:
        return
    tokens = placed.setting.osl - 1.0
    low, high = first.low + token.low * tokens, first.high + token.high * tokens
    if low > whole.high * (1.0 + AGREEMENT) or high < whole.low * (1.0 - AGREEMENT):
        summed = f"TTFT + TPOT x (OSL - 1) = {first.value + token.value * tokens:,.4g} ms"
        yield Remark("latencies add up", FAULT, f"{summed}, but the end-to-end time is {whole.value:,.4g} ms")


def _users_in_flight(run: LabRun, placed: Placed) -> Iterator[Remark]:
    """Little's law the other way: far fewer requests in flight than users."""
    users = placed.setting.users
    rate = request_rate(placed.setting.osl if run.conduct.lengths_fixed else None, run.figures)
    if users is None or rate is None or "e2e_ms_mean" not in run.figures or run.conduct.arrival == "rate":
        return
    there = in_flight(rate, run.figures["e2e_ms_mean"])
    if there.high < FEWEST_IN_FLIGHT * users:
        message = f"throughput x end-to-end time = {there.value:,.3g} requests in flight of {users:g} users"
        yield Remark("Little's law", DOUBT, f"{message}: the client did not keep them busy, or a figure is wrong")


def _rates_agree(run: LabRun, placed: Placed) -> Iterator[Remark]:
    """Tokens over seconds is the throughput; output and total throughput are in the ratio of their tokens."""
    conduct, out, total = run.conduct, run.figures.get("output_tokens_per_s"), run.figures.get("total_tokens_per_s")
    if out is not None and conduct.output_tokens is not None and conduct.duration_s and conduct.requests != 0:
        computed = conduct.output_tokens / conduct.duration_s
        if _apart(computed, out):
            told = f"{conduct.output_tokens:,} tokens in {conduct.duration_s:,.4g} s are {computed:,.4g} tokens/s"
            yield Remark("rates agree", FAULT, f"{told}, not {out.value:,.4g}")
    isl, osl = placed.setting.isl, placed.setting.osl
    if out is not None and total is not None and isl and osl:
        expected = out.times((isl + osl) / osl)
        if _apart(expected.value, total.widened(0.5 * (expected.high - expected.low) / max(expected.value, 1e-9))):
            ratio = f"at {isl:g} in and {osl:g} out the total is {expected.value:,.4g} tokens/s"
            yield Remark("rates agree", FAULT, f"{ratio}, not {total.value:,.4g}")


def _apart(computed: float, figure: Reading) -> bool:
    return computed > figure.high * (1.0 + AGREEMENT) or computed < figure.low * (1.0 - AGREEMENT)


def _percentiles_rise(run: LabRun, placed: Placed) -> Iterator[Remark]:
    told: dict[str, list[tuple[float, Reading]]] = defaultdict(list)
    for name, figure in run.figures.items():
        row = metric(name)
        if row is not None and row.unit == "ms" and row.statistic.startswith("p"):
            told[row.quantity].append((float(row.statistic[1:]), figure))
    for latency, known in told.items():
        for (below, lower), (above, upper) in itertools.pairwise(sorted(known, key=lambda each: each[0])):
            if lower.low > upper.high:
                message = f"{latency} p{below:g} = {lower.value:,.4g} is above p{above:g} = {upper.value:,.4g}"
                yield Remark("percentiles rise", FAULT, message)


def _power(run: LabRun, placed: Placed) -> Iterator[Remark]:
    conduct, told = run.conduct, run.figures.get(MEAN)
    if any(name.startswith("power_w") for name in run.figures) and conduct.power_scope != "cards":
        scope = conduct.power_scope or "not told"
        yield Remark("power scope", DOUBT, f"scope of the watts: {scope}; only watts of the cards are compared")
    if told is not None and placed.arch is not None and placed.chips is not None:
        limit = ceiling_of(placed.arch, False).tdp_w * placed.chips
        if told.low > limit:
            yield Remark("above TDP", NOTE, f"{told.value:,.1f} W is above the {limit:,.0f} W of the data sheet")
    if run.tool == "furiosa-perf" and told is not None:
        yield from _furiosa_mean(run, told)


def _furiosa_mean(run: LabRun, told: Reading) -> Iterator[Remark]:
    conduct, active = run.conduct, run.figures.get("power_w_active")
    if active is None or conduct.power_samples is None:
        message = "mean_power counts samples without a card at work as 0 W and leaves idle cards out; no log is here"
        yield Remark("furiosa-perf mean power", NOTE, message)
        return
    everything = run.figures["power_w_samples"]
    share = f"{conduct.idle_samples:,} of {conduct.power_samples:,} samples hold no card at work"
    means = f"{active.value:,.1f} W while at work, {everything.value:,.1f} W over all samples"
    yield Remark("furiosa-perf mean power", DOUBT if conduct.idle_samples else NOTE, f"{share}: {means}")
    if _apart(everything.value, told) and _apart(active.value, told):
        yield Remark("furiosa-perf mean power", FAULT, f"mean_power {told.value:,.1f} W is neither: {means}")


def _efficiency(run: LabRun, placed: Placed) -> Iterator[Remark]:
    rate, watts, joule = (
        run.figures.get("output_tokens_per_s"),
        run.figures.get(MEAN),
        run.figures.get("tokens_per_joule"),
    )
    if rate is not None and watts is not None and joule is not None and watts.value > 0.0:
        computed = rate.value / watts.value
        if _apart(computed, joule):
            message = f"{rate.value:,.4g} tokens/s at {watts.value:,.4g} W are {computed:,.4g} tokens/J"
            yield Remark("rates agree", FAULT, f"{message}, not {joule.value:,.4g}")


def _not_copied(run: LabRun, placed: Placed) -> Iterator[Remark]:
    if run.conduct.copied:
        message = "all figures equal the predicted ones of the same file to the printed digits: no measurement does"
        yield Remark("copied predictions", FAULT, message)


def _as_told(run: LabRun, placed: Placed) -> Iterator[Remark]:
    """What the files themselves say of the run."""
    yield from (Remark("as the file says", DOUBT, text) for text in run.conduct.remarks)
    yield from (Remark("as the file says", NOTE, text) for text in run.conduct.notes)
    if run.conduct.warm_up is not None:
        yield Remark("warm-up", NOTE, run.conduct.warm_up)


_RULES: tuple[Rule, ...] = (
    _requests,
    _duration,
    _warm_up,
    _output_length,
    _latencies_add_up,
    _users_in_flight,
    _rates_agree,
    _percentiles_rise,
    _power,
    _efficiency,
    _not_copied,
    _as_told,
)
