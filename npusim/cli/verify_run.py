"""`npusim verify-run`: does a recorded command still give the same tables."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import print_json, say, stdout_console


@click.command("verify-run")
@click.argument("path", metavar="MANIFEST.json")
@as_json_option
@click.pass_context
def verify_run(context: click.Context, path: str, as_json: bool) -> None:
    """Run the command of a manifest again and compare its tables, byte by byte, with those beside the manifest.

    Also takes an answer that --json printed. Exits with 1 where a table differs.
    """
    from npusim.lab.verify_run import verify_run as verify
    from npusim.manifest import build_manifest

    say("running the recorded command again")
    found = verify(Path(path))
    if as_json:
        print_json({**found.as_dict(), "manifest": build_manifest(context.obj, None, [Path(path)])})
    else:
        console = stdout_console()
        console.print(f"npusim {shlex.join(found.command)}", soft_wrap=True)
        for name in found.same:
            console.print(f"  the same: {name}")
        for name in found.different:
            console.print(f"  DIFFERENT: {name}")
        for line in found.changed:
            console.print(f"  changed since: {line}", soft_wrap=True)
    if not found.holds:
        say("the tables differ from the recorded ones")
        context.exit(1)
