"""A request of a trace, and the cells from which formats make it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple

from npusim.inputs.limits import MOST
from npusim.inputs.numbers import plain

_MOST_S = 1e11
"""Seconds: later than any clock that counts from 1970."""
_MOST_BLOCKS = 65_536
"""Blocks of a prompt."""
_MOST_ID = 2**62
"""Number of a block."""
_LONGEST_SHOWN = 40
"""Characters of a cell in a message."""
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


class TurnLink(NamedTuple):
    """chat: number of a turn of a session; parent: that of the turn whose answer it waits for, negative for none."""

    chat: int
    parent: int


class TracedRequest(NamedTuple):
    """isl, osl: tokens in and out, 0 where nothing came; time_s: when it came, by any clock, None where that is not
    told; blocks: numbers of the blocks of its prompt, equal where prompts begin alike; link: of a turn of a session,
    whose time is that after the answer to its parent where it has one."""

    isl: int
    osl: int
    time_s: float | None = None
    blocks: tuple[int, ...] = ()
    link: TurnLink | None = None


class BadCell(Exception):
    """A cell that is none: its key, and what is wrong with the mend."""

    def __init__(self, key: str, message: str) -> None:
        self.key, self.message = key, message


def tokens(key: str, value: Any) -> int:
    """A number of tokens of 0 or more. Raises BadCell."""
    number = plain(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1 or number < 0:
        raise BadCell(key, f"{_shown(value)} is no number of tokens; give whole numbers of 0 or more")
    if number > MOST:
        raise BadCell(key, f"{number:,.0f} tokens are more than a request has (at most {MOST:,})")
    return int(number)


def seconds(key: str, value: Any, unit_s: float = 1.0) -> float:
    """A time as a number of units of `unit_s` seconds. Raises BadCell."""
    number = plain(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not -_MOST_S < number * unit_s < _MOST_S:
        raise BadCell(key, f"{_shown(value)} is no time; give a number")
    return number * unit_s


def number(key: str, value: Any) -> int:
    """A whole number of 0 or more that names something. Raises BadCell."""
    if type(value) is not int or not 0 <= value < _MOST_ID:
        raise BadCell(key, f"{_shown(value)} is no number of a chat; give whole numbers of 0 or more")
    return value


def moment(key: str, text: str) -> float:
    """A date with a time of day (2023-11-16 18:15:46.68) in seconds since 1970; without a zone it is UTC.

    Raises BadCell.
    """
    try:
        found = datetime.datetime.fromisoformat(text.strip())
        since = (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise BadCell(key, f"'{text[:_LONGEST_SHOWN]}' is no time; write 2023-11-16 18:15:46.68") from error
    return since / datetime.timedelta(seconds=1)


def blocks(key: str, value: Any, isl: int, block_tokens: int) -> tuple[int, ...]:
    """Numbers of the blocks of a prompt of `isl` tokens, () where there are none. Raises BadCell."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(each) is int and 0 <= each < _MOST_ID for each in value):
        raise BadCell(key, "must be a list of whole numbers of 0 or more")
    if len(value) > _MOST_BLOCKS:
        raise BadCell(key, f"{len(value):,} blocks are more than a prompt has (at most {_MOST_BLOCKS:,})")
    if value and len(value) != -(-isl // block_tokens):
        wanted = -(-isl // block_tokens)
        raise BadCell(
            key, f"{len(value):,} blocks do not hold {isl:,} tokens; blocks of {block_tokens} give {wanted:,}"
        )
    return tuple(value)


def part(found: Mapping[str, Any], key: str) -> Any:
    """The value under a key. Raises BadCell where it is missing."""
    if key not in found:
        raise BadCell(key, "is missing; the row is cut, or another file was joined to it")
    return found[key]


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return f"'{str(value)[:_LONGEST_SHOWN]}'"
    return "what is given"
