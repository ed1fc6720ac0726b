"""A decoder with random weights: fused norms, rotary embedding and activation; products over all tokens together."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from operators import matrix
from torch.nn.attention.bias import causal_lower_right

Caches = list[tuple[torch.Tensor, torch.Tensor]]

_LARGEST_FP8 = 448.0

torch._dynamo.config.recompile_limit = 256


class Shape(NamedTuple):
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocabulary: int
    head_norms: bool


class Sequences(NamedTuple):
    """`count` sequences of `query` new tokens each, the last of `context`."""

    count: int
    query: int
    context: int


class Inputs(NamedTuple):
    """Token numbers; of the last token of each sequence, its place; rotations of each token."""

    tokens: torch.Tensor
    last: torch.Tensor
    cosine: torch.Tensor


SHAPES = {
    "llama-3.1-8b": Shape(4096, 32, 32, 8, 128, 14336, 128256, False),
    "qwen3-8b": Shape(4096, 36, 32, 8, 128, 12288, 151936, True),
    "qwen3-32b": Shape(5120, 64, 64, 8, 128, 25600, 151936, True),
}


@torch.compile(dynamic=False)
def norm_residual(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    total = x + residual
    return _normal(total) * weight, total


@torch.compile(dynamic=False)
def head_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return _normal(x) * weight


@torch.compile(dynamic=False)
def rotate(q: torch.Tensor, k: torch.Tensor, cosine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _turn(q, cosine), _turn(k, cosine)


@torch.compile(dynamic=False)
def gate(x: torch.Tensor) -> torch.Tensor:
    one, two = x.chunk(2, -1)
    return F.silu(one) * two


@torch.compile(dynamic=False)
def to_fp8(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(-_LARGEST_FP8, _LARGEST_FP8).to(torch.float8_e4m3fn)


def _normal(x: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def _turn(x: torch.Tensor, cosine: torch.Tensor) -> torch.Tensor:
    one, two = x.chunk(2, -1)
    return torch.cat((one * cosine - two * cosine, two * cosine + one * cosine), -1)


class Decoder:
    """dtype: bf16, or fp8 for the layers' products, whose inputs are cast under a scale of one."""

    def __init__(self, name: str, dtype: str) -> None:
        self.name, self.dtype, self.shape = name, dtype, SHAPES[name]
        shape = self.shape
        self.embedding = matrix(shape.vocabulary, shape.hidden, "bf16")
        self.head = matrix(shape.vocabulary, shape.hidden, "bf16")
        self.layers = [
            (
                matrix((shape.heads + 2 * shape.kv_heads) * shape.head_dim, shape.hidden, dtype),
                matrix(shape.hidden, shape.heads * shape.head_dim, dtype),
                matrix(2 * shape.width, shape.hidden, dtype),
                matrix(shape.hidden, shape.width, dtype),
            )
            for _ in range(shape.layers)
        ]
        self.weight = torch.ones(shape.hidden, device="cuda", dtype=torch.bfloat16)
        self.head_weight = torch.ones(shape.head_dim, device="cuda", dtype=torch.bfloat16)
        self.scale = torch.ones((), device="cuda")

    def caches(self, sequences: Sequences) -> Caches:
        """Keys and values of each layer, arrays (count, kv_heads, context, head_dim)."""
        size = (sequences.count, self.shape.kv_heads, sequences.context, self.shape.head_dim)
        one = lambda: torch.randn(size, device="cuda", dtype=torch.bfloat16)  # noqa: E731
        return [(one(), one()) for _ in range(self.shape.layers)]

    def inputs(self, sequences: list[Sequences]) -> Inputs:
        counts = [part.query for part in sequences for _ in range(part.count)]
        total = sum(counts)
        return Inputs(
            torch.randint(0, 1000, (total,), device="cuda"),
            torch.tensor(counts, device="cuda").cumsum(0) - 1,
            torch.ones(total, 1, self.shape.head_dim // 2, device="cuda", dtype=torch.bfloat16),
        )

    def forward(self, sequences: list[Sequences], caches: list[Caches], inputs: Inputs) -> torch.Tensor:
        """Logits of the last token of each sequence."""
        shape = self.shape
        x = F.embedding(inputs.tokens, self.embedding)
        residual = torch.zeros_like(x)
        for index, (qkv_weight, out_weight, up_weight, down_weight) in enumerate(self.layers):
            x, residual = norm_residual(x, residual, self.weight)
            qkv = self._linear(x, qkv_weight).view(len(x), -1, shape.head_dim)
            q, k, v = qkv.split([shape.heads, shape.kv_heads, shape.kv_heads], 1)
            if shape.head_norms:
                q, k = head_norm(q, self.head_weight), head_norm(k, self.head_weight)
            q, k = rotate(q, k, inputs.cosine)
            parts = self._attend(sequences, [cache[index] for cache in caches], q, k, v)
            x = self._linear(torch.cat(parts) if len(parts) > 1 else parts[0], out_weight)
            x, residual = norm_residual(x, residual, self.weight)
            x = self._linear(gate(self._linear(x, up_weight)), down_weight)
        x, _ = norm_residual(x[inputs.last], residual[inputs.last], self.weight)
        return F.linear(x, self.head)

    def _attend(
        self,
        sequences: list[Sequences],
        caches: Caches,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Attention of each part over its own cache, to which its new keys and values are written first."""
        done, first = [], 0
        for part, (keys, values) in zip(sequences, caches, strict=True):
            here = slice(first, first + part.count * part.query)
            new = [x[here].view(part.count, part.query, -1, x.shape[-1]).transpose(1, 2) for x in (q, k, v)]
            keys[:, :, -part.query :].copy_(new[1])
            values[:, :, -part.query :].copy_(new[2])
            mask = causal_lower_right(part.query, part.context) if part.query > 1 else None
            out = F.scaled_dot_product_attention(new[0], keys, values, attn_mask=mask, enable_gqa=True)
            done.append(out.transpose(1, 2).reshape(part.count * part.query, -1))
            first = here.stop
        return done

    def _linear(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.dtype != "fp8":
            return F.linear(x, weight)
        return torch._scaled_mm(
            to_fp8(x), weight.t(), self.scale, self.scale, out_dtype=torch.bfloat16, use_fast_accum=True
        )
