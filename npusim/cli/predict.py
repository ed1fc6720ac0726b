"""`npusim predict`: the cells of a grid, registered before silicon is measured; `npusim score`: how they fared."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from npusim.cli.deployment import manifest
from npusim.cli.options import Setup, as_json_option, setup_options
from npusim.cli.output import figure, plain, print_json, say, stdout_console, table
from npusim.errors import UserError
from npusim.manifest import build_manifest

_SHOWN = ("output_tokens_per_s", "ttft_ms_mean", "tpot_ms_mean", "power_w_mean")


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1, required=True)
@click.option("--models", metavar="A,B,C", help="Models, apart by commas [default: those of the measuring table].")
@click.option("--grid", metavar="NAME|FILE", help="Shapes and users (npusim list grids) [default: furiosa-perf-32k].")
@click.option("--register", is_flag=True, help="Write a stamped pack of the predictions to --out.")
@click.option("--out", metavar="PACK.json", help="File of the pack.")
@click.option("--date", metavar="YYYY-MM-DD", help="Date that the pack bears [default: today].")
@setup_options(cards="auto")
@as_json_option
@click.pass_obj
def predict(
    argv: list[str],
    archs: tuple[str, ...],
    models: str | None,
    grid: str | None,
    register: bool,
    out: str | None,
    date: str | None,
    setup: Setup,
    as_json: bool,
) -> None:
    """Predict a grid with its 90 % intervals; with --register, stamp the predictions before silicon is measured."""
    from npusim.engine.compiled import ensure_compiled
    from npusim.kperf.runner import DEFAULT_GRID, run_grid
    from npusim.lab.registered.pack import require_new, stamped, write_pack

    if register != (out is not None):
        raise UserError("--register" if register else "--out", "", "--register and --out PACK.json go together")
    day = _day(date)
    if out is not None:
        require_new(Path(out))
    ensure_compiled(say)
    chips = list(dict.fromkeys(archs))
    names = None if models is None else [name.strip() for name in models.split(",") if name.strip()]
    results = run_grid(
        chips,
        names,
        grid,
        precision=setup.precision,
        kv_precision=setup.kv_precision,
        cards=setup.cards,
        tensor_parallel=setup.tensor_parallel,
        runtime=setup.runtime,
        seed=setup.seed,
        uncalibrated=setup.uncalibrated,
    )
    cells = [plain(row) for result in results for row in result.cells.to_dict("records")]
    predicted = [where.model.name for where in results[0].deployments]
    record = manifest(argv, setup, chips, names or predicted, grid or DEFAULT_GRID)
    pack = stamped(cells, day, plain(record))
    if out is not None:
        write_pack(pack, Path(out))
        say(f"wrote {out}; publish its stamp: {pack['sha256']}")
    if as_json:
        print_json({**pack, "registered": day if register else None, "files": [out] if out else []})
        return
    _print(cells)
    if out is not None:
        stdout_console().print(f"Registered {day}: {out}, SHA-256 {pack['sha256']}", soft_wrap=True)


def _day(text: str | None) -> str:
    if text is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError("--date", "", f"'{text}' is no date; write it as YYYY-MM-DD") from error


def _print(cells: list[dict[str, Any]]) -> None:
    headings = ("chip", "model", "in/out x users", *_SHOWN)
    rows = []
    for cell in cells:
        shape = f"{cell['isl']}/{cell['osl']} x {cell['users']}"
        rows.append([cell["chip"], cell["model"], shape, *(_with_range(cell, name) for name in _SHOWN)])
    stdout_console().print(table(headings, rows, text_columns=3))


def _with_range(cell: dict[str, Any], name: str) -> str:
    value, low, high = (cell.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or low is None or high is None:
        return figure(value)
    return figure({"value": value, "low": low, "high": high})


@click.command()
@click.argument("pack", metavar="PACK.json")
@click.argument("measured", metavar="FILE|FOLDER")
@click.option("--stamp", metavar="SHA256", help="The pack's stamp as it was published.")
@click.option("--arch", metavar="ARCH", help="Architecture that was measured [default: what the files say].")
@click.option("--model", metavar="MODEL", help="Model that was measured [default: what the files say].")
@click.option("--precision", metavar="SCHEME", help="Its number format [default: what the files say].")
@click.option("--cards", type=click.IntRange(min=1), help="Cards [default: what the files say].")
@as_json_option
@click.pass_obj
def score(argv: list[str], pack: str, measured: str, stamp: str | None, as_json: bool, **given: Any) -> None:
    """Score a registered pack against measured results; an edited pack is refused."""
    from npusim.lab.files.lab_run import Setting
    from npusim.lab.registered.pack import read_pack
    from npusim.lab.registered.score import score as compare

    arch = given.pop("arch")
    registered = read_pack(Path(pack), stamp)
    answer = compare(registered, Path(measured), Setting(device=arch, **given)).as_dict()
    answer |= {"registered": registered["registered"], "sha256": registered["sha256"]}
    if as_json:
        print_json({**answer, "manifest": build_manifest(argv, None, [Path(pack)])})
        return
    console = stdout_console()
    console.print(f"Registered {answer['registered']}, SHA-256 {answer['sha256']}: {answer['rows']:,} rows scored.")
    parts = ("mape", "bias", "p90", "max", "coverage90")
    rows = [
        [metric, str(part["rows"]), *(figure(part[name], 3) for name in parts)]
        for metric, part in answer["by"]["metric"].items()
    ]
    console.print(table(("metric", "rows", *parts), rows))
    for each in answer["skipped"]:
        console.print(f"Not scored: {each['row']}: {each['reason']}.", soft_wrap=True)
