"""Served runs: clients, scheduling policies, KV cache, figures and their intervals."""
