"""Decode steps that run in the same compiled shapes cost the same: such a step is costed once.

Where attention runs as an execution for each compiled context (grouped), a step over a few hundred sequences is one of
a few hundred shapes, in which contexts themselves do not count.
"""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.hardware.runtime_record import MAX_BUCKETS
from npusim.mapping.specialise import padded_batch

SHAPES = 1 << 8
"""Shapes that are kept; another one with the same place takes its place."""
WIDTH = 2 + MAX_BUCKETS
"""Numbers of a shape: sequences, slots, and sequences that the execution of each compiled context computes."""
_FACTOR, _PRIME = 31, (1 << 31) - 1
"""Of the polynomial that a shape's place is (Karp, Rabin 1987, IBM Journal of Research and Development 31(2))."""


@kernel
def set_shape(context, slots, runtime, shape):
    """Write the shape of a decode step into `shape`, int64 (WIDTH,). False where a context is beyond compiled ones."""
    for number in range(len(shape)):
        shape[number] = 0
    shape[0], shape[1] = len(context), slots
    for sequence in range(len(context)):
        bucket = 0
        while bucket < runtime.context_count and context[sequence] > runtime.contexts[bucket]:
            bucket += 1
        if bucket == runtime.context_count:
            return False
        shape[2 + bucket] += 1
    for bucket in range(runtime.context_count):
        members = shape[2 + bucket]
        shape[2 + bucket] = int(padded_batch(members, members, runtime))
    return True


@kernel
def place_of(shape, count):
    """Where a shape is kept among SHAPES, of which its first `count` numbers are not 0."""
    mixed = 0
    for number in range(count):
        mixed = (mixed * _FACTOR + shape[number]) % _PRIME
    return mixed % SHAPES


@kernel
def is_there(shape, kept, count):
    """Whether `kept` is this shape."""
    same = True
    for number in range(count):
        same = same and shape[number] == kept[number]
    return same
