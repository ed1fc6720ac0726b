"""Commands from the options of API functions: a click option for each field, and the fields whole for the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import TypeVar

import click

from npusim.api.options import Argument, Declared, Option, Options, declared_options
from npusim.publish import OutFolder
from npusim.words import ENGLISH, LANGUAGES

LANGUAGE = "npusim.language"
"""Where the context of a command holds the language of what it prints."""
_OF_FILES = "lang"
"""The field of options that tells the language of written files, and then of what is printed too."""
_Asked = TypeVar("_Asked", bound=Options)
_Command = Callable[[_Asked, bool], None]


def command(asked: type[_Asked], name: str | None = None) -> Callable[[_Command[_Asked]], click.Command]:
    """Makes a command of a function that takes its options whole, and whether its answer is to be JSON."""

    def made(function: _Command[_Asked]) -> click.Command:
        def call(as_json: bool, language: str | None = None, **given: object) -> None:
            context = click.get_current_context()
            context.meta[LANGUAGE] = language or given[_OF_FILES]
            function(asked(words=tuple(context.obj or ()), **given), as_json)

        declared = list(declared_options(asked))
        parameters = [_parameter(each) for each in declared]
        if all(each.field != _OF_FILES for each in declared):
            parameters.append(_language())
        as_json = click.Option(
            ["--json", "as_json"], is_flag=True, help="Print one JSON object on standard output and nothing else."
        )
        return click.Command(
            name or function.__name__, callback=call, params=[*parameters, as_json], help=function.__doc__
        )

    return made


def _language() -> click.Option:
    """The option of a command that writes no files in a language of theirs."""
    told = "Language of what is printed; --json and messages are in English."
    return click.Option(
        ["--lang", "language"], type=click.Choice(LANGUAGES), default=ENGLISH, show_default=True, help=told
    )


def _parameter(declared: Declared) -> click.Parameter:
    told = declared.told
    if isinstance(told, Argument):
        several = declared.many
        return click.Argument(
            [declared.field],
            metavar=told.metavar,
            nargs=-1 if several else 1,
            required=declared.default is MISSING,
            type=_type(declared),
        )
    is_flag = declared.kinds == (bool,)
    names = (
        [_spellings(declared), *declared.names[1:], declared.field] if is_flag else [*declared.names, declared.field]
    )
    kind = None if is_flag else _type(declared)
    if told.required or declared.default is MISSING:
        return click.Option(names, required=True, metavar=told.metavar, type=kind, help=told.help)
    default = declared.default
    shown = told.default or (default is not None and default is not False)
    if declared.many:
        return _repeated(declared, told, shown)
    return click.Option(
        names, is_flag=is_flag, default=default, show_default=shown, metavar=told.metavar, type=kind, help=told.help
    )


def _repeated(declared: Declared, told: Option, shown: str | bool) -> click.Option:
    """An option of words that may be given several times, each time with some more."""

    def joined(_context: click.Context, _option: click.Parameter, value: tuple[tuple[str, ...], ...]) -> object:
        return tuple(word for words in value for word in words) if value else declared.default

    return click.Option(
        [*declared.names, declared.field],
        multiple=True,
        callback=joined,
        show_default=shown,
        metavar=told.metavar,
        type=_type(declared),
        help=told.help,
    )


def _spellings(declared: Declared) -> str:
    """--name, or --name/--no-name where it is not off by default."""
    name = declared.names[0]
    return name if declared.default is False else f"{name}/{name.replace('--', '--no-', 1)}"


def _type(declared: Declared) -> click.ParamType:
    told = declared.told
    if declared.choices:
        return click.Choice(declared.choices)
    if declared.many and isinstance(told, Option):
        return _Words()
    if Path in declared.kinds:
        is_folder = isinstance(told, Option) and isinstance(told.writes, OutFolder)
        return click.Path(path_type=Path, file_okay=not is_folder)
    if int in declared.kinds and str in declared.kinds:
        return _NumberOrWord()
    for kind, made in ((str, click.STRING), (int, click.INT), (float, click.FLOAT)):
        if kind in declared.kinds:
            return made
    raise TypeError(f"{declared.field}: no type of the command line for {declared.kinds}")


class _Words(click.ParamType[tuple[str, ...]]):
    """Words with commas between them."""

    name = "words"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(word.strip() for word in str(value).split(",") if word.strip())


class _NumberOrWord(click.ParamType[int | str]):
    """A whole number, or a word."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        try:
            return int(str(value))
        except ValueError:
            return str(value)
