"""`npusim sweep`: many designs of an architecture under many loads, with their front and what moves it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.explore.sweep.run import SweepResult
    from npusim.explore.sweep.spec import SweepSpec

_MOST_ROWS = 20


@click.command()
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(dir_okay=False))
@click.option("--out", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder of the results.")
@click.option(
    "--backend",
    type=click.Choice(["local", "dask", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or the workers of an existing cluster.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Local processes [default: all processors].")
@click.option("--scheduler", metavar="ADDRESS", help="Of the Dask scheduler or the Ray cluster.")
@click.option(
    "--optimize",
    "trials",
    type=click.IntRange(min=1),
    metavar="TRIALS",
    help="Search the space for its front with that many trials more, instead of covering it.",
)
@as_json_option
@click.pass_obj
def sweep(
    argv: list[str],
    spec: str,
    out: str,
    backend: Any,
    workers: int | None,
    scheduler: str | None,
    trials: int | None,
    as_json: bool,
) -> None:
    """Predict the designs that SPEC.yaml spans: points.parquet, points.csv, pareto.csv, effects.csv, report.html.

    A sweep or a search that was stopped goes on where it stopped when the same command is given again.
    """
    from npusim.engine.compiled import ensure_compiled
    from npusim.explore.sweep.backend import Backend
    from npusim.explore.sweep.run import sweep as run_sweep
    from npusim.explore.sweep.spec import load_spec

    ensure_compiled(say)
    asked = load_spec(Path(spec))
    record = _manifest(argv, Path(spec), asked)
    if trials is not None:
        _search(asked, spec, Path(out), trials, record, as_json)
        return
    where = Backend(backend, workers or os.cpu_count() or 1, scheduler)
    result = run_sweep(asked, spec, Path(out), where, say)
    files = [*result.files, *_write_report(result, record, Path(out))]
    if as_json:
        answer = {"points": result.points, "kept": result.kept, "served": result.served}
        front = result.front.to_dict("records")
        print_json({**answer, "pareto": front, "files": [str(Path(out) / name) for name in files], "manifest": record})
        return
    _print(stdout_console(), result, out, files)


def _search(spec: SweepSpec, place: str, out: Path, trials: int, record: dict[str, Any], as_json: bool) -> None:
    from npusim.explore.sweep.optimize import STUDY, optimize
    from npusim.explore.sweep.tables import write_csv

    out.mkdir(parents=True, exist_ok=True)
    front = optimize(spec, place, out, trials, say)
    write_csv(front, out / "optimum.csv")
    files = [str(out / name) for name in ("optimum.csv", STUDY)]
    if as_json:
        print_json({"points": trials, "pareto": front.to_dict("records"), "files": files, "manifest": record})
        return
    rows = [[f"{value:.5g}" if isinstance(value, float) else str(value) for value in row] for row in front.to_numpy()]
    console = stdout_console()
    console.print(table(list(front.columns), rows[:_MOST_ROWS], "Front of all trials (varied numbers in SI units)"))
    console.print(f"{len(front):,} trials on the front; written: {', '.join(files)}.", soft_wrap=True)


def _manifest(argv: list[str], path: Path, spec: SweepSpec) -> dict[str, Any]:
    from npusim.hardware.catalog import calibration_path, load_system, runtime_path, system_path
    from npusim.workload.catalog import model_path
    from npusim.workload.formats import formats_path

    runtimes = spec.runtimes or (load_system(spec.arch, uncalibrated=True).runtime,)
    calibration = calibration_path(spec.arch)
    files = [
        path,
        system_path(spec.arch),
        *([] if calibration is None else [calibration]),
        *(runtime_path(name) for name in runtimes),
        *(model_path(name) for name in spec.models),
        formats_path(),
    ]
    return build_manifest(argv, spec.seed, files)


def _write_report(result: SweepResult, record: dict[str, Any], out: Path) -> list[str]:
    from npusim.cli.deployment import caveats
    from npusim.explore.sweep.page import sweep_page
    from npusim.explore.sweep.tasks import base_of, variants
    from npusim.report.page import write_page

    notes = caveats([base_of(result.spec, variant, "").deployment for variant in variants(result.spec)])
    write_page(sweep_page(result, notes, record), out / "report.html")
    (out / "manifest.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return ["report.html", "manifest.json"]


def _print(console: Console, result: SweepResult, out: str, files: list[str]) -> None:
    console.print(
        f"{result.points:,} points of {result.spec.designs:,} designs; {result.kept:,} keep every limit, "
        f"{result.served:,} were served request by request."
    )
    from npusim.explore.sweep.page import as_written

    objectives = list(result.spec.objectives)
    words = [name.replace("_", " ") for name in (*_short(result.axes), *objectives)]
    headings = ("model", "isl/osl", "users", "precision", "plan", "design", *words)
    rows = [
        [
            str(row["model"]),
            f"{row['isl']}/{row['osl']}",
            str(row["users"]),
            str(row["precision"]),
            str(row["plan"]),
            str(row["design"]),
            *(row[axis] for axis in result.axes),
            *(figure(row[name]) for name in objectives),
        ]
        for row in as_written(result, result.front.head(_MOST_ROWS)).to_dict("records")
    ]
    console.print(table(headings, rows, "Pareto front", text_columns=1))
    if len(result.front) > _MOST_ROWS:
        console.print(f"{len(result.front) - _MOST_ROWS:,} more in pareto.csv.")
    console.print("Written:")
    for name in files:
        console.print(f"  {Path(out) / name}", soft_wrap=True)


def _short(paths: list[str]) -> list[str]:
    """The last words of dotted paths where these tell them apart, else the whole paths, to be broken at the dots."""
    last = [path.rsplit(".", 1)[-1] for path in paths]
    return last if len(set(last)) == len(last) else [path.replace(".", " ") for path in paths]
