"""`npusim check`: does what a lab measured make sense, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import plain, print_json, say, stdout_console, table
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.lab.check.result import CheckResult

_MOST_ROWS = 60
_HEADINGS = ("row", "file", "what ran", "verdict", "bound", "why")


@click.command()
@click.argument("path", metavar="FILE|FOLDER")
@click.option("--arch", metavar="ARCH", help="Architecture that it ran on [default: what the files say].")
@click.option("--model", metavar="MODEL", help="Model that ran [default: what the files say].")
@click.option("--precision", metavar="SCHEME", help="Its number format [default: what the files say].")
@click.option("--kv-precision", metavar="FORMAT", help="Format of keys and values [default: the runtime's].")
@click.option("--cards", type=click.IntRange(min=1), help="Cards that worked together [default: what the files say].")
@click.option("--tp", "tensor_parallel", type=click.IntRange(min=1), help="Chips that shared every layer, where known.")
@click.option("--runtime", metavar="NAME", help="Serving runtime [default: what the files say].")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder for check.xlsx and check.json.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@as_json_option
@click.pass_obj
def check(argv: list[str], path: str, out: str | None, seed: int, as_json: bool, **given: Any) -> None:
    """Check measured results: impossible, implausible, plausible or unchecked, row by row, and how they were measured.

    Reads furiosa-perf summaries and logs, vllm bench serve JSON, AIPerf exports, saved Prometheus metrics, sensor
    CSVs, MLPerf LoadGen logs, a filled K-Perf workbook, and npusim's own measured tables.
    """
    from npusim.engine.compiled import ensure_compiled
    from npusim.lab.check.result import check as examine

    ensure_compiled(say)
    found = examine(Path(path), _setting(given), seed, say)
    record = _manifest(argv, seed, found)
    answer = {**found.as_dict(), "files": [] if out is None else _write(found, record, Path(out)), "manifest": record}
    if as_json:
        print_json(answer)
        return
    _print(stdout_console(), found)
    for name in answer["files"]:
        say(f"wrote {name}")


def _write(found: CheckResult, record: dict[str, Any], out: Path) -> list[str]:
    """check.xlsx, check.json and manifest.json in `out`, all or none; their paths from here."""
    from npusim.kperf.publish import publish_folder
    from npusim.lab.check.workbook import write_workbook

    def write(folder: Path) -> list[str]:
        write_workbook(found, record, folder / "check.xlsx")
        for name, content in (("check.json", found.as_dict()), ("manifest.json", record)):
            text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
            (folder / name).write_text(f"{text}\n", encoding="utf-8")
        return ["check.xlsx", "check.json", "manifest.json"]

    return [str(out / name) for name in publish_folder(write, out)]


def _setting(given: dict[str, Any]) -> Any:
    from npusim.lab.files.lab_run import Setting

    arch = given.pop("arch")
    return Setting(device=arch, **given)


def _manifest(argv: list[str], seed: int, found: CheckResult) -> dict[str, Any]:
    from npusim.evidence.measured.sources import sources_path
    from npusim.hardware.catalog import calibration_path, system_path
    from npusim.workload.catalog import model_path
    from npusim.workload.formats import formats_path

    calibrations = [path for arch in found.archs if (path := calibration_path(arch)) is not None]
    files = [*found.files, *map(system_path, found.archs), *calibrations, *map(model_path, found.models)]
    return build_manifest(argv, seed, [*files, formats_path(), sources_path()])


def _print(console: Console, found: CheckResult) -> None:
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.counts().items())
    console.print(f"{len(found.rows):,} rows: {counts}.")
    console.print(table(_HEADINGS, _rows(found), text_columns=6))
    if len(found.rows) > _MOST_ROWS:
        console.print(f"{len(found.rows) - _MOST_ROWS:,} more rows: --json or --out tell them all.")
    for row in found.rows[:_MOST_ROWS]:
        for remark in row.remarks:
            if remark.severity != "note":
                console.print(f"{row.place}: {remark.rule}: {remark.message}", soft_wrap=True)
    for each in found.unread:
        console.print(f"Left out: {each.place}: {each.reason}.", soft_wrap=True)


def _rows(found: CheckResult) -> Iterator[list[str]]:
    from npusim.bounds.finding import VERDICTS

    numbered = sorted(enumerate(found.rows), key=lambda item: VERDICTS.index(item[1].verdict))
    for index, row in numbered[:_MOST_ROWS]:
        setting, decisive = row.setting, row.decisive
        shape = f"{setting.isl or '?'}/{setting.osl or '?'} x {setting.users or '?'}"
        what = f"{setting.model or '?'} on {setting.cards or '?'} x {setting.device or '?'}, {shape}"
        why = "" if decisive is None else f"{decisive.metric} {decisive.reason}".strip()
        yield [str(index), Path(row.place).name, what, row.verdict, (decisive and decisive.bound) or "-", why]
