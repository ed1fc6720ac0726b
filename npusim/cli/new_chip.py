"""`npusim new-chip` and `npusim lint`: a description to begin from, and what is odd in one."""

from __future__ import annotations

import click

from npusim import api
from npusim.api.new_chips import LintOptions, NewChipOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, stdout_console


@command(NewChipOptions, "new-chip")
def new_chip(asked: NewChipOptions, as_json: bool) -> None:
    """Write NAME.yaml: all that another architecture says, each key with what it means, to be changed."""
    found = api.new_chip.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        stdout_console().print(f"Written: {found.path}.", soft_wrap=True)


@command(LintOptions)
def lint(asked: LintOptions, as_json: bool) -> None:
    """Say what is wrong or odd in the description of an architecture.

    Exits with 0 where nothing is, 1 where something is odd (outside what chips usually have), 2 where something is
    mistaken (no prediction can be made).
    """
    found = api.lint.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    else:
        console = stdout_console()
        for each in found.findings:
            place = f"{asked.path}:{each.line}" if each.line else asked.path
            told = f" (usual: {each.usual}; {each.source})" if each.usual else ""
            value = f" {each.value}:" if each.value else ""
            console.print(f"{each.level}: {place}: {each.path}:{value} {each.says}{told}", soft_wrap=True)
        if not found.findings:
            console.print(f"{asked.path}: nothing odd.", soft_wrap=True)
    if found.code:
        click.get_current_context().exit(found.code)
