"""Reading a trace row by row, into arrays: what it takes of memory is what its requests take."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.inputs.json_text import json_tree
from npusim.inputs.limits import MOST_REQUESTS
from npusim.inputs.lines import TextLines, csv_rows
from npusim.workload.arrivals import earliest_s
from npusim.workload.traces.format import TraceCells, TraceFormat, all_trace_formats
from npusim.workload.traces.links import Links
from npusim.workload.traces.row import BadCell, TracedRequest

_NO_PROMPT, _NO_ANSWER = "no prompt token", "no output token"
"""Why a request cannot be served."""
_TEXTS = "conversations"
"""Key of ShareGPT's files, which hold texts."""


@dataclass(frozen=True, eq=False)
class Trace:
    """path, format: what was read; tokens: (isl, osl) of each request, int64 (requests, 2); times_s: when each came,
    float64, rising from 0, None where that is not told.

    blocks, block_tokens: numbers of the blocks of all prompts one after the other (int64), and tokens of a block; none
    where prompts share nothing. skipped: requests that cannot be served, by the reason. before: of a trace of sessions
    the place of the turn whose answer each one waits for, int64 (requests,), FIRST for none; times_s are then those
    after that answer, and requests are in the order of the file.
    """

    path: Path
    format: str
    tokens: np.ndarray
    times_s: np.ndarray | None
    blocks: np.ndarray
    block_tokens: int
    skipped: Mapping[str, int]
    before: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def seconds(self) -> float | None:
        """From the first request to the last one, if answers took no time where turns wait for them; None untold."""
        if self.times_s is None:
            return None
        return float((self.times_s if self.before is None else earliest_s(self.before, self.times_s)).max())


def read_trace(path: Path, most: int | None = None) -> Trace:
    """The first `most` requests of a trace (all by default), in the order in which they came.

    Raises UserError for a file of no known format, a row that is none, or more requests than a run holds.
    """
    with TextLines(path) as lines:
        form, rows = _rows(lines)
        return _read(lines, form, rows, most)


def _rows(lines: TextLines) -> tuple[TraceFormat, Iterator[TraceCells]]:
    """The format of a file, and its rows."""
    kept = (line for line in lines if line.strip())
    first = next(kept, "")
    if first.lstrip().startswith("{"):
        return _objects(lines, first, kept)
    if first.lstrip().startswith("["):
        told = "ShareGPT's texts are counted by no tokenizer here; give their" if _TEXTS in first else "give the"
        raise UserError(str(lines.path), "", f"is a list in JSON: {told} lengths, as CSV (isl,osl) or an object a line")
    return _table(lines, first)


def _objects(lines: TextLines, first: str, rest: Iterator[str]) -> tuple[TraceFormat, Iterator[TraceCells]]:
    def found(text: str) -> TraceCells:
        tree: Any = json_tree(text.strip(), str(lines.path), line=lines.number)
        if not isinstance(tree, dict):
            raise lines.mistake("", "is no JSON object; give one object a line")
        return tree

    head = found(first)

    def rows() -> Iterator[TraceCells]:
        yield head
        for text in rest:
            yield found(text)

    return _format(lines, True, frozenset(head)), rows()


def _table(lines: TextLines, first: str) -> tuple[TraceFormat, Iterator[TraceCells]]:
    def all_lines() -> Iterator[str]:
        yield first
        yield from lines

    table = csv_rows(lines, all_lines())
    header = [name.strip() for name in next(table, [])]
    form = _format(lines, False, frozenset(header))
    if len(set(header)) < len(header):
        raise lines.mistake("", "a column stands twice; the header needs one name for each column")

    def rows() -> Iterator[TraceCells]:
        for row in table:
            if len(row) != len(header):
                raise lines.mistake("", f"has {len(row)} fields instead of {len(header)}; the row is cut or broken")
            yield dict(zip(header, row, strict=True))

    return form, rows()


def _format(lines: TextLines, is_json: bool, keys: frozenset[str]) -> TraceFormat:
    for each in all_trace_formats():
        if each.is_json == is_json and each.recognises(keys):
            return each
    known = "; ".join(each.says for each in all_trace_formats())
    raise UserError(str(lines.path), "", f"is no trace that is known; known: {known}")


def _read(lines: TextLines, form: TraceFormat, rows: Iterator[TraceCells], most: int | None) -> Trace:
    isl, osl, times, blocks = array("q"), array("q"), array("d"), array("q")
    skipped: Counter[str] = Counter()
    links, untimed = Links(), 0
    wanted = MOST_REQUESTS if most is None else most
    for each in _requests(lines, form, rows, links):
        if len(isl) == wanted:
            if most is None:
                mend = f"holds more than {MOST_REQUESTS:,} requests; give --requests to serve its first ones"
                raise UserError(str(lines.path), "", mend)
            break
        if each.osl == 0 or each.isl == 0:
            skipped[_NO_ANSWER if each.osl == 0 else _NO_PROMPT] += 1
            continue
        isl.append(each.isl)
        osl.append(each.osl)
        if each.time_s is None:
            untimed += 1
        else:
            times.append(each.time_s)
        blocks.extend(each.blocks)
    if untimed and times:
        raise UserError(str(lines.path), "", f"{untimed:,} of {len(isl):,} requests have no time; give all or none")
    if not isl:
        told = f", {sum(skipped.values()):,} that cannot be" if skipped else ""
        raise UserError(str(lines.path), "", f"holds no request that can be served{told}; give a trace with some")
    return _in_order(lines.path, form, (isl, osl), times, blocks, skipped, links.before)


def _requests(lines: TextLines, form: TraceFormat, rows: Iterator[TraceCells], links: Links) -> Iterator[TracedRequest]:
    for row in rows:
        try:
            for each in form.requests(row):
                if each.link is not None:
                    links.add(each.link)
                yield each
        except BadCell as error:
            raise lines.mistake(error.key, error.message) from error


def _in_order(
    path: Path,
    form: TraceFormat,
    lengths: Sequence[array[int]],
    times: array[float],
    blocks: array[int],
    skipped: Mapping[str, int],
    before: array[int],
) -> Trace:
    """The trace by time; rows of one time stay in their order, and so do the turns of sessions."""
    tokens = np.stack([np.frombuffer(each, np.int64) for each in lengths], axis=1)
    hashed = np.frombuffer(blocks, np.int64) if blocks else np.zeros(0, np.int64)
    block_tokens = form.block_tokens if len(hashed) else 0
    if block_tokens and (-(-tokens[:, 0] // block_tokens)).sum() != len(hashed):
        raise UserError(str(path), "hash_ids", "some prompts have blocks and others none; give all or none")
    if not times:
        return Trace(path, form.says, tokens, None, hashed, block_tokens, skipped)
    moments = np.frombuffer(times, float)
    if before:
        linked = np.frombuffer(before, np.int64)[: len(tokens)]
        return Trace(path, form.says, tokens, moments, hashed, block_tokens, skipped, linked)
    order = np.argsort(moments, kind="stable")
    if block_tokens and (order[1:] < order[:-1]).any():
        parts = np.split(hashed, np.cumsum(-(-tokens[:, 0] // block_tokens))[:-1])
        hashed = np.concatenate([parts[place] for place in order.tolist()])
    moments = moments[order] - moments[order[0]]
    return Trace(path, form.says, tokens[order], moments, hashed, block_tokens, skipped)
