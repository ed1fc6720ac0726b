"""`npusim verify-run`: does a recorded command still give the same tables."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from npusim import api
from npusim.api.verifying import VerifyOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, stdout_console

if TYPE_CHECKING:
    from npusim.lab.verify_run import Verified


@command(VerifyOptions, "verify-run")
def verify_run(asked: VerifyOptions, as_json: bool) -> None:
    """Run the command of a manifest again and compare its tables, workbooks and pages with those beside the manifest.

    Also takes an answer that --json printed. Nothing but the installed npusim is run, on files that were recorded, and
    everything that it writes goes to a scratch folder. Exits with 1 where something differs.
    """
    say("running the recorded command again")
    found = api.verify_run.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        _print(found.found)
    if not found.found.holds:
        say("the tables differ from the recorded ones")
        click.get_current_context().exit(1)


def _print(found: Verified) -> None:
    console = stdout_console()
    console.print(f"npusim {shlex.join(found.command)}", soft_wrap=True)
    for name in found.same:
        console.print(f"  the same: {name}")
    for name in found.different:
        console.print(f"  DIFFERENT: {name}")
    for name in found.not_compared:
        console.print(f"  not compared: {name}")
    for line in found.changed:
        console.print(f"  changed since: {line}", soft_wrap=True)
