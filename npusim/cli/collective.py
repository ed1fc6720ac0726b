"""`npusim collective`: what one collective takes on the fabric of an architecture."""

from __future__ import annotations

from typing import Any

import click

from npusim.cli.options import as_json_option, uncalibrated_option
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.errors import UserError
from npusim.manifest import build_manifest


@click.command()
@click.argument("arch")
@click.option(
    "--op",
    "operation",
    required=True,
    metavar="NAME",
    help="all_reduce, all_gather, reduce_scatter, all_to_all, broadcast or send_recv.",
)
@click.option(
    "--bytes",
    "size",
    required=True,
    metavar="SIZE",
    help="The full vector (8192, 8MiB): reduced, gathered, or sent by a rank in an all-to-all.",
)
@click.option("--ranks", type=int, required=True, metavar="N", help="Chips that take part, neighbours on the fabric.")
@click.option("--groups", type=int, default=1, show_default=True, metavar="G", help="Such groups at the same time.")
@click.option("--algorithm", metavar="NAME", help="Only this one (ring, two_shot, ...) [default: the fastest].")
@click.option("--library", metavar="NAME", help="Library of collectives [default: the fabric's first].")
@click.option(
    "--within",
    type=click.Choice(("server", "chip")),
    default="server",
    show_default=True,
    help="chip: the sum of partial results over N PEs of one chip.",
)
@click.option("--interval", is_flag=True, help="Give the time with its 90 % interval.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@uncalibrated_option
@as_json_option
@click.pass_obj
def collective(
    argv: list[str],
    arch: str,
    operation: str,
    size: str,
    ranks: int,
    groups: int,
    algorithm: str | None,
    library: str | None,
    within: str,
    interval: bool,
    seed: int,
    uncalibrated: bool,
    as_json: bool,
) -> None:
    """Predict the time of a collective, and name the algorithm that is fastest."""
    from npusim.answers.collective import Asked, operation_code, predict_collective, predict_reduction
    from npusim.hardware.catalog import system_files

    byte_count, code = _byte_count(size), operation_code(operation)
    if within == "chip":
        _require_a_plain_reduction(operation, groups, algorithm, library, interval)
        answer = predict_reduction(arch, byte_count, ranks, uncalibrated)
    else:
        asked = Asked(code, byte_count, ranks, groups, algorithm, library)
        answer = predict_collective(arch, asked, seed=seed, interval_wanted=interval, uncalibrated=uncalibrated)
    if as_json:
        print_json({**answer, "manifest": build_manifest(argv, seed, system_files(arch))})
        return
    _print(answer)


def _byte_count(text: str) -> float:
    from npusim.units import to_si

    try:
        count = float(text)
    except ValueError:
        try:
            count = to_si(text, "B")
        except ValueError as error:
            raise UserError("--bytes", "", f"{error}; give e.g. 8192 or 8MiB") from error
    if not 0.0 < count < float("inf"):
        raise UserError("--bytes", "", f"'{text}' must be more than zero")
    return count


def _require_a_plain_reduction(
    operation: str, groups: int, algorithm: str | None, library: str | None, interval: bool
) -> None:
    if operation != "all_reduce":
        raise UserError("--op", "", f"the PEs of a chip sum partial results, no {operation}; use all_reduce")
    if groups != 1 or algorithm or library or interval:
        raise UserError("--within", "", "chip takes --ranks and --bytes alone; leave the other options out")


def _print(answer: dict[str, Any]) -> None:
    console = stdout_console()
    several = f", {answer['groups']} groups at once" if answer["groups"] > 1 else ""
    console.print(
        f"{answer['op']} of {figure(answer['bytes'], 0)} B over {answer['ranks']} ranks of {answer['arch']}{several}: "
        f"{figure(answer['time_us'])} us by {answer['algorithm']} ({answer['transport']}), bound by {answer['bound']} "
        f"on {answer['link']}; each rank sends {figure(answer['bytes_per_rank'], 0)} B, bus bandwidth "
        f"{figure(answer['busbw_bytes_per_s'] / 1e9)} GB/s."
    )
    rows = [
        [each["algorithm"], each["transport"], figure(each["time_us"]), figure(each["latency_us"]), each["bound"]]
        for each in answer["candidates"]
    ]
    if rows:
        console.print(table(("algorithm", "transport", "us", "of it latency [us]", "bound"), rows, text_columns=2))
