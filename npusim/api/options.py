"""The options of an API function: fields of one frozen dataclass, from which the command line makes its own.

A field is declared once: its type, its default, and in the annotation an `Option` (or an `Argument`) that says what it
is. Choices are a Literal. Fields without either are for Python alone.
"""

from __future__ import annotations

import inspect
import math
import types
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from npusim.api.answer import Answer
from npusim.errors import UserError
from npusim.inputs import Recording
from npusim.inputs.limits import MOST_COUNT
from npusim.manifest import build_manifest
from npusim.publish import OutFile, OutFolder

_Asked = TypeVar("_Asked", bound="Options")


def warn_of(name: str, message: str) -> None:
    """Tells that an option was given and changes nothing."""
    warnings.warn(f"{name}: {message}", stacklevel=2)


class Given:
    """Any value but the default."""


@dataclass(frozen=True)
class Option:
    """help: a sentence; names: spellings on the command line, by default the field's name; default: what applies
    without it, in words; least, most: bounds of a number; only_with: another field and the value of it with
    which this one has an effect (`Given`: any but the default), without it the option is refused, or warned of where
    `softly` (scripts pass it on everywhere); required: on the command line, though Python can do
    without; writes: the kind of output at its path, checked before any work; replayed: False
    where it says only how the work is done, so that a recorded command is run again without it.
    """

    help: str
    names: tuple[str, ...] = ()
    metavar: str | None = None
    default: str = ""
    least: float | None = None
    most: float | None = None
    only_with: tuple[str, object] | None = None
    softly: bool = False
    required: bool = False
    writes: OutFile | OutFolder | None = None
    replayed: bool = True


@dataclass(frozen=True)
class Argument:
    """A positional argument; help: a sentence, for Python."""

    help: str
    metavar: str | None = None


@dataclass(frozen=True)
class Declared:
    """A field that the command line offers.

    kinds: the types that a value has, None apart; many: it is a sequence of them; choices: all that it may be;
    default: MISSING where there is none.
    """

    field: str
    told: Option | Argument
    kinds: tuple[type, ...]
    many: bool
    choices: tuple[str, ...]
    default: object

    @property
    def names(self) -> tuple[str, ...]:
        """Its spellings on the command line."""
        if isinstance(self.told, Argument):
            return (self.told.metavar or self.field.upper(),)
        return self.told.names or (f"--{self.field.replace('_', '-')}",)

    def check(self, value: object, asked: Options) -> None:
        """Raises UserError where a value, unlike the default, cannot be or would have no effect."""
        name = self.names[0]
        if self.choices and value not in self.choices:
            raise UserError(name, str(value), f"is not known; use one of: {', '.join(self.choices)}")
        if isinstance(self.told, Argument) or value is None:
            return
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._check_number(value, name)
        if self.told.writes is not None:
            self.told.writes.require(str(value), name)
        if self.told.only_with is not None:
            self._check_effect(name, self.told.only_with, asked)

    def _check_number(self, value: float, name: str) -> None:
        least, most = self.told.least, self.told.most  # type: ignore[union-attr]
        if not math.isfinite(value):
            raise UserError(name, "", f"{value} is no number; give a finite one")
        if least is not None and value < least:
            raise UserError(name, "", f"{value} must be {least:g} or more")
        most = MOST_COUNT if most is None else most
        if value > most:
            raise UserError(name, "", f"{value:,.12g} must be at most {most:,.12g}")

    def _check_effect(self, name: str, only_with: tuple[str, object], asked: Options) -> None:
        field, wanted = only_with
        other = next(each for each in declared_options(type(asked)) if each.field == field)
        value = getattr(asked, field)
        if value != other.default if wanted is Given else value == wanted:
            return
        words = other.names[0] if wanted in (Given, True) else f"{other.names[0]} {wanted}"
        message = f"applies to {words} alone; add {words}, or leave {name} out"
        if not self.told.softly:  # type: ignore[union-attr]
            raise UserError(name, "", message)
        warn_of(name, message)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a function of the API is asked.

    words: the command line that it was read from, kept in the manifest; record: the files read for the answer.
    """

    words: tuple[str, ...] = ()
    record: Recording = field(init=False, repr=False, compare=False, default_factory=Recording)

    def __post_init__(self) -> None:
        for each in declared_options(type(self)):
            value = getattr(self, each.field)
            if value is not each.default and value != each.default:
                each.check(value, self)

    def argv(self, command: str) -> tuple[str, ...]:
        """The words after `npusim` that ask `command` for this: those that were typed, else one for each field."""
        return self.words or (*command.split(), *_written(self))

    def manifest(self, command: str, seed: int | None = None, **more: object) -> Answer:
        """What made the answer: the command, its seed (by default the option's), each file that was read, and more."""
        own = getattr(self, "seed", None)
        return build_manifest(self.argv(command), own if seed is None else seed, self.record.files, more)


_DECLARED: dict[object, tuple[Declared, ...]] = {}


def declared_options(asked: type[Options]) -> tuple[Declared, ...]:
    """The options that a class declares: arguments, then its own options, then those of its bases."""
    if asked not in _DECLARED:
        _DECLARED[asked] = _declarations(asked)
    return _DECLARED[asked]


def _declarations(asked: type[Options]) -> tuple[Declared, ...]:
    hints = get_type_hints(asked, include_extras=True)
    found = [
        _declared(field.name, told, kind, field.default)
        for field in fields(asked)
        for kind, *extras in [get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else (None,)]
        for told in extras
        if isinstance(told, Option | Argument)
    ]
    depth = {
        name: number
        for number, owner in reversed(list(enumerate(asked.__mro__)))
        for name in inspect.get_annotations(owner)
    }
    return tuple(sorted(found, key=lambda each: (isinstance(each.told, Option), depth[each.field])))


def _declared(name: str, told: Option | Argument, kind: object, default: object) -> Declared:
    parts, many = [], False
    for part in _alternatives(kind):
        is_many = get_origin(part) is Sequence
        many = many or is_many
        parts += _alternatives(get_args(part)[0]) if is_many else [part]
    choices = tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))
    kinds = tuple(part for part in parts if isinstance(part, type) and part is not types.NoneType)
    return Declared(name, told, kinds, many, choices, default)


def _alternatives(kind: object) -> list[object]:
    return list(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else [kind]


def _written(asked: Options) -> list[str]:
    """An equivalent command line, without the name of the command."""
    words: list[str] = []
    for each in declared_options(type(asked)):
        value = getattr(asked, each.field)
        if each.default is not MISSING and value == each.default:
            continue
        text = _text(value)
        if isinstance(each.told, Argument):
            words += text if each.many else [",".join(text)]
        elif isinstance(value, bool):
            words.append(each.names[0] if value else each.names[0].replace("--", "--no-", 1))
        else:
            words += [each.names[0], ",".join(text)]
    return words


def _text(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
