"""The command `npusim`: its commands, and how every one of them ends."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence

import click

from npusim import __version__
from npusim.cli.failures import exit_code
from npusim.interpreted import TakesTooLong, begin_compiled, short_work

_COMMANDS = {
    "lint": "new_chip.lint",
    "list": "listing.list_shipped",
    "generate": "generate.generate",
    "new-chip": "new_chip.new_chip",
    "new-proposal": "new_proposal.new_proposal",
    "show": "show.show",
    "import": "import_model.import_model",
    "step": "step.step",
    "run": "run.run",
    "kperf": "kperf.kperf",
    "validate": "validate.validate",
    "calibrate": "calibrate.calibrate",
    "swap": "swap.swap",
    "sweep": "sweep.sweep",
    "evaluate": "evaluate.evaluate",
    "evidence": "evidence.evidence",
    "fleet": "fleet.fleet",
    "check": "check.check",
    "certify": "certify.certify",
    "compare": "compare.compare",
    "pim": "pim.pim",
    "collective": "collective.collective",
    "dram": "dram.dram",
    "neuromorphic": "neuromorphic.neuromorphic",
    "plan-tests": "plan_tests.plan_tests",
    "precision": "precision.precision",
    "predict": "predict.predict",
    "score": "predict.score",
    "verify-run": "verify_run.verify_run",
}
"""Module of npusim.cli and name in it of each command."""


class _Commands(click.Group):
    """Loads the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(".")
        command: click.Command = getattr(importlib.import_module(f"npusim.cli.{module}"), name)
        return command


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="npusim", prog_name="npusim")
@click.pass_context
def npusim(context: click.Context) -> None:
    """Predict how an LLM-inference chip scores on K-Perf, with the assumptions named.

    ARCH and MODEL are shipped names (npusim list archs, npusim list models), aliases or paths of your own files.
    Exit codes: 0 done, 2 a mistake in what was asked, 1 a failure of npusim itself.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line `arguments` (default: the process's own) and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments is not None:
        return exit_code(lambda: _invoke(list(arguments)))
    words = sys.argv[1:]
    try:
        with short_work(words):
            return exit_code(lambda: _invoke(words))
    except TakesTooLong:
        begin_compiled()


def _invoke(words: list[str]) -> None:
    with npusim.make_context("npusim", list(words), obj=words) as context:
        npusim.invoke(context)
