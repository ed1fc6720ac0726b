"""Watts of a run: whose they are, what they come to, and whether a log of them is one of a sensor at work."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.power_cap import MEAN
from npusim.bounds.reading import Reading
from npusim.hardware.catalog import load_system
from npusim.lab.files.lab_run import LabRun
from npusim.lab.files.naming import shipped_arch
from npusim.lab.files.power_log import PowerLog
from npusim.lab.rules.agreement import CLOCKS, apart
from npusim.lab.rules.remark import DOUBT, FAULT, NOTE, Remark

LOG = "power log"
_FEWEST = 10
"""Samples from which on a log says something of its sensor."""
_OF_RUN = (0.8, 1.5)
"""Parts of a run's seconds that its log covers at least and at most, and seconds of idling around it."""
_AROUND_S = 120.0
_GAP, _GAP_S = 10.0, 10.0
"""Times the usual step of a log, and seconds, from which on it has a gap."""
_BLOCK, _DIFFERENT = 20, 8
"""Samples in a row with so many different values that stand twice in no log."""
_COUNTERS = 0.1
"""Relative difference between watts over the middle of a run and its energy over its seconds."""


def scope(run: LabRun) -> Iterator[Remark]:
    """Only watts of the cards are compared."""
    if any(name.startswith("power_w") for name in run.figures) and run.conduct.power_scope != "cards":
        told = run.conduct.power_scope or "not told"
        yield Remark("power scope", DOUBT, f"scope of the watts: {told}; only watts of the cards are compared")


def above_tdp(run: LabRun) -> Iterator[Remark]:
    told, device, cards = run.figures.get(MEAN), run.setting.device, run.setting.cards
    arch = None if device is None else shipped_arch(device)
    if told is None or arch is None or cards is None:
        return
    limit = ceiling_of(arch, False).tdp_w * cards * load_system(arch, uncalibrated=True).chips_per_card
    if told.low > limit:
        yield Remark("above TDP", NOTE, f"{told.value:,.1f} W is above the {limit:,.0f} W of the data sheet")


def middle_and_ends(run: LabRun) -> Iterator[Remark]:
    """Mean watts lie between the least and the greatest sample, and no percentile of them is above a higher one."""
    steps = {
        name: run.figures.get(f"power_w_{name}") or run.aside.get(f"power_w_{name}")
        for name in ("min", "p50", "p95", "p99", "max")
    }
    known = [(name, figure) for name, figure in steps.items() if figure is not None]
    for (below, lower), (above, upper) in itertools.pairwise(known):
        if lower.low > upper.high:
            told = f"power {below} = {lower.value:,.4g} W is above {above} = {upper.value:,.4g} W"
            yield Remark("percentiles rise", FAULT, told)
    mean = run.figures.get(MEAN)
    least, most = steps["min"], known[-1][1] if known else None
    if mean is not None and most is not None and known[-1][0] != "min" and mean.low > most.high:
        told = f"mean power {mean.value:,.4g} W is above {known[-1][0]} = {most.value:,.4g} W"
        yield Remark("mean within percentiles", FAULT, told)
    if mean is not None and least is not None and mean.high < least.low:
        told = f"mean power {mean.value:,.4g} W is below the least sample, {least.value:,.4g} W"
        yield Remark("mean within percentiles", FAULT, told)


def energy(run: LabRun) -> Iterator[Remark]:
    """Joules are watts times seconds."""
    joules, watts, seconds = run.aside.get("energy_j"), run.figures.get(MEAN), run.conduct.duration_s
    if joules is None or watts is None or not seconds:
        return
    expected = watts.times(seconds)
    if apart(expected, joules, _COUNTERS):
        told = f"{watts.value:,.4g} W over {seconds:,.4g} s are {expected.value:,.4g} J, not {joules.value:,.4g}"
        yield Remark("energy", FAULT, told)


def furiosa_mean(run: LabRun) -> Iterator[Remark]:
    """Which mean of its log furiosa-perf gives."""
    conduct, told, active = run.conduct, run.figures.get(MEAN), run.figures.get("power_w_active")
    if run.tool != "furiosa-perf" or told is None:
        return
    if active is None or conduct.power_samples is None:
        message = "mean_power counts samples without a card at work as 0 W and leaves idle cards out; no log is here"
        yield Remark("furiosa-perf mean power", NOTE, message)
        return
    everything = run.figures["power_w_samples"]
    share = f"{conduct.idle_samples:,} of {conduct.power_samples:,} samples hold no card at work"
    means = f"{active.value:,.1f} W while at work, {everything.value:,.1f} W over all samples"
    yield Remark("furiosa-perf mean power", DOUBT if conduct.idle_samples else NOTE, f"{share}: {means}")
    if apart(everything, told, CLOCKS) and apart(active, told, CLOCKS):
        yield Remark("furiosa-perf mean power", FAULT, f"mean_power {told.value:,.1f} W is neither: {means}")
    greatest = Reading.exact(float(conduct.log.watts.max())) if conduct.log is not None else None
    last = run.figures.get("power_w_p99")
    if greatest is not None and last is not None and last.low > greatest.high * (1.0 + CLOCKS):
        told_last = f"p99_power {last.value:,.1f} W is above every sample of the log ({greatest.value:,.1f} W)"
        yield Remark("furiosa-perf mean power", FAULT, told_last)


def log(run: LabRun) -> Iterator[Remark]:
    """Whether the log is one of sensors at work, and of this run."""
    found = run.conduct.log
    if found is None or len(found.watts) < _FEWEST:
        return
    yield from _sensors(found)
    yield from _times(found)
    seconds, span = run.conduct.duration_s, found.span_s
    if seconds and span is not None:
        least, most = _OF_RUN[0] * seconds, _OF_RUN[1] * seconds + _AROUND_S
        if not least <= span <= most:
            yield Remark(LOG, DOUBT, f"it covers {span:,.4g} s of a run of {seconds:,.4g} s")


def _sensors(found: PowerLog) -> Iterator[Remark]:
    working = found.at_work
    if len(working) >= _FEWEST and len(np.unique(working)) == 1:
        yield Remark(LOG, FAULT, f"all {len(working):,} samples are {working[0]:,.4g} W: a sensor at work moves")
    elif _repeats(found.watts):
        yield Remark(LOG, DOUBT, f"{_BLOCK} samples in a row stand twice in it, to the digit")
    if found.cards is None:
        return
    for one in range(found.cards.shape[1]):
        for other in range(one):
            alike = found.cards[:, one] == found.cards[:, other]
            if alike.all() and len(np.unique(found.cards[:, one])) > 1:
                yield Remark(LOG, FAULT, f"cards {other} and {one} have the same watts in every sample")


def _repeats(watts: np.ndarray) -> bool:
    """Whether a block of samples stands twice; a short pattern over and over is a resting card's."""
    seen: dict[bytes, int] = {}
    for start in range(len(watts) - _BLOCK + 1):
        block = watts[start : start + _BLOCK]
        if len(np.unique(block)) >= _DIFFERENT and start - seen.setdefault(block.tobytes(), start) >= _BLOCK:
            return True
    return False


def _times(found: PowerLog) -> Iterator[Remark]:
    if len(found.seconds) < _FEWEST or np.isnan(found.seconds).any():
        return
    steps = np.diff(found.seconds)
    if (steps < 0.0).any():
        yield Remark(LOG, FAULT, f"its time goes back after sample {int(np.argmax(steps < 0.0)) + 1:,}")
        return
    usual, longest = float(np.median(steps)), float(steps.max())
    if longest > max(_GAP * usual, _GAP_S):
        yield Remark(LOG, DOUBT, f"it has a gap of {longest:,.4g} s, where a sample came every {usual:,.3g} s")


RULES = (scope, above_tdp, middle_and_ends, energy, furiosa_mean, log)
