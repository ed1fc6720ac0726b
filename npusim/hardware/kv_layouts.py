"""Orders of the KV cache's elements in memory, each a row of LAYOUTS; what one access finds in a run follows from them.

`kernels/memory.py:kv_run_bytes` has the length of a run by layout.
"""

from __future__ import annotations

LAYOUTS = {
    "kv_head_token": "all K, then all V of a block; in each, head by head, its tokens",
    "token_kv_head": "token by token: K of all heads, then V",
    "token_head_kv": "token by token, head by head: K, then V",
    "head_token_kv": "head by head of a block, token by token: K, then V",
    "best_runs": "the first of these that wastes the least of the memory's access units, as a compiler would choose",
}
"""From the outermost to the innermost index, by name in a description; the position is the code in records."""
KV_HEAD_TOKEN, TOKEN_KV_HEAD, TOKEN_HEAD_KV, HEAD_TOKEN_KV, BEST_RUNS = range(len(LAYOUTS))
