"""Attention that chooses which tokens it attends, or that attends compressed ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Indexer:
    """A small attention that scores every token, the best of which the layer attends (DeepSeek-AI, DeepSeek-V3.2).

    heads, dim: of its queries, and of the one key that it keeps of each token; chosen: tokens that are attended;
    inner: elements that its queries are made from; weighted: a weight for each head is made too; vectors: weights of
    its norms; shared: the choice is that of an earlier layer, so that it has neither products nor keys.
    """

    heads: int
    dim: int
    chosen: int
    inner: int
    weighted: bool = True
    vectors: int = 0
    shared: bool = False

    @property
    def cached(self) -> int:
        """Elements that one token leaves in its cache."""
        return 0 if self.shared else self.dim

    def parameters(self, hidden: int) -> int:
        """Its products and norms."""
        if self.shared:
            return 0
        return self.inner * self.heads * self.dim + hidden * (self.dim + self.weighted * self.heads) + self.vectors


@dataclass(frozen=True)
class Compressed:
    """DeepSeek-V4's attention: all heads share one key, which is the value too, of near tokens and of compressed ones.

    window: near tokens, kept one by one; rate: tokens that are compressed to one, 0 for none; overlap: whether each is
    made of two groups of so many; indexer: chooses among the compressed ones; groups, output_rank: of the results,
    which are projected in groups before they are joined (DeepSeek-AI, DeepSeek-V4, section 2.3).
    """

    heads: int
    head_dim: int
    query_rank: int
    window: int
    rate: int
    groups: int
    output_rank: int
    indexer: Indexer | None = None
    overlap: bool = False
    sinks: int = 1

    @property
    def kv_heads(self) -> int:
        """Heads of keys."""
        return 1

    @property
    def cached(self) -> int:
        """Elements that one token leaves in the cache for good, those of the window left out, rounded up."""
        if not self.rate:
            return 0
        entry = self.head_dim + (self.indexer.dim if self.indexer else 0)
        return -(-entry // self.rate)

    @property
    def compressor(self) -> int:
        """Columns of the projections that a compressed token is made from: keys and gates."""
        return 2 * self.head_dim * (2 if self.overlap else 1) if self.rate else 0

    @property
    def index_compressor(self) -> int:
        """The same for the keys of the indexer."""
        return 4 * self.indexer.dim if self.indexer else 0

    def matrices(self, hidden: int) -> int:
        """Parameters of the projections."""
        queries = self.query_rank * (hidden + self.heads * self.head_dim)
        results = self.output_rank * (self.heads * self.head_dim + hidden * self.groups)
        compressed = hidden * (self.compressor + self.index_compressor)
        chosen = 0
        if self.indexer:
            chosen = self.indexer.heads * (self.query_rank * self.indexer.dim + hidden)
        return queries + hidden * self.head_dim + results + compressed + chosen

    def vectors(self, hidden: int) -> int:
        """Parameters of norms, sinks and the compressors' positions."""
        norms = self.query_rank + self.head_dim + self.sinks * self.heads
        if self.rate:
            norms += self.head_dim + self.rate * self.compressor // 2
        if self.indexer:
            norms += self.indexer.dim + self.rate * self.index_compressor // 2
        return norms
