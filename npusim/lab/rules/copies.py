"""Runs that were copied from each other, and twins of one run in two files that disagree."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from npusim.bounds.reading import Reading
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.rules.agreement import EXACT, apart
from npusim.lab.rules.remark import DOUBT, FAULT, NOTE, Remark
from npusim.metric_names import metric

NAME = "copied rows"
_FIGURES, _DIGITS = 3, 8
"""Figures, and digits beyond the first of each, that are never the same by chance."""
_SCALED, _CLOSE = 6, 1e-3
"""Latencies whose ratios in two runs are the same to that part by no chance."""

CopiedRuns = Iterator[tuple[int, Remark]]
"""Remarks by the place of their run."""


def copies(runs: Sequence[LabRun]) -> CopiedRuns:
    """Runs with the figures of another one."""
    for one, other in alike_runs(runs):
        first, second = runs[one], runs[other]
        differ = [name for name in RunConditions.names() if _told_apart(first, second, name)]
        if differ:
            name = differ[0]
            values = f"{getattr(first.setting, name)} and {getattr(second.setting, name)}"
            for own, its in ((one, other), (other, one)):
                told = f"has the figures of {runs[its].location} to the digit, at another {name} ({values})"
                yield own, Remark(NAME, FAULT, told)
        elif first.tool == second.tool and not _other_form(first, second):
            summed = Path(file_of_run(first)).parent == Path(file_of_run(second)).parent and file_of_run(
                first
            ) != file_of_run(second)
            severity = NOTE if summed and "summary" in Path(file_of_run(second)).name else DOUBT
            yield other, Remark(NAME, severity, f"is the run of {first.location} once more")


def _other_form(one: LabRun, other: LabRun) -> bool:
    """Whether two files are one export in two forms (profile_export_aiperf.csv and .json)."""
    files = Path(file_of_run(one)), Path(file_of_run(other))
    return files[0] != files[1] and files[0].with_suffix("") == files[1].with_suffix("")


def _told_apart(one: LabRun, other: LabRun, name: str) -> bool:
    values = getattr(one.setting, name), getattr(other.setting, name)
    return None not in values and values[0] != values[1]


def alike_runs(runs: Sequence[LabRun]) -> Iterator[tuple[int, int]]:
    """Pairs of places of runs that share more figures, to more digits, than chance explains."""
    holders: dict[tuple[str, float], list[int]] = defaultdict(list)
    shared: dict[tuple[int, int], float] = defaultdict(float)
    counted: dict[tuple[int, int], int] = defaultdict(int)
    for place, run in enumerate(runs):
        for name, figure in run.figures.items():
            key = name, figure.value
            for other in holders[key][-_MOST_HOLDERS:]:
                shared[other, place] += max(0.0, _digits(figure) - 1.0)
                counted[other, place] += 1
            holders[key].append(place)
    for pair, digits in shared.items():
        most = min(len(runs[place].figures) for place in pair)
        if counted[pair] >= _FIGURES and digits >= _DIGITS and counted[pair] > _PART * most:
            yield pair


_MOST_HOLDERS = 4
"""Earlier runs with one figure that a run is compared with."""
_PART = 0.5
"""Part of the figures that a copy shares at least."""


def _digits(figure: Reading) -> float:
    """Digits of a printed figure."""
    step = figure.high - figure.low
    if step <= 0.0 or figure.value <= 0.0:
        return 1.0
    return max(1.0, math.log10(figure.value / step) + 1.0)


def scaled(runs: Sequence[LabRun]) -> CopiedRuns:
    """Runs whose latencies are all those of another one times one factor."""
    latencies = [_latencies(run) for run in runs]
    names = sorted({name for each in latencies for name in each})
    if len(runs) > _MOST_RUNS or len(names) < _SCALED:
        return
    logs = np.array([[math.log(each[name]) if name in each else math.nan for name in names] for each in latencies])
    for other in range(1, len(runs)):
        ratios = logs[other] - logs[:other]
        held = ~np.isnan(ratios)
        most, least = (
            fill(ratios, axis=1, where=held, initial=end) for fill, end in ((np.max, -np.inf), (np.min, np.inf))
        )
        fits = (held.sum(axis=1) >= _SCALED) & (most - least < _CLOSE) & (np.abs(most) > _CLOSE)
        for one in np.flatnonzero(fits)[:1].tolist():
            told = f"all {held[one].sum()} latencies are those of {runs[one].location} times {math.exp(most[one]):.4g}"
            yield other, Remark(NAME, FAULT, told)


_MOST_RUNS = 3000
"""Runs among which factors are looked for; of more, every one is compared with too many."""


def _latencies(run: LabRun) -> Mapping[str, float]:
    """Latencies of a run that are printed to three digits or more."""
    found = {}
    for name, figure in run.figures.items():
        row = metric(name)
        if row is not None and row.unit == "ms" and row.statistic and figure.high - figure.low < _CLOSE * figure.value:
            found[name] = figure.value
    return found


def twins(runs: Sequence[LabRun]) -> CopiedRuns:
    """One run in two files of its tool, with two figures."""
    known: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        for key in twin_keys(run):
            known[key].append(place)
    for places in known.values():
        for one, other in combinations(places, 2):
            if runs[one].tool == runs[other].tool and file_of_run(runs[one]) == file_of_run(runs[other]):
                continue
            agree = [name for name in runs[one].figures if _differ(runs[one], runs[other], name)]
            if agree:
                name = agree[0]
                values = f"{runs[one].figures[name].value:,.6g} and {runs[other].figures[name].value:,.6g}"
                told = f"{name} is {values} in {Path(runs[one].location).name} and {Path(runs[other].location).name}"
                for place in (one, other):
                    yield place, Remark("two files of one run", FAULT, told)


def twin_keys(run: LabRun) -> Iterator[tuple[str, ...]]:
    """What two files of one run have in common: the point of furiosa-perf's tree, the stem of AIPerf's exports."""
    path, setting = Path(file_of_run(run)), run.setting
    if run.tool == "AIPerf":
        yield str(path.parent), path.stem
    elif run.tool == "furiosa-perf" and path.name != "summary.csv":
        yield str(path.parent), f"{setting.isl:g}.{setting.osl:g}.{setting.users:g}"
    elif path.parent.name.count(".") == _POINT:
        yield str(path.parent.parent), path.parent.name


_POINT = 2
"""Points in the name of a folder of furiosa-perf's tree: input and output tokens, users."""


def _differ(one: LabRun, other: LabRun, name: str) -> bool:
    mine, its = one.figures[name], other.figures.get(name)
    return its is not None and apart(mine, its, EXACT)


def twin_pairs(runs: Sequence[LabRun]) -> Iterator[tuple[int, int]]:
    """Pairs of places of runs that two tools tell of under one name, with the same figures."""
    known: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        for key in twin_keys(run):
            known[key].append(place)
    for places in known.values():
        for one, other in combinations(places, 2):
            mine, its = runs[one], runs[other]
            if file_of_run(mine) != file_of_run(its) and not any(_differ(mine, its, name) for name in mine.figures):
                yield one, other


def file_of_run(run: LabRun) -> str:
    """The file of a run, without line or number."""
    return _PLACE.sub("", run.location)


_PLACE = re.compile(r"(:[^/:]*!\d+|:\d+|#\d+)$")
"""Line, number, or sheet and row, at the end of a location."""
