"""LLMServingSim's tables of the parts of a layer, summed to steps: layer_name, input, kv_cache, tp_size, latency(ns).

`input` new tokens of one sequence over `kv_cache` earlier ones take the time of what stands before and behind the
layers once, and that of every other part once a layer. A part of which the time is part of another's stands there as
0 or 1 ns; where that is attention, of which nothing says that the other part holds it, no step can be summed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from npusim.errors import UserError
from npusim.evidence.measured.step_columns import SECONDS, StepLine
from npusim.evidence.measured.step_shapes import StepShape, chunks_alone, decoding_alone
from npusim.inputs.limits import MOST

NEEDS = ("part", "tokens", "past", "tp")
_ONCE = ("embedding", "final_layernorm", "lm_head")
_ATTENTION = "attn"
_BLANK_US = SECONDS["ns"] / SECONDS["us"]


def summed(lines: Iterable[StepLine], layers: int) -> Iterator[tuple[StepLine, StepShape, float]]:
    """The first line, the shape and the microseconds of each step of a model of so many layers. Raises UserError."""
    steps: dict[tuple[str, str, str], dict[str, StepLine]] = defaultdict(dict)
    for line in lines:
        parts = steps[line.text("tokens"), line.text("past"), line.text("tp")]
        if (before := parts.setdefault(line.text("part"), line)) is not line:
            raise line.mistake("part", f"{line.text('part')} stands at {before.location} too; leave one of the rows")
    for parts in steps.values():
        first = next(iter(parts.values()))
        times = {name: line.time_us() for name, line in parts.items()}
        for name in (*_ONCE, _ATTENTION):
            if name not in times:
                raise first.mistake("part", f"the step has no {name}; add the row, without which none can be summed")
        if times[_ATTENTION] <= _BLANK_US:
            raise UserError(
                parts[_ATTENTION].location,
                _ATTENTION,
                "has no time of its own, and no step can be summed without; give the table as TABLE.csv with --arch",
            )
        new, past = first.count("tokens", MOST), first.size("past", MOST)
        shape = decoding_alone(1, past + 1) if new == 1 else chunks_alone(1, new, past + new)
        yield first, shape, sum(time * (1 if name in _ONCE else layers) for name, time in times.items())
