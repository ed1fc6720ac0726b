"""Published serving runs, one figure a row: lab, SDK, chip, cards, model, lengths, users, metric, value, unit."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.collect import chip_of_row
from npusim.evidence.measured.contradictions import Rate, contradicted
from npusim.evidence.measured.kind import TableKind
from npusim.evidence.measured.placement import Placement, measured_deployment, model_name, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.evidence.predictors.run import TRACE, RunPredictor
from npusim.hardware.catalog import load_system, shipped_runtimes
from npusim.hardware.system import System
from npusim.mapping.deployment import Deployment
from npusim.metric_names import figure_of, resolve
from npusim.metric_names import metric as metric_of
from npusim.metric_row import Metric, Shown
from npusim.metrics import PUBLISHED, UNIT_NAMES
from npusim.workload.formats import kv_of_label, scheme_of_label
from npusim.workload.lengths import FIXED

_MAIN = "throughput_total"
_POWER = "power_w"
_TOKENS_PER_S = "tokens/s"
_RUN_COLUMNS = ("lab", "sdk", "chip", "cards", "model", "precision", "isl", "osl", "concurrency", "date")
_SAME_PROMPT = ("prefix caching ON", "same harness and prompt as RNGD rows")
"""Of runs on a server that keeps prefixes, of one prompt for all requests."""
_TRACED = ("ShareGPT", "open loop")
_STALLED = ("host stalls",)
_WINDOWED = ("steady-state window",)
_UNSAID = "osl not published"
_DEGREES = {kind: re.compile(rf"\b{kind}[ =_-]?(\d{{1,3}})\b", re.IGNORECASE) for kind in ("tp", "pp")}
"""How labels and notes give the degrees of tensor and pipeline parallelism."""
_SDK = re.compile(r"\d{4}\.\d+")
"""Year and number of an SDK, of which a trial version ("2026.5.0b0") may be described alone, with a b behind them."""
_FUSED = ("clusters", "pes_per_cluster")
"""Numbers of the parts of a chip that a runtime fuses, where a unit has such parts."""
_REQUESTS = re.compile(r"\brequests (\d+)\b")
"""How a source tells how many requests a run had."""


@dataclass(frozen=True)
class _Run:
    """The rows of one run: they differ only in metric and value."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def notes(self) -> str:
        return "; ".join(row.text("notes") for row in self.rows)

    @property
    def users(self) -> float:
        """0 where they were not published."""
        try:
            return self.first.number("concurrency")
        except Unrepresentable:
            return 0.0

    @property
    def requests(self) -> int | None:
        """How many requests it had; None where its source does not say."""
        told = _REQUESTS.search(self.notes)
        return None if told is None else int(told.group(1))

    def says(self, words: Iterable[str]) -> bool:
        return any(word in self.notes for word in words)


def _table_cases(table: MeasuredTable, arch: str | None) -> list[Case | Skip]:
    """Every metric of every run, latencies in ms, and power_w once a run.

    arch: for the rows of the chip that the table names most often; None: each row's own chip.
    """
    runs = defaultdict(list)
    for row in table.rows():
        _check_unit(row)
        runs[tuple(row.text(column) for column in _RUN_COLUMNS)].append(row)
    wrong = contradicted(rate for rows in runs.values() if (run := _Run(tuple(rows))).users for rate in _rates(run))
    found: list[Case | Skip] = []
    for rows in runs.values():
        found += _run_cases(_Run(tuple(rows)), table.chip, arch, wrong)
    return sorted(found, key=lambda item: item.row)


def _rates(run: _Run) -> Iterator[Rate]:
    """Tokens per second of all users that a run gives: of one user by any of its rates, else by the main metric."""
    set_up = tuple(run.first.text(column) for column in _RUN_COLUMNS if column != "concurrency")
    spread = sources().lab(run.first.text("lab")).figure.value
    for row in run.rows:
        known, total, main = _figure(row.text("metric")), row.measured("value"), row.text("metric") == _MAIN
        is_rate = known is not None and known.unit.startswith(_TOKENS_PER_S)
        if is_rate and total is not None and (main or run.users == 1.0):
            yield Rate(row.index, set_up, run.users, total, spread, main)


def _figure(metric: str) -> Metric | None:
    """The figure that a table calls so, None for one that no run is asked for.

    A user's rates are one over the time per output token: one user of an 8B model at 53.12 tokens/s had 18.77 ms
    between tokens, and 52.39 tokens/s with the first token's wait. `clean` leaves out the host's stalls.
    """
    named = figure_of(PUBLISHED, metric)
    found = None if named is None or metric == _POWER else metric_of(named[0])
    return found if found is not None and found.shown > Shown.LAB else None


def _check_unit(row: Row) -> None:
    known = _figure(row.text("metric"))
    if known is not None and row.text("unit") not in UNIT_NAMES[known.unit]:
        units = " or ".join(UNIT_NAMES[known.unit])
        raise UserError(row.location, "unit", f"'{row.text('unit')}' is no unit of {row.text('metric')}; use {units}")


def _run_cases(run: _Run, chip: str, arch: str | None, wrong: Mapping[int, str]) -> list[Case | Skip]:
    try:
        predictor = _predictor(run, chip, arch)
    except Unrepresentable as reason:
        return [Skip(row.index, str(reason)) for row in run.rows]
    found: list[Case | Skip] = []
    for row in run.rows:
        known = _figure(row.text("metric"))
        if row.index in wrong:
            found.append(Skip(row.index, wrong[row.index]))
        elif known is None:
            found.append(Skip(row.index, f"the metric {row.text('metric') or '(blank)'} is not predicted"))
        elif (value := row.measured("value")) is None:
            found.append(Skip(row.index, "value is not given"))
        else:
            worth = UNIT_NAMES[known.unit][row.text("unit")]
            found.append(_case(run, row, predictor, row.text("metric"), known.name, value * worth))
    powered = next((row for row in run.rows if row.measured(_POWER) is not None), None)
    if powered is not None and any(isinstance(item, Case) for item in found):
        found.append(_case(run, powered, predictor, _POWER, resolve(_POWER), powered.measured(_POWER) or 0.0))
    return found


def _case(run: _Run, row: Row, predictor: RunPredictor, metric: str, figure: str, measured: float) -> Case:
    first, lab = run.first, sources().lab(run.first.text("lab"))
    steady = f"steady_{figure}" if predictor.traced or predictor.windowed else ""
    return Case(
        row=row.index,
        metric=metric,
        figure=figure if metric_of(steady) is None else steady,
        measured=measured,
        predictor=predictor,
        run=" ".join(filter(None, (first.text(column) for column in _RUN_COLUMNS))),
        group=f"{first.text('lab')} {first.text('sdk')} {first.text('model')} x{first.text('cards')}",
        model=predictor.placement.model,
        dimensions=_dimensions(first, predictor),
        sigma=(lab.power if metric == _POWER else lab.figure).value,
        main=metric == _MAIN,
    )


def _dimensions(row: Row, predictor: RunPredictor) -> dict[str, str]:
    told = {
        "lab": row.text("lab"),
        "sdk": row.text("sdk"),
        "model": predictor.placement.model,
        "precision": row.text("precision") or f"{predictor.placement.precision} (not published)",
        "cards": row.text("cards"),
        "isl": f"{predictor.isl}",
        "concurrency": f"{predictor.users:g}",
        "lengths": "trace" if predictor.traced else "fixed",
        "prompts": "alike" if predictor.same_prompt else "different",
    }
    return {name: text for name, text in told.items() if text}


def _predictor(run: _Run, chip: str, arch: str | None) -> RunPredictor:
    row = run.first
    if row.text("lab") == "vendor" or "third-party" not in row.text("kind"):
        raise Unrepresentable("a claim, not a third party's measurement")
    if "ABNORMAL" in run.notes:
        raise Unrepresentable("its source calls the run abnormal")
    if not row.text("model"):
        raise Unrepresentable("no model ran")
    isl, osl, users = row.count("isl"), row.count("osl"), row.number("concurrency")
    if users < 1.0:
        raise Unrepresentable(f"concurrency {users:g} is below one")
    where = chip_of_row(row, chip, arch)
    label = row.text("precision")
    placement = placed(
        Placement(
            where,
            _runtime(row, where),
            model_name(row.text("model")),
            scheme(label or scheme_of_label(row.text("model")) or "bf16"),
            row.count("cards"),
            kv_precision=kv_of_label(label),
            plan=plan_of_text(f"{label}; {run.notes}", load_system(where, uncalibrated=True), row.count("cards")),
        )
    )
    _require_room(measured_deployment(placement), isl + osl)
    predictor = RunPredictor(placement, isl, osl, users)
    windowed, stalled, unsaid = run.says(_WINDOWED), run.says(_STALLED), _UNSAID in row.text("note_lengths")
    lab = sources().lab(row.text("lab")).name
    return replace(
        predictor,
        requests=run.requests,
        same_prompt=run.says(_SAME_PROMPT),
        lengths=TRACE if run.says(_TRACED) else FIXED.text,
        windowed=windowed,
        stalled=stalled,
        unsaid=unsaid,
        lab=lab,
    )


def plan_of_text(text: str, system: System, cards: int) -> str | None:
    """The plan by the degrees that a label or note gives ("TP4 PP2", "TP=8"), None where it gives none of these cards.

    Degrees count chips; where they count the parts that a chip's runtime fuses (Furiosa-LLM: 8 PEs a chip), those of
    tensor parallelism are brought to chips.
    """
    told = {kind: int(found.group(1)) for kind, degree in _DEGREES.items() if (found := degree.search(text))}
    tensor, pipeline = told.get("tp", 1), told.get("pp", 1)
    chips, unit = cards * system.chips_per_card, system.chip.unit
    fused = prod(int(getattr(unit, part).value) for part in _FUSED if hasattr(unit, part))
    if told and tensor * pipeline == fused * chips and tensor % fused == 0:
        tensor //= fused
    if not told or tensor * pipeline != chips or pipeline == 1:
        return None
    return f"tp{tensor}-pp{pipeline}"


def _runtime(row: Row, arch: str) -> str:
    """The runtime of the SDK that the row names, or the architecture's own where it names none."""
    sdk = row.text("sdk")
    if not sdk:
        return load_system(arch, uncalibrated=True).runtime
    numbers = _SDK.search(sdk)
    version = numbers[0] if numbers else sdk
    names = [f"furiosa-llm-{version}", f"furiosa-llm-{version}b"]
    found = next((name for name in names if name in shipped_runtimes()), None)
    if found is None:
        raise Unrepresentable(f"no runtime describes the SDK {sdk}")
    return found


def _require_room(deployment: Deployment, tokens: int) -> None:
    try:
        deployment.require_fit(tokens)
    except UserError as error:
        raise Unrepresentable(str(error)) from error


KIND = TableKind(
    name="published_serving",
    columns="lab kind chip cards model precision isl osl concurrency metric value unit",
    main=_MAIN,
    telling=("lab", "model", "concurrency"),
    cases=_table_cases,
    runs=True,
    draws=9,
)
