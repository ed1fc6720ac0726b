"""Speculative decoding: what a step that verifies drafts computes, what it costs, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import deploy
from npusim.mapping.lower import lower
from npusim.mapping.optable import ATTENTION, LINEAR, LM_HEAD
from npusim.mapping.plan import Plan
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision
from npusim.workload.step import decode


def test_verification_computes_every_drafted_token_and_reads_weights_once() -> None:
    model, bf16, one = load_model("llama-3.1-8b"), resolve_precision("bf16", "bf16"), Plan(1, 1)
    plain, verified = (lower(model, bf16, one, decode([1000, 500], query=query)).rows for query in (1, 4))
    for before, after in zip(plain, verified, strict=True):
        assert after["m"] == 4 * before["m"]
        if before["kind"] == LINEAR:
            assert (after["weight_bytes"], after["flops"]) == (before["weight_bytes"], 4 * before["flops"])
    head = verified[verified["op"] == LM_HEAD]
    assert head["m"] == 8, "every drafted position needs logits"
    attention, own = verified[verified["kind"] == ATTENTION][0], plain[plain["kind"] == ATTENTION][0]
    # Causal: of four new tokens at 997 ... 1000, each sees what is before it and itself.
    assert attention["pairs"] == sum(range(997, 1001)) + sum(range(497, 501))
    assert attention["kv_read_bytes"] == own["kv_read_bytes"]
    assert attention["kv_write_bytes"] == 4 * own["kv_write_bytes"]


@pytest.mark.parametrize("arch", ["h200", "rngd"])
def test_a_few_tokens_more_cost_a_small_batch_little_and_a_large_one_much(arch: str) -> None:
    engine = AnalyticEngine(deploy(arch, "llama-3.1-8b"))

    def longer(batch: int) -> float:
        times = [engine.cost(decode(np.full(batch, 1024), query=query)).time_s for query in (1, 5)]
        return times[1] / times[0]

    assert 1.0 <= longer(1) < 1.35
    assert longer(1) < longer(32) < 5.0
