"""Steps that decode and read prompts: under a hybrid policy they share a graph and its weights, compiled chunks too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import Deploy
from serving_support import with_token_budget

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import LINEAR
from npusim.mapping.pieces import compiled_pieces
from npusim.workload.step import Step, decode, mixed, prefill


def _mixed(prompt: int, users: int) -> Step:
    return mixed([1000] * users, [(prompt, prompt)], users)


@pytest.fixture(scope="module")
def sharing(deployed: Deploy) -> Deployment:
    return with_token_budget(deployed("rngd", "llama-3.1-8b"), 2048)


@pytest.mark.parametrize(("prompt", "users"), [(128, 1), (512, 8), (1024, 64)])
def test_a_mixed_step_costs_less_than_its_parts(sharing: Deployment, prompt: int, users: int) -> None:
    engine = AnalyticEngine(sharing)
    both = engine.cost(_mixed(prompt, users))
    parts = [engine.cost(prefill(1, prompt)), engine.cost(decode([1000] * users))]
    assert max(part.time_s for part in parts) < both.time_s < sum(part.time_s for part in parts)
    assert both.energy_j < sum(part.energy_j for part in parts)
    rows = engine.operators(decode([1000]))[0].rows
    weights = rows[rows["kind"] == LINEAR]
    shared = (weights["repeat"] * weights["weight_bytes"]).sum()
    assert sum(part.memory_bytes for part in parts) - both.memory_bytes == pytest.approx(shared, rel=0.02)


def test_prompts_and_decoding_run_apart_under_other_policies(deployed: Deploy) -> None:
    engine = AnalyticEngine(deployed("rngd", "llama-3.1-8b"))
    parts = engine.cost(prefill(1, 512)).time_s + engine.cost(decode([1000] * 8)).time_s
    assert engine.cost(_mixed(512, 8)).time_s == pytest.approx(parts, rel=1e-12)


def test_what_does_not_fit_into_one_graph_follows(sharing: Deployment) -> None:
    runtime = sharing.runtime
    pieces = compiled_pieces(_mixed(2500, 8), runtime)
    assert [(len(piece.query), int(piece.decoding.sum())) for piece in pieces] == [(9, 8), (1, 0), (1, 0)]
    assert [int(piece.query.max()) for piece in pieces] == [1024, 1024, 452]
    wide = compiled_pieces(_mixed(128, 300), runtime)
    assert [(len(piece.query), int(piece.decoding.sum())) for piece in wide] == [(257, 256), (44, 44)]
    step = _mixed(2500, 300)
    kept = compiled_pieces(step, runtime)
    assert sum(piece.tokens for piece in kept) == step.tokens
    assert compiled_pieces(decode([5] * 3), runtime)[0].slots == 3


def test_a_policy_of_ones_own_is_read_from_the_runtime(sharing: Deployment, deployed: Deploy) -> None:
    apart = replace(sharing, runtime=deployed("rngd", "llama-3.1-8b").runtime)
    step = _mixed(512, 8)
    assert AnalyticEngine(sharing).cost(step).time_s < AnalyticEngine(apart).cost(step).time_s
