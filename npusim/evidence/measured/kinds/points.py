"""Published points of any chip, one figure a row: chip, cards, model, lengths, users, metric, value, unit, source.

A point tells of its run what its columns and its remark say; the rest is as the chip's usual runtime has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Predictor, Skip
from npusim.evidence.measured.collect import chip_of_row
from npusim.evidence.measured.kind import TableKind
from npusim.evidence.measured.placement import Placement, measured_deployment, model_name, placed, scheme
from npusim.evidence.measured.point_notes import PointNote, read_note
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.predictors.static_batch import BATCH_MS, StaticBatchPredictor
from npusim.evidence.predictors.step import StepPredictor
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import deploy
from npusim.metric_names import figure_of
from npusim.metric_names import metric as metric_of
from npusim.metric_row import Metric
from npusim.metrics import PUBLISHED, UNIT_NAMES
from npusim.units import MS_PER_S, US_PER_S

_US_PER_MS = US_PER_S / MS_PER_S
_CHUNK = "prefill_chunk_"
_DECODE = "decode_step"
_BATCH_TIME = "batch_e2e_mean"
_AS_CALLED = {"power_mean": "power_w", _BATCH_TIME: "e2e_mean"}
"""Figures that these tables call otherwise than other published ones."""
_IDLE = "power_idle"
_UNTOLD = ("", "-")
_RUN_COLUMNS = ("chip", "cards", "model", "precision", "isl", "osl", "concurrency")
_WHOLE_GROUP = ("chip", "precision", "source")
"""Points that agree in these were served by one set-up."""
_NARROW_KV = {"fp8": "fp8", "int8": "int8"}


@dataclass(frozen=True)
class _Point:
    """A row with what its remark tells, where it ran and its measured value in the unit of the predicted figure."""

    row: Row
    note: PointNote
    placement: Placement
    users: float

    @property
    def metric(self) -> str:
        return self.row.text("metric")


def _table_cases(table: MeasuredTable, arch: str | None) -> list[Case | Skip]:
    """A case for every point; a skip with its reason for one that cannot be predicted.

    arch: for the rows of the chip that the table names most often; None: each row's own chip.
    """
    found: list[Case | Skip] = []
    points: dict[tuple[str, ...], list[_Point]] = defaultdict(list)
    for row in table.rows():
        try:
            points[tuple(row.text(column) for column in _WHOLE_GROUP)].append(_point(row, table.chip, arch))
        except Unrepresentable as reason:
            found.append(Skip(row.index, str(reason)))
    for alike in points.values():
        narrow = any(_needs_narrow_kv(point) for point in alike)
        found += [_case_or_skip(point, narrow) for point in alike]
    return sorted(found, key=lambda item: item.row)


def _point(row: Row, chip: str, arch: str | None) -> _Point:
    if row.text("model") in _UNTOLD:
        idle = "idle power is a number of the description, not a prediction"
        raise Unrepresentable(idle if row.text("metric") == _IDLE else "no model ran")
    note, users = read_note(row.text("note")), row.number("concurrency")
    where, model = chip_of_row(row, chip, arch), model_name(row.text("model"))
    placement = placed(
        Placement(
            where,
            load_system(where, uncalibrated=True).runtime,
            model,
            _precision(row, where, model),
            row.count("cards"),
            sequences=round(users) if note.together else note.in_service,
        )
    )
    return _Point(row, note, placement, users)


def _precision(row: Row, arch: str, model: str) -> str:
    """The scheme that the row tells; that of the model's checkpoint where it tells none."""
    told = row.text("precision")
    if told not in _UNTOLD:
        return scheme(told)
    try:
        return deploy(arch, model, cards=row.count("cards"), uncalibrated=True).precision.name
    except UserError as error:
        raise Unrepresentable(str(error)) from error


def _tokens(point: _Point) -> tuple[int, int]:
    """Tokens of a prompt and of an answer; of a static batch the answer that ends last."""
    isl, osl = (point.row.number(column) for column in ("isl", "osl"))
    if min(isl, osl) < 1.0:
        raise Unrepresentable(f"{min(isl, osl):g} tokens are no prompt or answer")
    return round(isl), round(point.note.longest or osl)


def _needs_narrow_kv(point: _Point) -> bool:
    """Whether a batch that was served at once has no room with keys and values in 16 bits and has with 8."""
    if point.placement.precision not in _NARROW_KV or not point.note.together:
        return False
    try:
        return _room(point.placement) < point.users * sum(_tokens(point))
    except Unrepresentable:
        return False


def _room(placement: Placement) -> float:
    """Tokens of the KV cache."""
    deployment = measured_deployment(placement)
    return deployment.fitting.footprint(deployment.plan).kv_tokens


def _case_or_skip(point: _Point, narrow: bool) -> Case | Skip:
    try:
        return _case(point, narrow)
    except Unrepresentable as reason:
        return Skip(point.row.index, str(reason))


def _case(point: _Point, narrow: bool) -> Case:
    row = point.row
    value = row.measured("value")
    if value is None:
        raise Unrepresentable("value is not given")
    make = next((maker for name, maker in _STEPS.items() if point.metric.startswith(name)), _run)
    predictor, figure, worth = make(point, narrow)
    lab, model = sources().other_lab, point.placement.model
    return Case(
        row=row.index,
        metric=point.metric,
        figure=figure,
        measured=value * worth,
        predictor=predictor,
        run=" ".join(
            row.text(column) for column in ("chip", "cards", "model", "precision", "isl", "osl", "concurrency")
        ),
        group=f"{row.text('chip')} {model} x{row.text('cards')}",
        model=model,
        dimensions={
            "chip": predictor.arch,
            "model": model,
            "precision": row.text("precision"),
            "cards": row.text("cards"),
            "concurrency": f"{point.users:g}",
            "grade": row.text("grade"),
        },
        sigma=(lab.power if figure == "power_w" else lab.figure).value,
        main=True,
    )


_Made = tuple[Predictor, str, float]
"""What predicts, the figure of it, and what the table's unit is worth in that figure's."""


def _decode_step(point: _Point, narrow: bool) -> _Made:
    """A whole step; the column isl holds the context of each sequence."""
    _require_unit(point.row, "ms")
    context = point.row.count("isl")
    return StepPredictor(point.placement, point.row.count("concurrency"), context, (), capped=True), "us", _US_PER_MS


def _prefill_chunk(point: _Point, narrow: bool) -> _Made:
    """A chunk of a prompt of which `cached` tokens were computed before."""
    _require_unit(point.row, "ms")
    chunk = point.row.count("isl")
    if point.metric != f"{_CHUNK}{chunk}":
        raise Unrepresentable(f"isl {chunk} is not the chunk of {point.metric}")
    context = chunk + (point.note.cached or 0)
    return StepPredictor(point.placement, 0, 0, ((chunk, context),), capped=True), "us", _US_PER_MS


_STEPS: dict[str, Callable[[_Point, bool], _Made]] = {_DECODE: _decode_step, _CHUNK: _prefill_chunk}


def _require_unit(row: Row, unit: str) -> None:
    if row.text("unit") != unit:
        raise UserError(row.location, "unit", f"'{row.text('unit')}' is no unit of {row.text('metric')}; use {unit}")


def _run(point: _Point, narrow: bool) -> _Made:
    """A serving run, or a static batch whose answers end one after the other."""
    known, worth = _figure(point)
    isl, osl = _tokens(point)
    if point.note.rate_per_s is None and point.users < 1.0:
        raise Unrepresentable(f"concurrency {point.users:g} is below one, and no rate of arrivals is told")
    kv = _NARROW_KV[point.placement.precision] if narrow else None
    placement = placed(replace(point.placement, kv_precision=kv))
    if _room(placement) < isl + osl:
        raise Unrepresentable(f"a request of {isl + osl:,} tokens has no room")
    if point.note.longest is not None:
        batch = StaticBatchPredictor(placement, isl, point.row.number("osl"), osl, round(point.users))
        return batch, BATCH_MS if point.metric == _BATCH_TIME else known.name, worth
    requests = point.note.requests or (round(point.users) if point.note.together else None)
    rate, users = point.note.rate_per_s, max(1.0, point.users)
    return RunPredictor(placement, isl, osl, users, requests, rate_per_s=rate), known.name, worth


def _figure(point: _Point) -> tuple[Metric, float]:
    """The figure that the metric names, and what the row's unit is worth in its own."""
    row = point.row
    named = figure_of(PUBLISHED, _AS_CALLED.get(point.metric, point.metric))
    known = None if named is None else metric_of(named[0])
    if known is None or (point.metric == _BATCH_TIME and point.note.longest is None):
        raise Unrepresentable(f"the metric {point.metric or '(blank)'} is not predicted")
    units = UNIT_NAMES[known.unit]
    if row.text("unit") not in (known.unit, *units):
        raise UserError(
            row.location, "unit", f"'{row.text('unit')}' is no unit of {point.metric}; use {' or '.join(units)}"
        )
    return known, units.get(row.text("unit"), 1.0)


KIND = TableKind(
    name="points",
    columns="chip cards model precision isl osl concurrency metric value unit",
    main="value",
    telling=("chip", "model", "concurrency"),
    cases=_table_cases,
    runs=True,
    draws=15,
)
