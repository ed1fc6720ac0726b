"""Requests of a run: sent, served, failed, of the length that was asked for; how long it took; how it was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules.remark import DOUBT, FAULT, NOTE, Remark

SHORTEST_S = 60.0
"""Seconds that a run should last (MLPerf Inference asks for ten minutes of its scenarios)."""
OUTPUT_MARGIN = 0.10
"""By how much mean output lengths may differ from what was asked (MLPerf Inference compliance test TEST09)."""
WARM_UP_RATIO = 10.0
"""99th percentile over median of the first token's time, beyond which the first requests met an unready server."""
_CHOSEN = re.compile(
    r"best[ _-]?(of|run|case)|(max|min|fastest|top)[ _-]?of[ _-]?\d|cherry|pick|peak run|최고 기록|최댓값",
    re.IGNORECASE,
)
"""Words by which people say that a figure is the best of several runs."""


def unfinished(run: LabRun) -> Iterator[Remark]:
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
            ended = conduct.completed + (conduct.failed or 0)
            yield Remark("failed requests", FAULT, f"{ended:,} requests ended, but only {asked}")


def counted(run: LabRun) -> Iterator[Remark]:
    """What a file counts in several places is one number: requests of the protocol, and of lists beside it."""
    conduct = run.conduct
    for what, number in conduct.also_counted:
        if conduct.completed is not None and number != conduct.completed:
            told = f"{what}: {number:,} requests, but {conduct.completed:,} were completed"
            yield Remark("failed requests", FAULT, f"{told}: some were taken out")
    if conduct.protocol_requests is not None and conduct.requests not in (None, conduct.protocol_requests):
        told = f"{conduct.requests:,} requests were counted, the protocol sends {conduct.protocol_requests:,}"
        yield Remark("failed requests", DOUBT, told)


def duration(run: LabRun) -> Iterator[Remark]:
    seconds = run.conduct.duration_s
    if seconds is not None and seconds < SHORTEST_S:
        yield Remark("short run", DOUBT, f"the run lasted {seconds:.3g} s, less than {SHORTEST_S:g} s")


def answers_within(run: LabRun) -> Iterator[Remark]:
    """No request lasts longer than the run, and a run that serves users in turn lasts a request of each at least."""
    seconds, longest = run.conduct.duration_s, _longest(run)
    if seconds and longest is not None and longest > 1e3 * seconds * (1.0 + _CLOCKS):
        told = f"a request took {longest / 1e3:,.4g} s, but the run lasted {seconds:,.4g} s"
        yield Remark("duration", FAULT, told)


_CLOCKS = 0.02
"""Part by which tools differ over when a run starts and ends."""


def _longest(run: LabRun) -> float | None:
    known = [figure.low for name, figure in (*run.figures.items(), *run.aside.items()) if name.startswith("e2e_ms")]
    return max(known, default=None)


def warm_up(run: LabRun) -> Iterator[Remark]:
    median, last = run.figures.get("ttft_ms_p50"), run.figures.get("ttft_ms_p99")
    alone = run.setting.users is not None and run.setting.users <= 1
    if alone and median is not None and last is not None and last.low > WARM_UP_RATIO * median.high:
        ratio = last.value / max(median.value, 1e-9)
        message = f"with one user the 99th percentile of TTFT is {ratio:.3g} times its median: a cold first request"
        yield Remark("warm-up", DOUBT, f"{message}; warm the server up and measure again")


def delivered(run: LabRun) -> Iterator[Remark]:
    """Tokens that came and went against those that were asked for."""
    conduct, osl = run.conduct, run.setting.osl
    for asked, total, noun in (
        (conduct.expected_osl, conduct.output_tokens, "output"),
        (conduct.expected_isl, conduct.input_tokens, "input"),
    ):
        if asked and total and conduct.completed:
            mean = total / conduct.completed
            if abs(mean / asked - 1.0) > OUTPUT_MARGIN:
                told = f"{mean:,.1f} {noun} tokens a request, {asked:,.0f} asked for"
                yield Remark(f"{noun} length", DOUBT, f"{told}: more than {OUTPUT_MARGIN:.0%} apart (end of sequence?)")
    if not conduct.expected_osl and osl is not None and abs(osl - round(osl)) > 0.01 and not conduct.lengths_fixed:
        message = f"mean output of {osl:,.1f} tokens: outputs end where the model ends them; use --ignore-eos"
        yield Remark("output length", NOTE, message)


def best_of_several(run: LabRun) -> Iterator[Remark]:
    """Figures that their own words call the best of several."""
    for text in run.conduct.labels:
        if _CHOSEN.search(text):
            yield Remark("best of several", DOUBT, f"'{text[:_LONGEST]}': hand in every run, not the best one")


_LONGEST = 60


def as_told(run: LabRun) -> Iterator[Remark]:
    """What the files themselves say of the run."""
    if run.conduct.copied:
        message = "all figures equal the predicted ones of the same file to the printed digits: no measurement does"
        yield Remark("copied predictions", FAULT, message)
    yield from (Remark("contradicts itself", FAULT, text) for text in run.conduct.contradictions)
    yield from (Remark("as the file says", DOUBT, text) for text in run.conduct.remarks)
    yield from (Remark("as the file says", NOTE, text) for text in run.conduct.notes)
    if run.conduct.warm_up is not None:
        yield Remark("warm-up", NOTE, run.conduct.warm_up)


RULES = (unfinished, counted, duration, answers_within, warm_up, delivered, best_of_several, as_told)
