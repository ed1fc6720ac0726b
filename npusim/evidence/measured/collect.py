"""From rows to cases: what all kinds of tables have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Predictor, Skip
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.hardware.catalog import load_system
from npusim.metric_names import told_as
from npusim.metric_row import Shown
from npusim.metrics import TABLE_COLUMN, shown


@dataclass(frozen=True)
class Figure:
    """A measured column, the predictor's figure that it is compared with, and its relative standard deviation."""

    column: str
    figure: str
    sigma: float
    main: bool = False


def each_row(table: MeasuredTable, make: Callable[[Row], list[Case]]) -> list[Case | Skip]:
    """The cases that `make` makes of each row, a Skip where it raises Unrepresentable."""
    found: list[Case | Skip] = []
    for row in table.rows():
        try:
            found += make(row)
        except Unrepresentable as reason:
            found.append(Skip(row.index, str(reason)))
    return found


def cases_of(
    row: Row,
    figures: Iterable[Figure],
    predictor: Predictor,
    group: str,
    model: str,
    dimensions: Mapping[str, str],
) -> list[Case]:
    """A case for each figure that the row holds, which is a run of its own. Raises Unrepresentable without a main one.

    Dimensions that are blank in the table are left out.
    """
    told = {name: _plain_number(text) for name, text in dimensions.items() if text}
    cases = []
    for figure in figures:
        measured = row.measured(figure.column)
        if measured is None:
            if figure.main:
                raise Unrepresentable(f"{figure.column} is not given")
            continue
        cases.append(
            Case(
                row=row.index,
                metric=figure.column,
                figure=figure.figure,
                measured=measured,
                predictor=predictor,
                run=str(row.index),
                group=group,
                model=model,
                dimensions=told,
                sigma=figure.sigma,
                main=figure.main,
            )
        )
    return cases


def told_figures() -> Iterator[tuple[str, str, str]]:
    """Column, name and unit of every figure that a table of runs may hold beside what describes the run."""
    for row in shown(Shown.COMPARED):
        if row.shown != Shown.RUN and not row.exact:
            yield told_as(TABLE_COLUMN, row.name), row.name, row.unit


def _plain_number(text: str) -> str:
    """ "1.0" as "1"; what is not a number, unchanged."""
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() else text


def require_unit(arch: str, unit: str, table: MeasuredTable) -> None:
    """Raises UserError unless `arch` has the compute unit that tables of this kind are about."""
    found = load_system(arch, uncalibrated=True).chip.unit.kind
    if found != unit:
        mend = f"give an architecture whose unit is a {unit}"
        raise UserError("--arch", "", f"{table.path.name} was measured on a {unit}, {arch} is a {found}; {mend}")


def chip_of_row(row: Row, chip: str, arch: str | None) -> str:
    """The architecture of a row that names its chip: `arch`, for rows on `chip` alone, where it is given. Raises
    Unrepresentable."""
    own = row.text("chip")
    if arch is not None:
        if own != chip:
            raise Unrepresentable(f"measured on {own}, not on {chip}")
        return arch
    try:
        return load_system(own, uncalibrated=True).name
    except UserError as error:
        raise Unrepresentable(f"the chip '{own}' is not described") from error
