"""Parts of a decoder layer beside grouped-query attention and one MLP: experts, latent attention."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.workload.routing import UNIFORM, Skew


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in place of the MLP. Widths are elements of one expert's inner layer.

    chosen: experts that a token goes to; shared_width: of all shared experts together, 0 for none; shared_gate: the
    shared expert's output has a gate of its own; router_bias: one number an expert; biased: the experts' matrices have
    biases; skew: of the experts' popularities.
    """

    count: int
    chosen: int
    width: int
    shared_width: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    biased: bool = False
    skew: Skew = UNIFORM

    def parameters(self, hidden: int, counted: int) -> int:
        """Parameters of a layer's router, shared experts and `counted` routed experts."""
        one = 3 * hidden * self.width + self.biased * (2 * self.width + hidden)
        shared = 3 * hidden * self.shared_width + self.shared_gate * hidden
        return counted * one + shared + self.count * (hidden + self.router_bias)


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-AI, arXiv 2405.04434). Elements of the latents and of each head.

    kv_rank: of the latent that keys and values are made from; query_rank: of the queries', 0 for none; nope, rope: of
    queries and keys without and with position; value: of values. The cache keeps kv_rank + rope elements a token.
    """

    kv_rank: int
    query_rank: int
    nope: int
    rope: int
    value: int

    @property
    def query(self) -> int:
        """Elements of one head's query."""
        return self.nope + self.rope

    @property
    def cached(self) -> int:
        """Elements that one token leaves in one layer's cache."""
        return self.kv_rank + self.rope

    def parameters(self, hidden: int, heads: int) -> int:
        """Parameters of one layer's projections and of the norms of the latents."""
        inner = self.query_rank or hidden
        queries = self.query_rank * (hidden + 1) + inner * heads * self.query
        latents = hidden * self.cached + self.kv_rank
        return queries + latents + heads * self.kv_rank * (self.nope + self.value) + heads * self.value * hidden
