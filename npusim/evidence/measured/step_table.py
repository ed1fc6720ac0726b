"""Step tables of any lab and chip as cases: what a step of so many sequences over such contexts took.

What a table does not say (model, number formats, chips) is told beside it; a row that cannot be read is a mistake, none
is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, drivers
from npusim.evidence.measured.kinds.steps import KIND, REGIMES
from npusim.evidence.measured.placement import Placement, measured_deployment, model_name, scheme
from npusim.evidence.measured.sources import sources, with_percentiles
from npusim.evidence.measured.step_columns import StepColumns, StepLine, step_columns
from npusim.evidence.measured.step_parts import NEEDS as PARTS
from npusim.evidence.measured.step_parts import summed
from npusim.evidence.measured.step_shapes import FORMS, StepShape
from npusim.evidence.measured.tables import Unrepresentable
from npusim.evidence.predictors.step import StepPredictor
from npusim.hardware.catalog import load_system
from npusim.hardware.system import System
from npusim.inputs import read_text
from npusim.inputs.csv_text import csv_table
from npusim.inputs.limits import MOST_COUNT
from npusim.workload.catalog import load_model

_APART = 1.5
"""Times of one step, each over the other, from which on they are not the same step measured again."""


@dataclass(frozen=True)
class StepTable:
    """A file, and what holds for all its rows: None where the rows tell it themselves.

    tensor_parallel: chips that share every layer; runtime: None for the architecture's own; with_host: whether times
    hold the host's around the pass.
    """

    path: Path
    model: str | None = None
    precision: str | None = None
    kv_precision: str | None = None
    tensor_parallel: int | None = None
    runtime: str | None = None
    with_host: bool = False


@dataclass(frozen=True)
class StepCases:
    """cases: of the table, their `row` counts them; places: file and line of each; skipped: rows that are figures of
    something else than a step."""

    columns: StepColumns
    cases: tuple[Case, ...]
    places: tuple[str, ...]
    skipped: int


@dataclass(frozen=True)
class _Told:
    """One row; of parts that were summed, the first."""

    line: StepLine
    shape: StepShape
    time_us: float
    placement: Placement
    regime: str


def step_cases(table: StepTable, arch: str) -> StepCases:
    """The cases of the table's rows on `arch`. Raises UserError."""
    system = load_system(arch, uncalibrated=True)
    header, rows = csv_table(read_text(table.path), str(table.path))
    columns = step_columns(header, str(table.path))
    lines = [
        StepLine(columns, f"{table.path}:{number}", dict(zip(header, cells, strict=True))) for number, cells in rows
    ]
    if not lines:
        raise UserError(str(table.path), "", "has no data rows; give a header line and at least one row")
    for line in lines:
        _require_own(line, system)
    told = list(_told(lines, table, arch, system))
    if not told:
        raise UserError(str(table.path), "metric", "no row is a decode_step or a prefill_chunk_N; nothing to fit")
    _require_once(told)
    skipped = 0 if columns.has(*PARTS) else len(lines) - len(told)
    cases = tuple(_case(index, each, table.with_host) for index, each in enumerate(told))
    return StepCases(columns, cases, tuple(each.line.location for each in told), skipped)


def _require_own(line: StepLine, system: System) -> None:
    own = {name.lower() for name in (system.name, system.title, *system.aliases)}
    if line.text("chip") and line.text("chip").lower() not in own:
        message = f"was measured on {line.text('chip')}, not on {system.name}; calibrate the chip that was measured"
        raise line.mistake("chip", message)


def _told(lines: list[StepLine], table: StepTable, arch: str, system: System) -> Iterator[_Told]:
    columns = lines[0].columns
    if columns.has(*PARTS):
        layers = load_model(_model(lines[0], table)).layers
        for line, whole, time_us in summed(lines, layers):
            yield _Told(line, whole, time_us, _placement(line, whole, table, arch, system), "")
        return
    form = next((form for form in FORMS if not form.missing(columns)), None)
    if form is None:
        missing = min((form.missing(columns) for form in FORMS), key=len)
        what = ", ".join(" or ".join(each.split("|")) for each in missing)
        mend = "name the columns of the step's shape batch, context (new tokens included) or past, and chunk"
        raise UserError(columns.path, "", f"says nothing of {what}; {mend}")
    for line in lines:
        regime = line.text("regime").lower()
        if regime and regime not in REGIMES:
            raise line.mistake("regime", f"'{regime}' is no regime; write {' or '.join(REGIMES)}, or leave it blank")
        shape = form.shape(line)
        if shape is not None:
            yield _Told(line, shape, line.time_us(), _placement(line, shape, table, arch, system), regime)


def _placement(line: StepLine, shape: StepShape, table: StepTable, arch: str, system: System) -> Placement:
    """What ran. Raises UserError where it cannot."""
    model, chips = _model(line, table), _chips(line, table, system)
    precision = _agreed(line, "precision", "--precision", table.precision, scheme)
    kv = _agreed(line, "kv_precision", "--kv-precision", table.kv_precision, str.lower, required=False)
    runtime = table.runtime or system.runtime
    cards = -(-chips // system.chips_per_card)
    placement = Placement(arch, runtime, model, precision or "", cards, kv_precision=kv, tensor_parallel=chips)
    try:
        deployment = measured_deployment(placement)
    except UserError as error:
        raise UserError(line.location, "", f"cannot be predicted: {error}") from error
    known = [each.name for each in drivers(system)]
    if deployment.runtime.name not in known:
        mend = "write it under `runtime:` of the architecture, or leave it out"
        raise UserError("--runtime", runtime, f"is neither shipped nor the architecture's own; {mend}")
    longest = deployment.model.max_context
    if shape.longest > longest:
        raise UserError(line.location, "", f"{shape.longest:,} tokens are more than {model} takes ({longest:,})")
    return placement


def _model(line: StepLine, table: StepTable) -> str:
    return _agreed(line, "model", "--model", table.model, model_name) or ""


def _agreed(
    line: StepLine, key: str, option: str, told: str | None, known: Callable[[str], str], required: bool = True
) -> str | None:
    """What the cell and the option say, of which one is enough. Raises UserError."""
    cell = line.text(key)
    if not cell and told is None:
        if not required:
            return None
        name = line.columns.names.get(key, key)
        raise line.mistake(key, f"is told neither by the table nor by {option}; add a column {name}, or {option}")
    try:
        own = known(cell) if cell else None
        given = known(told) if told is not None else None
    except Unrepresentable as error:
        raise line.mistake(key, f"{error}; write a known one") from error
    if own is not None and given is not None and own != given:
        raise line.mistake(key, f"the row says {cell}, {option} says {told}; leave the option out, or mend the row")
    return own or given


def _chips(line: StepLine, table: StepTable, system: System) -> int:
    """Chips that share every layer: of the table, of whole cards, or of the option."""
    chips = line.count("tp", MOST_COUNT) if line.text("tp") else 0
    of_cards = line.count("cards", MOST_COUNT) * system.chips_per_card if line.text("cards") else 0
    if chips and of_cards and -(-chips // system.chips_per_card) != of_cards // system.chips_per_card:
        raise line.mistake(
            "cards", f"hold {of_cards} chips, tp says {chips}; give the steps of one instance on its own"
        )
    chips = chips or of_cards
    told = table.tensor_parallel
    if not chips and told is None:
        raise line.mistake("tp", "is told neither by the table nor by --tp; add a column tp, or --tp")
    if chips and told is not None and chips != told:
        raise line.mistake("tp", f"the row says {chips} chips, --tp says {told}; leave the option out, or mend the row")
    return chips or int(told or 1)


def _require_once(told: list[_Told]) -> None:
    """Raises UserError for a row that stands twice, and for times of one step that are too far apart to be one."""
    before: dict[tuple[StepShape, Placement, str], _Told] = {}
    for each in told:
        other = before.setdefault((each.shape, each.placement, each.regime), each)
        if other is each:
            continue
        if other.line.cells == each.line.cells:
            raise UserError(each.line.location, "", f"says the same as {other.line.location}; leave one of the rows")
        short, long = sorted((other.time_us, each.time_us))
        if long > _APART * short:
            took = f"took {each.time_us:,.6g} us here and {other.time_us:,.6g} us at {other.line.location}"
            mend = "say by a column that is read what differs, or leave the wrong row out"
            raise UserError(each.line.location, "", f"the same step ({each.shape}) {took}; {mend}")


def _case(index: int, told: _Told, with_host: bool) -> Case:
    shape, placement = told.shape, told.placement
    predictor = StepPredictor(
        placement, shape.decoding, shape.context, shape.chunks, capped=told.regime != "burst", hosted=with_host
    )
    spreads, (p5, p95) = sources().spreads, told.line.percentiles_us()
    again = spreads.public_kernel.value if p5 is None else spreads.device_events.value
    what = f"{placement.model} {placement.precision}"
    return Case(
        row=index,
        metric="us",
        figure="us",
        measured=told.time_us,
        predictor=predictor,
        run=f"{what} {placement.cards} {placement.tensor_parallel} {told.regime} {shape}",
        group=f"{what}, {shape.like}",
        model=placement.model,
        dimensions={**shape.dimensions, "model": placement.model, "dtype": placement.precision},
        sigma=with_percentiles(again, told.time_us, p5, p95),
        main=True,
        kind=KIND.name,
    )
