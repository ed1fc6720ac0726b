"""What an operator's shape asks of a unit that takes weights, keys and values as they stream by."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.mapping.grouped import row_blocks


@kernel
def matrices_of(row):
    """Weight matrices that a product reads: one, or those of its experts or heads that are touched."""
    return row.touched if row.matrices > 0.0 else 1.0


@kernel
def rows_of_each(row, granule):
    """Rows that each matrix of a product multiplies, padded to multiples of `granule`."""
    return row_blocks(row, granule) * granule / matrices_of(row)


@kernel
def vectors_of_each_key(row, edge):
    """Query vectors of one key-value head that multiply each key: of all query heads and of all new tokens that see it.

    A prompt's blocks at the diagonal are computed whole: `edge` keys of each, half of them in vain.
    """
    queries = row.pairs / row.kv_tokens
    if row.query > 1.0:
        queries = min(row.query, queries + 0.5 * min(edge, row.query))
    return row.heads / row.kv_heads * queries
