"""Attention of a layer: keys and values of heads, or latents of them, kept of every token or of a window."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.workload.sparse import Indexer


@dataclass(frozen=True)
class Attention:
    """Multi-head, grouped-query or multi-query attention (Ainslie et al., arXiv 2305.13245).

    heads, kv_heads: of queries and of keys; head_dim, value_dim: elements of a key and of a value; window: tokens that
    a query may look back at most, 0 for all, negative for those of its own chunk of so many tokens (Llama 4).
    bias, output_bias: of q/k/v, of o; norms: weights of the norms of queries and keys, 0 for none; sinks: logits of a
    head without a key; query_rank: elements that queries are first projected to, 0 for none; gate: columns of a
    projection that gates the result; borrows: keys and values are those of an earlier layer, so that it has neither
    their projections nor a cache; joint: values are made of the projection of the keys; indexer: chooses the tokens
    that are attended.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int = 0
    bias: bool = False
    output_bias: bool = False
    norms: int = 0
    sinks: int = 0
    query_rank: int = 0
    gate: int = 0
    borrows: bool = False
    joint: bool = False
    indexer: Indexer | None = None

    @property
    def query_width(self) -> int:
        """Elements of the queries of one token."""
        return self.heads * self.head_dim

    @property
    def projected(self) -> int:
        """Columns of the projections of queries (or of what they are made from), keys, values and gate."""
        own = 0 if self.borrows else self.kv_heads * (self.head_dim + (0 if self.joint else self.value_dim))
        return (self.query_rank or self.query_width) + own + self.gate

    @property
    def result(self) -> int:
        """Elements of the heads' results of one token."""
        return self.heads * self.value_dim

    @property
    def cached(self) -> int:
        """Elements that one token leaves in the cache."""
        own = 0 if self.borrows else self.kv_heads * (self.head_dim + self.value_dim)
        return own + (self.indexer.cached if self.indexer else 0)

    def matrices(self, hidden: int) -> int:
        """Parameters of the projections."""
        return hidden * (self.projected + self.result) + self.query_rank * self.query_width

    def vectors(self, hidden: int) -> int:
        """Parameters of biases, norms of queries and keys, sinks, and the indexer."""
        further = self.norms + self.query_rank + self.sinks * self.heads
        further += self.indexer.parameters(hidden) if self.indexer else 0
        return self.bias * self.projected + self.output_bias * hidden + further


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-AI, arXiv 2405.04434). Elements of the latents and of each head.

    kv_rank: of the latent that keys and values are made from; query_rank: of the queries', 0 for none; nope, rope: of
    queries and keys without and with position; value: of values. The cache keeps kv_rank + rope elements a token.
    gate: columns of a projection that gates the result; query_gate: the product that makes the queries reads their
    latent before and after its norm, and makes a gate of the result beside them (A.X K2); window: as that of Attention;
    indexer: chooses the tokens that are attended.
    """

    kv_rank: int
    query_rank: int
    nope: int
    rope: int
    value: int
    heads: int = 0
    gate: int = 0
    window: int = 0
    indexer: Indexer | None = None
    query_gate: bool = False

    @property
    def query(self) -> int:
        """Elements of one head's query."""
        return self.nope + self.rope

    @property
    def kv_heads(self) -> int:
        """Heads of the keys and values that a prompt attends."""
        return self.heads

    @property
    def head_dim(self) -> int:
        """Elements of one head's query."""
        return self.query

    @property
    def cached(self) -> int:
        """Elements that one token leaves in one layer's cache."""
        return self.latent + (self.indexer.cached if self.indexer else 0)

    def query_inner(self, hidden: int) -> int:
        """Elements that the product that makes the queries reads."""
        return (self.query_rank or hidden) * (1 + self.query_gate)

    @property
    def query_made(self) -> int:
        """Columns of the product that makes the queries."""
        return self.heads * (self.query + self.query_gate * self.value)

    @property
    def latent(self) -> int:
        """Elements of the latent of a token."""
        return self.kv_rank + self.rope

    def matrices(self, hidden: int) -> int:
        """Parameters of the projections."""
        queries = self.query_rank * hidden + self.query_inner(hidden) * self.query_made + hidden * self.gate
        heads = self.heads * (self.kv_rank * (self.nope + self.value) + self.value * hidden)
        return queries + hidden * self.latent + heads

    def vectors(self, hidden: int) -> int:
        """Parameters of the norms of the latents, and the indexer."""
        return self.query_rank + self.kv_rank + (self.indexer.parameters(hidden) if self.indexer else 0)
