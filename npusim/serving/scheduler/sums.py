"""Sums in the order in which NumPy adds, so that the compiled server gives the bits of one that calls NumPy.

Pairwise summation: halves are summed apart, down to blocks of 128 that eight sums run through (Higham 1993, SIAM
Journal on Scientific Computing 14(4), "The accuracy of floating point summation").
"""

from __future__ import annotations

from npusim.compilation import inner_part

BLOCK = 128
"""Longest part that is not halved."""
_LANES = 8


@inner_part
def pairwise_sum(values, first, count, partial):
    """The sum of values[first : first + count] as `numpy.sum` gives it; partial: room for a sum of each depth."""
    done, waiting = 0, 0
    while True:
        begin, length, depth = 0, count, 0
        while length > BLOCK:
            half = length // 2
            half -= half % _LANES
            if done < begin + half:
                length = half
            else:
                begin, length = begin + half, length - half
            depth += 1
        total = _block_sum(values, first + begin, length)
        done = begin + length
        while depth > 0 and (waiting >> depth) & 1:
            total = partial[depth] + total
            waiting ^= 1 << depth
            depth -= 1
        if depth == 0:
            return total
        partial[depth] = total
        waiting ^= 1 << depth


@inner_part
def _block_sum(values, first, count):
    if count < _LANES:
        total = 0.0
        for place in range(first, first + count):
            total += values[place]
        return total
    a, b, c, d = values[first], values[first + 1], values[first + 2], values[first + 3]
    e, f, g, h = values[first + 4], values[first + 5], values[first + 6], values[first + 7]
    place = first + _LANES
    while place < first + count - count % _LANES:
        a, b, c, d = a + values[place], b + values[place + 1], c + values[place + 2], d + values[place + 3]
        e, f, g, h = e + values[place + 4], f + values[place + 5], g + values[place + 6], h + values[place + 7]
        place += _LANES
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    while place < first + count:
        total += values[place]
        place += 1
    return total
