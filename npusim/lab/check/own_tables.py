"""Rows of npusim's own kinds of measured tables: their cases, bounds and predictions, as `validate` makes them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from npusim.bounds.arithmetic import arithmetic
from npusim.bounds.bandwidth import bandwidth
from npusim.bounds.capacity import capacity
from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.finding import Finding
from npusim.bounds.load import load_of
from npusim.bounds.power_cap import MEAN
from npusim.bounds.reading import Reading
from npusim.bounds.timed import least_times, step_rows
from npusim.conditions.conditions import Conditions
from npusim.evidence.measured.case import Case, Predictor
from npusim.evidence.measured.importer import import_table
from npusim.evidence.measured.operator_rows import op_row
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.loop import LoopPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.step import StepPredictor
from npusim.evidence.validation.prediction_ranges import PredictionRange, ranges
from npusim.evidence.validation.validate import described, predict_cases
from npusim.hardware.catalog import load_system
from npusim.lab.check.judge import Predicted, is_tail, judge, watts_findings
from npusim.lab.check.row import CheckedFigure, CheckedRow
from npusim.lab.check.spread import Z_OF_RANGES, Z, run_half_widths
from npusim.lab.files.lab_run import Conduct, RunConditions
from npusim.lab.files.table_runs import TOOL, table_runs
from npusim.lab.rules.lint import remarks_on
from npusim.lab.rules.remark import NOTE, Remark
from npusim.lab.rules.together import remarks_together
from npusim.metric_names import resolve

_SECONDS = {"us": 1e-6, "ms": 1e-3}


def checked_rows(path: Path, arch: str | None, seed: int) -> list[CheckedRow]:
    """Every row of a measured table. Raises UserError."""
    imported = import_table(path, arch)
    predictions, refused = predict_cases(imported.cases, seed, described)
    drawn = [item for item in predictions if not isinstance(item.case.predictor, RunPredictor)]
    known = ranges([(item.case, item.predicted) for item in drawn], seed)
    predicted = {
        id(item.case): Predicted(item.predicted, _of_range(item.case, item.predicted, part))
        for item, part in zip(drawn, known, strict=True)
        if part is not None
    }
    for item in predictions:
        predictor = item.case.predictor
        figure = _plain(item.case.figure)
        if isinstance(predictor, RunPredictor) and not is_tail(figure):
            predicted[id(item.case)] = Predicted(item.predicted, run_half_widths(predictor, (figure,), seed)[figure])
    why = defaultdict(str, {skip.row: skip.reason for skip in (*imported.skips, *refused)})
    figures: dict[int, list[CheckedFigure]] = defaultdict(list)
    predictors: dict[int, Case] = {}
    for case in imported.cases:
        predictors.setdefault(case.row, case)
        figures[case.row].append(_figure(case, predicted.get(id(case)), why[case.row]))
    remarks: dict[int, list[Remark]] = defaultdict(list)
    runs = list(table_runs(path, imported.table.frame)) if imported.kind.runs else []
    others = remarks_together([run for _, run in runs])
    for place, (indices, run) in enumerate(runs):
        for row in indices:
            remarks[row] += [remark for remark in (*remarks_on(run), *others[place]) if remark.severity != NOTE]
    return [
        CheckedRow(
            f"{path}#{row}",
            f"{TOOL} ({imported.table.kind})",
            _setting(predictors.get(row)),
            Conduct(power_scope="cards"),
            tuple(figures[row]),
            () if figures[row] else (CheckedFigure("", Reading.exact(0.0), "unchecked", why[row]),),
            tuple(remarks[row]),
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
    return judge(case.metric, measured, _findings(case, measured), predicted, why_not)


def _findings(case: Case, measured: Reading) -> Iterator[Finding]:
    """The bounds that know the case's kind of predictor."""
    predictor, figure = case.predictor, _plain(case.figure)
    if isinstance(predictor, RunPredictor):
        yield from _of_run(predictor, figure, measured)
    elif figure in _SECONDS:
        yield from _of_time(predictor, measured.times(_SECONDS[figure]))
    elif resolve(figure) == MEAN and isinstance(predictor, StepPredictor):
        yield from watts_findings(predictor.arch, _chips(predictor.placement), measured)


def _of_run(predictor: RunPredictor, figure: str, measured: Reading) -> Iterator[Finding]:
    placement = predictor.placement
    deployment = measured_deployment(placement)
    schemes = deployment.precision, deployment.precision
    chips = _chips(placement) * predictor.servers
    load = load_of(placement.arch, deployment.model, schemes, chips, predictor.isl, predictor.osl)
    identical = predictor.same_prompt or predictor.traced
    load = replace(
        load,
        users=predictor.in_flight,
        requests=predictor.requests if predictor.rate_per_s is None else None,
        prompts_differ=not identical,
        tokens_per_step=1.0 + deployment.drafted,
    )
    if figure == MEAN:
        yield from watts_findings(placement.arch, chips, measured)
        return
    for found in (*capacity(load), *bandwidth(load, {figure: measured}), *arithmetic(load, {figure: measured})):
        if found.metric == figure or found.low > 1.0:
            yield found


def _of_time(predictor: Predictor, measured_s: Reading) -> Iterator[Finding]:
    ceilings = ceiling_of(predictor.arch, True), ceiling_of(predictor.arch, False)
    if isinstance(predictor, StepPredictor):
        deployment = measured_deployment(predictor.placement)
        rows = step_rows(deployment.model, deployment.precision, predictor.step())
        yield from least_times(rows, ceilings, _chips(predictor.placement), measured_s)
    elif isinstance(predictor, OperatorPredictor | LoopPredictor):
        operators = predictor.operators if isinstance(predictor, LoopPredictor) else (predictor,)
        rows = np.concatenate([op_row(operator.fields) for operator in operators])
        yield from least_times(rows, ceilings, 1, measured_s)


def _chips(placement: Placement) -> int:
    return placement.cards * load_system(placement.arch, uncalibrated=True).chips_per_card


def _setting(case: Case | None) -> RunConditions:
    """What the predictor says of the run."""
    if case is None:
        return RunConditions()
    predictor = case.predictor
    placement = getattr(predictor, "placement", None)
    if placement is None:
        return RunConditions(device=predictor.arch)
    known = {each.name: getattr(placement, each.name, None) for each in fields(Conditions)}
    drafting = getattr(placement, "drafting", None)
    known |= {"speculation": None if drafting is None else drafting.asked}
    told = RunConditions(model=placement.model, device=placement.arch, **known)
    if isinstance(predictor, RunPredictor):
        cards = placement.cards * predictor.servers
        return replace(told, isl=predictor.isl, osl=predictor.osl, users=predictor.in_flight, cards=cards)
    return told
