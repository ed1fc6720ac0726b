"""Several compiled artifacts in one server: which of them runs a step.

A step runs in the artifact that computes the fewest tokens for it, padding included; of those that compute as many, in
that with the smallest compiled context, and then in the first. An artifact holds a step if its contexts reach as far as
the longest sequence, and its batches and chunks are as large; where none does, the step runs in pieces in the one with
the largest batch of those whose contexts reach farthest. The rule is assumed: the vendor publishes that shapes are
compiled ahead (swsok/heteropilot rngd_artifact_buckets.md), not how one of several artifacts is chosen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npusim.hardware.runtime import OWN_SHAPES, Artifact, BucketShapes, GroupedAttention, Runtime
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.system import System
from npusim.workload.step import Step

_SHAPES = (
    "batch_count", "batch_sizes", "chunk_count", "chunk_sizes", "tokenwise_count", "tokenwise_sizes", "context_count",
    "contexts",
)  # fmt: skip
"""Fields of a runtime's record that an artifact has of its own."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """An artifact as a server holds it. runtime: with its shapes; record: of that runtime, None for the own shapes."""

    name: str
    runtime: Runtime
    record: np.ndarray | None = None

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """Compiled batches, rising."""
        assert isinstance(self.runtime.decode_batch, BucketShapes)
        return self.runtime.decode_batch.sizes

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """Compiled chunks of prompts, rising."""
        assert isinstance(self.runtime.prefill_chunk, BucketShapes)
        return self.runtime.prefill_chunk.sizes

    @cached_property
    def contexts(self) -> tuple[int, ...]:
        """Compiled contexts, rising."""
        assert isinstance(self.runtime.attention, GroupedAttention)
        return self.runtime.attention.contexts

    def under(self, records: np.ndarray) -> np.ndarray:
        """`records` of the runtime, (1,), with the shapes of this artifact."""
        if self.record is None:
            return records
        own = records.copy()
        for name in _SHAPES:
            own[name] = self.record[name]
        return own

    def tokens(self, step: Step) -> int:
        """Tokens that it computes for a step, padding included: each chunk's, and one of each row of the batch."""
        live = int(step.decoding.sum())
        computed = self.chunks if self.runtime.tokenwise is None else self.runtime.tokenwise.sizes
        chunks = (_next(_next(new, self.chunks), computed) for new in step.query[~step.decoding].tolist())
        return sum(chunks) + (_next(live, self.batches) if live else 0)

    def holds(self, step: Step) -> bool:
        """Whether the step runs in it in one piece, its contexts aside."""
        new = step.query[~step.decoding]
        return int(step.decoding.sum()) <= self.batches[-1] and (not len(new) or int(new.max()) <= self.chunks[-1])


def loaded(runtime: Runtime, system: System) -> tuple[Loaded, ...]:
    """The artifacts of a server: the shapes of its runtime first, then the others."""
    return Loaded(OWN_SHAPES, runtime), *(_further(runtime, system, each) for each in runtime.artifacts)


def _further(runtime: Runtime, system: System, artifact: Artifact) -> Loaded:
    shapes = ("decode_batch", "prefill_chunk", "tokenwise", "attention")
    changed = {name: getattr(artifact, name) for name in shapes} | {"artifacts": ()}
    own = runtime.model_copy(update=changed)
    return Loaded(artifact.name, own, build_runtime(own, system))


def compiled_sizes(runtime: Runtime, name: str) -> tuple[int, ...]:
    """Rising sizes of a kind of shapes (decode_batch, prefill_chunk, tokenwise, attention) of all artifacts; none where
    every size runs as it is."""
    holders: tuple[Runtime | Artifact, ...] = (runtime, *runtime.artifacts)
    if name == "tokenwise":
        found = [each.tokenwise or each.prefill_chunk for each in holders]
    else:
        found = [getattr(each, name) for each in holders]
    sizes = {
        size
        for each in found
        for size in (each.sizes if isinstance(each, BucketShapes) else getattr(each, "contexts", ()))
    }
    return tuple(sorted(sizes))


def smallest(artifacts: Sequence[Loaded], step: Step) -> Loaded:
    """The artifact that runs a step."""
    if len(artifacts) == 1:
        return artifacts[0]
    longest = int(step.context.max())
    reach = min(longest, max(each.contexts[-1] for each in artifacts))
    far = [each for each in artifacts if each.contexts[-1] >= reach]
    fitting = [each for each in far if each.holds(step)]
    if not fitting:
        return max(far, key=lambda each: (each.batches[-1], each.chunks[-1]))
    return min(fitting, key=lambda each: (each.tokens(step), _next(longest, each.contexts)))


def steps_within(artifacts: Sequence[Loaded], longest: int, width: int) -> int:
    """Decode steps, the next one included, for which no compiled context ends: the same artifact runs all of them.

    longest: context of the longest sequence in the next step; width: most tokens by which it grows a step.
    """
    ends = [end for each in artifacts for end in each.contexts if end >= longest]
    return (min(ends) - longest) // width + 1 if ends else 1


def _next(value: int, sizes: Sequence[int]) -> int:
    """As `specialise.next_size`."""
    place = bisect_left(sizes, value)
    return sizes[place] if place < len(sizes) else -(-value // sizes[-1]) * sizes[-1]
