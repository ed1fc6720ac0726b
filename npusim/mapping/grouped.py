"""Tokens that each go to some of many weight matrices: how many matrices are read, and tiles of rows computed."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.workload.routing import GROUPS

_HALF_WIDTH = math.sqrt(3.0)


@kernel
def choosing_tokens(row, count):
    """Tokens that give a grouped row `count` rows: each goes to as many matrices as its chances sum to."""
    chances = 0.0
    for group in range(GROUPS):
        chances += row.popularity[group]
    return count * GROUPS / (row.matrices * chances)


@kernel
def touched_matrices(row, count):
    """Expected number of a grouped row's matrices to which one of the tokens of `count` rows goes.

    The sum of 1 - (1 - q) ** tokens, exact for tokens that choose independently of each other; where tokens are spread
    evenly, min(1, q tokens) each.
    """
    tokens = choosing_tokens(row, count)
    part = 0.0
    for group in range(GROUPS):
        chance = row.popularity[group]
        part += min(1.0, chance * tokens) if row.dealt > 0.0 else 1.0 - (1.0 - chance) ** tokens
    return row.matrices * part / GROUPS


@kernel
def row_blocks(row, tile):
    """Expected number of blocks of `tile` rows over all matrices; each matrix begins a block of its own.

    The rows of a matrix are binomial. A matrix has a first block where it is touched; the further ones follow from a
    uniform distribution of the same mean and variance, exact for many rows and for evenly spread ones.
    """
    if row.matrices <= 0.0:
        return math.ceil(row.m / tile)
    tokens = choosing_tokens(row, row.m)
    blocks = 0.0
    for group in range(GROUPS):
        chance = row.popularity[group]
        mean = chance * tokens
        if row.dealt > 0.0:
            blocks += min(1.0, mean) + max(0.0, math.ceil(mean / tile) - 1.0)
            continue
        spread = _HALF_WIDTH * math.sqrt(mean * (1.0 - chance))
        blocks += 1.0 - (1.0 - chance) ** tokens
        # Halves make the discrete count of rows a continuous one.
        if mean + spread - 0.5 > tile:
            blocks += _further_blocks(mean - 0.5, spread, tile)
    return row.matrices * blocks / GROUPS


@kernel
def _further_blocks(mean, spread, tile):
    """Mean of the blocks beyond the first, for rows uniform within `spread` of `mean`."""
    if spread < 0.5:
        return math.floor(mean / tile)
    return (_sum_of_blocks(mean + spread, tile) - _sum_of_blocks(mean - spread, tile)) / (2.0 * spread)


@kernel
def _sum_of_blocks(rows, tile):
    """Integral of floor(x / tile) from 0 to `rows`; 0 below."""
    if rows <= 0.0:
        return 0.0
    whole = math.floor(rows / tile)
    return tile * whole * (whole - 1.0) / 2.0 + (rows - whole * tile) * whole


@kernel
def joined_rows(row):
    """Rows that engines reduce after a product split over them: the experts of a token are summed first."""
    return row.m / row.fan if row.matrices > 0.0 else row.m
