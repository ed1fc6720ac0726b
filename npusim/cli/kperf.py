"""`npusim kperf`: the measuring table and its graphs, written to a folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.deployment import asked_plan, caveats, manifest, wish_of
from npusim.cli.options import Setup, as_json_option, setup_options
from npusim.cli.output import figure, print_json, say, stderr_console, stdout_console, table
from npusim.errors import UserError

if TYPE_CHECKING:
    from npusim.kperf.runner import GridResult, Progress


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1, required=True)
@click.option("--models", metavar="A,B,C", help="Models, apart by commas [default: those of the measuring table].")
@click.option("--grid", metavar="NAME|FILE", help="Shapes and users (npusim list grids) [default: furiosa-perf-32k].")
@click.option("--out", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder of the results.")
@click.option(
    "--interval/--no-interval",
    default=True,
    show_default=True,
    help="Give the figures with their 90 % intervals, or only the figures, several times faster.",
)
@click.option("--report", is_flag=True, help="Write report.html too: hover values, log axes, one file without network.")
@click.option(
    "--lang", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="Of workbook and report."
)
@setup_options(cards="auto")
@as_json_option
@click.pass_obj
def kperf(
    argv: list[str],
    archs: tuple[str, ...],
    models: str | None,
    grid: str | None,
    out: str,
    interval: bool,
    report: bool,
    lang: str,
    setup: Setup,
    as_json: bool,
) -> None:
    """Predict the K-Perf table: kperf.xlsx, kperf.csv, charts and a manifest, in a folder for each of several archs."""
    from npusim.engine.compiled import ensure_compiled
    from npusim.kperf.runner import DEFAULT_GRID, run_grid

    ensure_compiled(say)
    chips, names = list(dict.fromkeys(archs)), _names(models)
    with _progress() as progress:
        results = run_grid(
            chips,
            names,
            grid,
            precision=setup.precision,
            kv_precision=setup.kv_precision,
            cards=setup.cards,
            tensor_parallel=setup.tensor_parallel,
            plan=asked_plan(setup),
            wish=wish_of(setup),
            runtime=setup.runtime,
            seed=setup.seed,
            intervals=interval,
            uncalibrated=setup.uncalibrated,
            offload=setup.offload,
            progress=progress,
        )
    _require_a_prediction(results)
    predicted_models = names or [where.model.name for where in results[0].deployments]
    record = manifest(argv, setup, chips, predicted_models, grid or DEFAULT_GRID)
    files = _write(results, record, Path(out), lang, report)
    if as_json:
        cells = [row for result in results for row in result.cells.to_dict("records")]
        seconds = sum(result.sim_seconds for result in results)
        print_json({"cells": cells, "files": files, "sim_seconds": seconds, "manifest": record})
        return
    _print_summary(results, files)


def _names(models: str | None) -> list[str] | None:
    if models is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    if not names:
        raise UserError("--models", "", "names no model; give some apart by commas (npusim list models)")
    return names


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar with the time left where stderr is a terminal, else a line at the start and one at the end."""
    from rich import progress

    console = stderr_console()
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, label: bar.update(task, completed=done, total=total, description=label)


def _lines() -> Progress:
    started = time.monotonic()

    def report(done: int, total: int, _label: str) -> None:
        if done == 0:
            say(f"predicting {total} cells")
        elif done == total:
            say(f"predicted {total} cells in {time.monotonic() - started:.0f} s")

    return report


def _require_a_prediction(results: list[GridResult]) -> None:
    if any(result.cells["output_tokens_per_s"].notna().any() for result in results):
        return
    first = results[0].cells.iloc[0]
    raise UserError(str(first["model"]), "", str(first["status"]))


def _write(results: list[GridResult], record: dict[str, Any], out: Path, language: str, report: bool) -> list[str]:
    """Publishes every result, several in a folder each; returns the files as paths from here."""
    from dataclasses import replace

    from npusim.kperf.publish import publish
    from npusim.kperf.table import unique_names
    from npusim.report.kperf_page import kperf_page
    from npusim.report.page import write_page
    from npusim.words import speaker

    chips = unique_names([result.deployments[0].system.name for result in results], r"[^A-Za-z0-9._-]+", 80)
    written = []
    for result, chip in zip(results, chips, strict=True):
        folder = out / chip if len(results) > 1 else out
        context = replace(result.context, say=speaker(language))
        names = publish(result.cells, result.provenances, record, context, folder)
        written += [str(folder / name) for name in names]
        if report:
            notes = caveats(result.deployments[:1], language)
            write_page(kperf_page(result, notes, record, context.say, language), folder / "report.html")
            written.append(str(folder / "report.html"))
    return written


def _print_summary(results: list[GridResult], files: list[str]) -> None:
    from npusim.kperf.table import missing

    console = stdout_console()
    for result in results:
        console.print(table(_HEADINGS, _rows(result), result.context.chip_title, text_columns=2))
        for where in result.deployments:
            cards = f"{where.plan.cards} card{'s' * (where.plan.cards > 1)}"
            console.print(f"{where.model.title}: {where.plan.name} on {cards}.")
        for row in missing(result.cells).itertuples():
            console.print(f"Not predicted: {row.model}, {row.where}: {row.reason}")
    for line in caveats(result.deployments[0] for result in results):
        console.print(line)
    console.print("Written:")
    for name in files:
        console.print(f"  {name}", soft_wrap=True)


_HEADINGS = (
    "model", "precision, KV", "cards", "cells", "best total [tokens/s]", "at in / out × users",
    "best output [tokens/s]", "best [tokens/J]", "TTFT at fewest users [ms]",
)  # fmt: skip


def _rows(result: GridResult) -> Iterator[list[str]]:
    from npusim.kperf.table import headlines

    for row in headlines(result.cells).to_dict("records"):
        shortest, longest = figure(row["ttft_low"], 0), figure(row["ttft_high"], 0)
        yield [
            row["model"],
            row["precision"],
            str(row["cards"]),
            row["count"],
            figure(row["total_tokens_per_s"], 0),
            row["total_at"] if isinstance(row["total_at"], str) else "-",
            figure(row["output_tokens_per_s"], 0),
            figure(row["tokens_per_joule"]),
            shortest if shortest == longest else f"{shortest} to {longest}",
        ]
