"""`npusim plan-tests`: which cells of a grid to measure in so many hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.planning_tests import PlanTestsOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table

if TYPE_CHECKING:
    from npusim.lab.planning.plan import TestPlan

_HEADINGS = ("model", "shape", "users", "gain", "runs", "s a run", "minutes", "hidden")


@command(PlanTestsOptions, name="plan-tests")
def plan_tests(asked: PlanTestsOptions, as_json: bool) -> None:
    """Plan which cells of GRID to measure: those that tell most of all predictions, within a budget of hours.

    Some cells are drawn by lot and kept hidden until they are measured, so that nothing is tuned to them: whoever knows
    the seed knows them. The gain of a cell is the part of the predictions' variance that measuring it takes away.
    """
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.plan_tests.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.found)


def _print(plan: TestPlan) -> None:
    console = stdout_console()
    title = f"{len(plan.cells):,} cells, {plan.minutes / 60.0:.3g} of {plan.budget_minutes / 60.0:.3g} hours"
    console.print(table(_HEADINGS, _rows(plan), title, text_columns=2))
    console.print(f"They take away {1.0 - plan.left:.1%} of the variance of all predictions of the grid.")
    if plan.unfit:
        console.print(f"{len(plan.unfit):,} cells cannot be measured: {plan.unfit[0].reason}", soft_wrap=True)


def _rows(plan: TestPlan) -> Iterator[list[str]]:
    for each in plan.cells:
        cell = each.cell
        yield [cell.model, f"{cell.isl}/{cell.osl}", str(cell.users), f"{each.gain:.2%}", str(cell.runs),
               figure(cell.seconds, 0), figure(cell.minutes, 1), "hidden" if each.hidden else "-"]  # fmt: skip
