"""The columns of step tables of any lab: what each says, by its spellings, and the units of times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from npusim.errors import UserError
from npusim.inputs.numbers import plain

SPELLINGS: Final = {
    "chip": ("chip",),
    "model": ("model",),
    "precision": ("precision", "dtype"),
    "kv_precision": ("kv_precision", "kv_dtype"),
    "cards": ("cards",),
    "tp": ("tp", "tp_size"),
    "regime": ("regime",),
    "phase": ("phase",),
    "batch": ("batch", "batch_size"),
    "decode_batch": ("decode_batch",),
    "context": ("context", "ctx"),
    "past": ("past", "kv_cache"),
    "chunk": ("chunk", "q_len", "query"),
    "chunk_context": ("chunk_context", "chunk_ctx"),
    "part": ("layer_name",),
    "tokens": ("input",),
    "metric": ("metric",),
    "value": ("value",),
    "unit": ("unit",),
    "users": ("concurrency",),
    "prompt": ("isl",),
}
"""context: tokens attended, new ones included, as everywhere in npusim; past: those that were there before. part,
tokens, past, tp: of LLMServingSim's tables of a layer's parts. metric, value, unit, users, prompt: of published points,
one figure a row."""
SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MICRO = str.maketrans("µμ", "uu")
_TIME = re.compile(
    r"(?:(?:(?:step|pass)_)?(?:time|latency|duration))?[ _]*[(\[]?(s|ms|us|ns)[)\]]?(?:_(?:mean|median|p50))?"
)
_NO_UNIT = re.compile(r"(?:(?:step|pass)_)?(?:time|latency|duration)(?:_(?:mean|median|p50))?")


@dataclass(frozen=True)
class Times:
    """The column of times: its name in the table, its unit, and its 5th and 95th percentile's names, "" without."""

    column: str
    unit: str
    p5: str = ""
    p95: str = ""


@dataclass(frozen=True)
class StepColumns:
    """Where a table says what. path: of the file; names: of its columns, by the keys of SPELLINGS; times: None where
    a row names the unit of its value; unread: columns that say nothing of these."""

    path: str
    names: dict[str, str]
    times: Times | None
    unread: tuple[str, ...]

    def has(self, *keys: str) -> bool:
        return all(key in self.names for key in keys)


def step_columns(header: Sequence[str], path: str) -> StepColumns:
    """The columns of a table. Raises UserError for a thing that two columns say, and for times without a unit."""
    plain_names = {name.lower().translate(_MICRO): name for name in header}
    names: dict[str, str] = {}
    for key, spellings in SPELLINGS.items():
        found = [plain_names[each] for each in spellings if each in plain_names]
        if len(found) > 1:
            raise UserError(path, found[1], f"says what {found[0]} says; leave one of these columns")
        if found:
            names[key] = found[0]
    times = None if {"metric", "value", "unit"} <= names.keys() else _times(plain_names, path)
    told = {*names.values(), *(() if times is None else (times.column, times.p5, times.p95))}
    return StepColumns(path, names, times, tuple(name for name in header if name not in told))


def _times(plain_names: dict[str, str], path: str) -> Times:
    found = [(name, match[1]) for name in plain_names if (match := _TIME.fullmatch(name))]
    if len(found) > 1:
        both = " and ".join(plain_names[name] for name, _ in found)
        raise UserError(path, "", f"has {len(found)} columns of times, {both}; leave the one that is to be fitted")
    if not found:
        bare = next((plain_names[name] for name in plain_names if _NO_UNIT.fullmatch(name)), None)
        if bare is None:
            raise UserError(path, "", "has no column of times; name one by its unit: time_us, time_ms or time_ns")
        raise UserError(path, bare, f"has no unit; name the column by it: {bare}_us, {bare}_ms or {bare}_ns")
    name, unit = found[0]
    column = plain_names[name]
    return Times(column, unit, plain_names.get(f"{name}_p5", ""), plain_names.get(f"{name}_p95", ""))


@dataclass(frozen=True)
class StepLine:
    """One line of a table. location: file and line; cells: by the table's own names."""

    columns: StepColumns
    location: str
    cells: dict[str, str]

    def text(self, key: str) -> str:
        """The cell, "" where it is blank or the table has no such column."""
        return self.cells[self.columns.names[key]].strip() if key in self.columns.names else ""

    def mistake(self, key: str, message: str) -> UserError:
        return UserError(self.location, self.columns.names.get(key, key), message)

    def count(self, key: str, most: int, least: int = 1) -> int:
        """A whole number of `least` to `most`. Raises UserError."""
        text = self.text(key)
        value = plain(text)
        if value is None or value != round(value) or not least <= value <= most:
            told = f"'{text}' is no whole number" if text else "is blank"
            raise self.mistake(key, f"{told}; write a whole number of {least} to {most:,}, or leave the row out")
        return round(value)

    def size(self, key: str, most: int) -> int:
        """As `count`, 0 where the cell is blank or 0."""
        return self.count(key, most, least=0) if self.text(key) else 0

    def time_us(self) -> float:
        """Microseconds. Raises UserError."""
        times = self.columns.times
        column, unit = (self.columns.names["value"], self.text("unit")) if times is None else (times.column, times.unit)
        if unit.lower().translate(_MICRO) not in SECONDS:
            raise self.mistake("unit", f"'{unit}' is no unit of time; write us, ms or ns")
        return self._time(column, unit.lower().translate(_MICRO))

    def percentiles_us(self) -> tuple[float | None, float | None]:
        """5th and 95th percentile of the time in microseconds, None where they are not told."""
        times = self.columns.times
        if times is None:
            return None, None
        low, high = (
            self._time(name, times.unit) if name and self.cells[name].strip() else None
            for name in (times.p5, times.p95)
        )
        return low, high

    def _time(self, column: str, unit: str) -> float:
        text = self.cells[column].strip()
        value = plain(text)
        if value is None:
            raise UserError(self.location, column, f"'{text}' is no number; write a time in {unit}")
        if value <= 0.0:
            raise UserError(self.location, column, f"{text} is no time of a step; leave the row out, or measure again")
        return value * (SECONDS[unit] / SECONDS["us"])
