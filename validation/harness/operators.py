"""Times the operators of a table in the layout of ops.csv on one NVIDIA GPU: python operators.py CASES.csv OUT.csv.

Operands rotate over at least three times the L2 cache. A case that the libraries refuse, or that does not fit, is named
on standard error and left out. Needs PyTorch (2.11 was used).
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import Call, timed_calls
from torch.nn.attention import SDPBackend, sdpa_kernel

Row = dict[str, str]

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
_LARGEST_BYTES = 12e9
_MOST_SETS = 256


def matrix(rows: int, columns: int, dtype: str) -> torch.Tensor:
    """Normal numbers of standard deviation 0.05, array (rows, columns)."""
    made = torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * 0.05
    return made.to(torch.float8_e4m3fn) if dtype == "fp8" else made


def _sets(size: float) -> range:
    """As many sets of operands of `size` bytes as fill the L2 cache three times."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return range(max(2, min(_MOST_SETS, math.ceil(3 * cache / max(size, 1)))))


def _counts(row: Row, *names: str) -> tuple[int, ...]:
    return tuple(int(float(row[name])) for name in names)


def _gemm(row: Row) -> list[Call]:
    m, n, k = _counts(row, "m", "n", "k")
    dtype = row["dtype"]
    sets = [(matrix(m, k, dtype), matrix(n, k, dtype)) for _ in _sets(n * k * (1 if dtype == "fp8" else 2))]
    if dtype != "fp8":
        return [lambda x=x, w=w: F.linear(x, w) for x, w in sets]
    one = torch.ones((), device="cuda")

    def scaled(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch._scaled_mm(x, w.t(), one, one, out_dtype=torch.bfloat16, use_fast_accum=True)

    return [lambda x=x, w=w: scaled(x, w) for x, w in sets]


def _grouped(row: Row) -> list[Call]:
    """Each token goes to `topk` of `experts` matrices at random; the note tells how many had any."""
    tokens, n, k, experts, chosen = _counts(row, "m", "n", "k", "experts", "topk")
    choices = torch.rand(tokens, experts).topk(chosen, 1).indices.flatten()
    counts = torch.bincount(choices, minlength=experts)
    touched = int((counts > 0).sum())
    row["note"] = f"{row['note'].split()[0]} hit={touched}"
    row["bytes"] = str(2 * touched * n * k + 2 * tokens * chosen * (n + k))
    offsets = counts.cumsum(0).to(device="cuda", dtype=torch.int32)
    x = matrix(tokens * chosen, k, "bf16")
    sets = _sets(2 * touched * n * k)[:6]
    weights = [matrix(experts * n, k, "bf16").view(experts, n, k).transpose(1, 2) for _ in sets]
    return [lambda w=w: torch._grouped_mm(x, w, offs=offsets) for w in weights]


def _attention(row: Row) -> list[Call]:
    batch, query, context, heads, kv_heads, size = _counts(
        row, "batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim"
    )
    backend, causal = BACKENDS[row["backend"]], row["op"] == "attn_prefill"

    def operand(tokens: int, count: int) -> torch.Tensor:
        return torch.randn(batch, count, tokens, size, device="cuda", dtype=torch.bfloat16)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)

    sets = [
        (operand(query, heads), operand(context, kv_heads), operand(context, kv_heads))
        for _ in _sets(4 * batch * context * kv_heads * size)
    ]
    return [lambda q=q, k=k, v=v: attend(q, k, v) for q, k, v in sets]


def _vector(row: Row) -> list[Call]:
    rows, columns = _counts(row, "rows", "cols")
    weight = torch.ones(columns, device="cuda", dtype=torch.bfloat16)
    does: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "rms_norm": lambda x, _: F.rms_norm(x, (columns,), weight, 1e-6),
        "add": lambda x, y: x + y,
        "silu": lambda x, _: F.silu(x),
        "softmax": lambda x, _: torch.softmax(x, -1),
    }
    sets = [
        tuple(torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        for _ in _sets(4 * rows * columns)
    ]
    return [lambda x=x, y=y: does[row["op"]](x, y) for x, y in sets]


def _copy(row: Row) -> list[Call]:
    (moved,) = _counts(row, "bytes")
    sets = [[torch.zeros(moved // 2, device="cuda", dtype=torch.uint8) for _ in range(2)] for _ in _sets(moved)]
    return [lambda source=source, target=target: target.copy_(source) for source, target in sets]


OPERATORS: dict[str, Callable[[Row], list[Call]]] = {
    "gemm": _gemm,
    **dict.fromkeys(("grouped_gemm_up", "grouped_gemm_down"), _grouped),
    **dict.fromkeys(("attn_decode", "attn_prefill", "attn_chunk"), _attention),
    **dict.fromkeys(("rms_norm", "add", "silu", "softmax"), _vector),
    "copy": _copy,
}


def main(cases: Path, out: Path) -> None:
    with cases.open() as file:
        rows = list(csv.DictReader(file))
    with out.open("w", newline="") as file, torch.no_grad():
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if float(row["bytes"] or 0) > _LARGEST_BYTES:
                print(f"left out, too large: {row}", file=sys.stderr)
                continue
            try:
                spread = timed_calls(OPERATORS[row["op"]](row))
            except RuntimeError as refusal:
                print(f"left out, {refusal}: {row}", file=sys.stderr)
                continue
            finally:
                torch.cuda.empty_cache()
            writer.writerow(row | {name: f"{value:.3f}" for name, value in asdict(spread).items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
