"""`npusim import`: the operators of a model that is written as a graph, and what of them a chip runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from npusim import api
from npusim.api.importing import ImportOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.units import MIB

_GIGA = 1e9
_MOST_ROWS = 200


@command(ImportOptions, "import")
def import_model(asked: ImportOptions, as_json: bool) -> None:
    """Read MODEL as a graph of operators: what each computes and moves, and how a chip runs it.

    Operators run natively, decomposed, on the host, or nobody says (unknown, by name). Nothing in the file is executed:
    programs and pickles are refused.
    """
    found = api.import_model.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    answer: Any = found.answer
    console = stdout_console()
    rows = list(_rows(answer["operators"]))
    headings = ("operator", "kind", "count", "m x n x k, batch", "GFLOP", "weights [MiB]", "runs")
    console.print(table(headings, rows[:_MOST_ROWS], text_columns=2))
    if len(rows) > _MOST_ROWS:
        console.print(f"{len(rows) - _MOST_ROWS} more lines: --json has every operator.")
    totals = answer["totals"]
    console.print(
        f"{totals['operators']:,} operators, {totals['flops'] / _GIGA:,.6g} GFLOP, weights of "
        f"{totals['weight_bytes'] / MIB:,.6g} MiB; {totals['unshaped']} without a known shape or kind, in no sum."
    )
    where = f"On {answer['arch']}" if answer["arch"] else "On the unit that runs each worst"
    told = ", ".join(f"{share:.1%} {status}" for status, share in answer["coverage"].items())
    console.print(f"{where}: {told} of the operators.")
    for status in ("decomposed", "on_host", "unknown"):
        if answer[status]:
            names = ", ".join(f"{op} ({count})" for op, count in answer[status].items())
            console.print(f"{status.replace('_', ' ')}: {names}", soft_wrap=True)
    if answer["host"] and answer["host"]["operators"]:
        console.print(_host_text(answer["host"]), soft_wrap=True)


def _rows(operators: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for operators that are alike."""
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for each in operators:
        key = tuple(each[name] for name in ("op", "kind", "m", "n", "k", "batch", "flops", "weight_bytes", "status"))
        alike.setdefault(key, []).append(each)
    for same in alike.values():
        first = same[0]
        extents = "" if first["m"] is None else f"{first['m']:,} x {first['n']:,} x {first['k']:,}, {first['batch']:,}"
        flops = None if first["flops"] is None else first["flops"] / _GIGA
        weights = figure(first["weight_bytes"] / MIB, 3)
        yield [first["op"], first["kind"], f"{len(same):,}", extents, figure(flops, 6), weights, first["status"]]


def _host_text(host: Mapping[str, Any]) -> str:
    return (
        f"The host runs {host['operators']:,}: {host['transfers']:,} transfers of {host['link_bytes'] / MIB:,.4g} MiB "
        f"take {figure(host['link_us'], 1)} us, the operators {figure(host['host_us'], 1)} us."
    )
