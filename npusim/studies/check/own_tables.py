"""Rows of npusim's own kinds of measured tables: their cases, bounds and predictions, as `validate` makes them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from npusim.hardware.catalog import load_system
from npusim.metrics import resolve
from npusim.studies.bounds.arithmetic import arithmetic
from npusim.studies.bounds.bandwidth import bandwidth
from npusim.studies.bounds.capacity import capacity
from npusim.studies.bounds.ceiling import ceiling_of
from npusim.studies.bounds.finding import Finding
from npusim.studies.bounds.load import load_of
from npusim.studies.bounds.power_cap import MEAN, power_cap
from npusim.studies.bounds.reading import Reading
from npusim.studies.bounds.timed import least_times, step_rows
from npusim.studies.check.judge import Predicted, judge
from npusim.studies.check.row import CheckedFigure, CheckedRow
from npusim.studies.check.spread import Z_OF_RANGES, Z, half_width
from npusim.studies.lab_files.lab_run import Conduct, Setting
from npusim.studies.measured.case import Case, Subject
from npusim.studies.measured.importer import import_table
from npusim.studies.measured.loop_subject import LoopSubject
from npusim.studies.measured.operator_rows import op_row
from npusim.studies.measured.operator_subject import OperatorSubject
from npusim.studies.measured.placement import Placement, deployment_of
from npusim.studies.measured.run_subject import RunSubject
from npusim.studies.measured.sources import sources
from npusim.studies.measured.step_subject import StepSubject
from npusim.studies.prediction_ranges import PredictionRange, ranges
from npusim.studies.validate import described, predict

TOOL = "measured table"
_SECONDS = {"us": 1e-6, "ms": 1e-3}


def checked_rows(path: Path, arch: str | None, seed: int) -> list[CheckedRow]:
    """Every row of a measured table. Raises UserError."""
    imported = import_table(path, arch)
    predictions, refused = predict(imported.cases, seed, described)
    drawn = [item for item in predictions if not isinstance(item.case.subject, RunSubject)]
    known = ranges([(item.case, item.predicted) for item in drawn], seed)
    predicted = {
        id(item.case): Predicted(item.predicted, _of_range(item.case, item.predicted, part))
        for item, part in zip(drawn, known, strict=True)
        if part is not None
    }
    for item in predictions:
        subject = item.case.subject
        if isinstance(subject, RunSubject):
            predicted[id(item.case)] = Predicted(item.predicted, half_width(subject, _plain(item.case.figure), seed))
    why = defaultdict(str, {skip.row: skip.reason for skip in (*imported.skips, *refused)})
    figures: dict[int, list[CheckedFigure]] = defaultdict(list)
    subjects: dict[int, Case] = {}
    for case in imported.cases:
        subjects.setdefault(case.row, case)
        figures[case.row].append(_figure(case, predicted.get(id(case)), why[case.row]))
    return [
        CheckedRow(
            f"{path}#{row}",
            f"{TOOL} ({imported.table.kind})",
            _setting(subjects.get(row)),
            Conduct(power_scope="cards"),
            tuple(figures[row]),
            () if figures[row] else (CheckedFigure("", Reading.exact(0.0), "unchecked", why[row]),),
            (),
        )
        for row in range(len(imported.table.frame))
    ]


def _plain(figure: str) -> str:
    return figure.removeprefix("steady_")


def _of_range(case: Case, value: float, part: PredictionRange) -> float:
    """The 99 % half-width of the logarithm from a 90 % interval and the measurement's own spread."""
    farther = max(math.log(part.high / value), math.log(value / part.low) if part.low > 0.0 else 0.0)
    return math.hypot(Z / Z_OF_RANGES * farther, Z * case.sigma)


def _figure(case: Case, predicted: Predicted | None, why_not: str) -> CheckedFigure:
    measured = Reading.exact(case.measured)
    return judge(case.metric, measured, _findings(case, measured), predicted, why_not, True)


def _findings(case: Case, measured: Reading) -> Iterator[Finding]:
    """The bounds that know the case's kind of subject."""
    subject, figure = case.subject, _plain(case.figure)
    if isinstance(subject, RunSubject):
        yield from _of_run(subject, figure, measured)
    elif figure in _SECONDS:
        yield from _of_time(subject, measured.times(_SECONDS[figure]))
    elif resolve(figure) == MEAN and isinstance(subject, StepSubject):
        yield from _of_watts(subject.placement, measured)


def _of_watts(placement: Placement, measured: Reading) -> Iterator[Finding]:
    ceilings = ceiling_of(placement.arch, True), ceiling_of(placement.arch, False)
    yield from power_cap(ceilings, _chips(placement), measured, Z * sources().spreads.board_power.value)


def _of_run(subject: RunSubject, figure: str, measured: Reading) -> Iterator[Finding]:
    placement = subject.placement
    deployment = deployment_of(placement)
    schemes = deployment.precision, deployment.precision
    load = load_of(placement.arch, deployment.model, schemes, _chips(placement), subject.isl, subject.osl)
    alike = subject.alike or subject.traced
    load = replace(load, users=subject.users, requests=subject.requests, prompts_differ=not alike)
    if figure == MEAN:
        yield from _of_watts(placement, measured)
        return
    for found in (*capacity(load), *bandwidth(load, {figure: measured}), *arithmetic(load, {figure: measured})):
        if found.metric == figure or found.low > 1.0:
            yield found


def _of_time(subject: Subject, measured_s: Reading) -> Iterator[Finding]:
    ceilings = ceiling_of(subject.arch, True), ceiling_of(subject.arch, False)
    if isinstance(subject, StepSubject):
        deployment = deployment_of(subject.placement)
        rows = step_rows(deployment.model, deployment.precision, subject.step())
        yield from least_times(rows, ceilings, _chips(subject.placement), measured_s)
    elif isinstance(subject, OperatorSubject | LoopSubject):
        operators = subject.operators if isinstance(subject, LoopSubject) else (subject,)
        rows = np.concatenate([op_row(operator.fields) for operator in operators])
        yield from least_times(rows, ceilings, 1, measured_s)


def _chips(placement: Placement) -> int:
    return placement.cards * load_system(placement.arch, uncalibrated=True).chips_per_card


def _setting(case: Case | None) -> Setting:
    """What the subject says of the run."""
    if case is None:
        return Setting()
    subject = case.subject
    placement = getattr(subject, "placement", None)
    if placement is None:
        return Setting(device=subject.arch)
    told = Setting(
        model=placement.model,
        precision=placement.precision,
        device=placement.arch,
        cards=placement.cards,
        runtime=placement.runtime,
    )
    if isinstance(subject, RunSubject):
        return replace(told, isl=subject.isl, osl=subject.osl, users=subject.users)
    return told
