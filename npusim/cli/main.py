"""The command `npusim`: its commands, and how every one of them ends."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from npusim import __version__
from npusim.cli.calibrate import calibrate
from npusim.cli.check import check
from npusim.cli.collective import collective
from npusim.cli.dram import dram
from npusim.cli.evaluate import evaluate
from npusim.cli.failures import exit_code
from npusim.cli.kperf import kperf
from npusim.cli.listing import list_shipped
from npusim.cli.pim import pim
from npusim.cli.predict import predict, score
from npusim.cli.run import run
from npusim.cli.show import show
from npusim.cli.step import step
from npusim.cli.sweep import sweep
from npusim.cli.validate import validate
from npusim.cli.verify_run import verify_run


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="npusim", prog_name="npusim")
@click.pass_context
def npusim(context: click.Context) -> None:
    """Predict how an LLM-inference chip scores on K-Perf, with the assumptions named.

    ARCH and MODEL are shipped names (npusim list archs, npusim list models), aliases or paths of your own files.
    Exit codes: 0 done, 2 a mistake in what was asked, 1 a failure of npusim itself.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_COMMANDS = (
    list_shipped,
    show,
    step,
    run,
    kperf,
    validate,
    calibrate,
    sweep,
    evaluate,
    check,
    pim,
    collective,
    dram,
    predict,
    score,
    verify_run,
)

for _command in _COMMANDS:
    npusim.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line `arguments` (default: the process's own) and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return exit_code(lambda: _invoke(list(sys.argv[1:] if arguments is None else arguments)))


def _invoke(words: list[str]) -> None:
    with npusim.make_context("npusim", list(words), obj=words) as context:
        npusim.invoke(context)
