"""How noise adds up from block to block, to the logits.

Assumed: noises of products are independent of each other and of the signal, so that their powers add; every block adds
the same fraction s = 1 - 1/g of its power to the residual stream, where g is the growth of that stream over a block;
what noise the stream carries reaches a block's output as relative noise `carry` times as large (1: a linear block).
With n_b the noise-to-signal ratio of the stream after block b and e_b that which block b adds to its own output:

    n_b = n_(b-1) (1 - s + s carry) + s e_b

and the logits' SQNR is 1 / n. With carry 1 this is the sum over the blocks of s / SQNR_b.
"""

from __future__ import annotations

from collections.abc import Iterable

from npusim.fidelity.samples import Noise


def composed(blocks: Iterable[float], growth: float, carry: float) -> float:
    """Share of noise in the residual stream behind blocks that add these shares to their own outputs.

    growth: power of the stream after a block over that before it.
    """
    share = 1.0 - 1.0 / growth
    total = 0.0
    for added in blocks:
        total = total * (1.0 - share + share * carry) + share * added
    return total


def composed_noise(blocks: list[Noise], growth: Noise, carry: Noise) -> Noise:
    """The same with the ends of the ranges together: the least noise where the stream grows and carries least."""
    return Noise(
        composed((each.value for each in blocks), growth.value, carry.value),
        composed((each.low for each in blocks), growth.low, carry.low),
        composed((each.high for each in blocks), growth.high, carry.high),
    )
