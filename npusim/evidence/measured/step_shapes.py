"""What a line of a step table says was computed: one function a way in which tables say it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from npusim.evidence.measured.step_columns import StepColumns, StepLine
from npusim.inputs.limits import MOST, MOST_BATCH
from npusim.metrics import DECODE, PREFILL

MIXED = "mixed"
_POINT = re.compile(r"(?:decode_step|prefill_chunk_([1-9]\d{0,6}))")


@dataclass(frozen=True)
class StepShape:
    """`decoding` sequences over `context` tokens each, and chunks of (new tokens, context); all hold the new tokens."""

    decoding: int
    context: int
    chunks: tuple[tuple[int, int], ...]

    @property
    def phase(self) -> str:
        if self.decoding and self.chunks:
            return MIXED
        return DECODE if self.decoding else PREFILL

    @property
    def longest(self) -> int:
        """Tokens of the longest context."""
        return max(self.context, *(context for _, context in self.chunks)) if self.chunks else self.context

    @property
    def like(self) -> str:
        """What is held out together: steps of a batch, chunks of a length, and both."""
        parts = [f"batch {self.decoding}"] if self.decoding else []
        parts += [f"chunk {self.chunks[0][0]}"] if self.chunks else []
        return f"{self.phase}, {', '.join(parts)}"

    @property
    def dimensions(self) -> dict[str, str]:
        return {
            "phase": self.phase,
            "batch": str(self.decoding or len(self.chunks)),
            "context": str(self.context or self.chunks[0][1]),
            "query": str(self.chunks[0][0] if self.chunks else 1),
        }

    def __str__(self) -> str:
        """In a few words."""
        told = [f"{self.decoding:,} decoding over {self.context:,} tokens"] if self.decoding else []
        if self.chunks:
            new, context = self.chunks[0]
            told.append(f"{len(self.chunks):,} chunk{'s' * (len(self.chunks) > 1)} of {new:,} ending at {context:,}")
        return " with ".join(told)


def decoding_alone(batch: int, context: int) -> StepShape:
    return StepShape(batch, context, ())


def chunks_alone(batch: int, new: int, context: int) -> StepShape:
    return StepShape(0, 0, ((new, context),) * batch)


def of_batch(line: StepLine) -> StepShape:
    """Sequences that are all alike: `batch` over `context` (or `past` tokens before the new ones), of `chunk` new
    tokens each; decoding where the chunk is one, 0, blank or no column, unless `phase` says it."""
    batch, new, phase = line.count("batch", MOST_BATCH), line.size("chunk", MOST), line.text("phase").lower()
    if phase not in ("", DECODE, PREFILL):
        raise line.mistake("phase", f"'{phase}' is no phase; write {DECODE} or {PREFILL}")
    if phase == DECODE and new > 1:
        raise line.mistake(
            "chunk", f"{new} tokens are more than a decoding sequence has in a step; write 1, or prefill"
        )
    key, context = _context(line, new or 1)
    if phase == PREFILL or new > 1:
        new = new or context
        _require_room(line, key, new, context)
        return chunks_alone(batch, new, context)
    return decoding_alone(batch, context)


def _context(line: StepLine, new: int) -> tuple[str, int]:
    """The column that tells the context, and its tokens, the new ones included."""
    earlier = line.size("past", MOST) + new
    if not line.columns.has("context"):
        return "past", earlier
    context = line.count("context", MOST)
    if line.text("past") and context != earlier:
        raise line.mistake("past", f"makes {earlier} tokens with the {new} new ones, the context holds {context}")
    return "context", context


def of_mixture(line: StepLine) -> StepShape:
    """`decode_batch` sequences over `context`, and a `chunk` that ends at `chunk_context`; either may be 0."""
    decoding, new = line.size("decode_batch", MOST_BATCH), line.size("chunk", MOST)
    if not decoding and not new:
        raise line.mistake("chunk", "is 0 as decode_batch is: nothing was computed; leave the row out")
    end = line.count("chunk_context", MOST) if new else 0
    _require_room(line, "chunk_context", new, end)
    return StepShape(decoding, line.count("context", MOST) if decoding else 0, ((new, end),) if new else ())


def of_point(line: StepLine) -> StepShape | None:
    """A published point: `decode_step` of `concurrency` sequences over `isl` tokens, or `prefill_chunk_N`, a chunk of N
    tokens of each that ends at `isl`; None for a figure that is no step."""
    found = _POINT.fullmatch(line.text("metric"))
    if found is None:
        return None
    batch, context = line.count("users", MOST_BATCH), line.count("prompt", MOST)
    if found[1] is None:
        return decoding_alone(batch, context)
    new = int(found[1])
    _require_room(line, "prompt", new, context)
    return chunks_alone(batch, new, context)


def _require_room(line: StepLine, key: str, new: int, context: int) -> None:
    if context < new:
        mend = "contexts hold the new tokens too; add them, or name the column `past` if it says what was there before"
        raise line.mistake(key, f"{context} tokens do not hold the {new} new ones; {mend}")


@dataclass(frozen=True)
class StepForm:
    """A way of telling steps. needs: columns, of some of which (with `|`) one is enough."""

    needs: str
    shape: Callable[[StepLine], StepShape | None]

    def missing(self, columns: StepColumns) -> list[str]:
        return [each for each in self.needs.split() if not any(columns.has(key) for key in each.split("|"))]


FORMS = (
    StepForm("decode_batch context chunk chunk_context", of_mixture),
    StepForm("metric value unit users prompt", of_point),
    StepForm("batch context|past", of_batch),
)
"""The first of which a table has all columns is its own."""
