"""Lowering: the operators of a step, their bytes and flops against closed forms, and how plans split them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.errors import DoesNotFit, UserError
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.lower import lower, program
from npusim.mapping.optable import (
    ALL_GATHER,
    ALL_REDUCE,
    ATTENTION,
    CAST,
    COLLECTIVE,
    DOWN,
    GATE_UP,
    GATHER,
    LINEAR,
    LM_HEAD,
    OUT,
    QKV,
    SPLIT_COLUMNS,
    SPLIT_ROWS,
    attended_pairs,
    attended_tokens,
)
from npusim.mapping.plan import Plan, make_plan, shard
from npusim.workload.catalog import list_models, load_model
from npusim.workload.model import Model
from npusim.workload.precision import resolve_precision
from npusim.workload.step import Step, decode, mixed, prefill

BF16 = resolve_precision("bf16", "bf16")
ONE = Plan(1, 1)
MODELS = [model.name for model in list_models() if not model.experts and not model.latent]
LLAMA = load_model("llama-3.1-8b")


def _rows(model: Model, step: Step, plan: Plan = ONE, precision: str = "bf16", kv: str = "bf16") -> np.ndarray:
    return lower(model, resolve_precision(precision, kv), plan, step).rows


def _sum(rows: np.ndarray, field: str, kind: int | None = None) -> float:
    chosen = rows if kind is None else rows[rows["kind"] == kind]
    return float((chosen["repeat"] * chosen[field]).sum())


def _ops(rows: np.ndarray, op: int) -> np.ndarray:
    return rows[rows["op"] == op]


def _vectors(model: Model) -> int:
    """Parameters that no matrix holds: norms and biases."""
    matrices = 2 * model.hidden * (model.query_width + model.kv_width) + 3 * model.hidden * model.intermediate
    return model.layers * (model.layer_parameters - matrices) + model.hidden


@pytest.mark.parametrize("name", MODELS)
def test_a_decode_step_reads_every_parameter_once(name: str) -> None:
    model = load_model(name)
    read = _sum(_rows(model, decode([100])), "weight_bytes", LINEAR)
    table = 0 if model.tied_embeddings else model.embedding_parameters
    assert read + 2 * table == 2 * (model.parameters - _vectors(model))


@pytest.mark.parametrize("name", MODELS)
def test_ragged_decode_reads_the_kv_of_every_context(name: str) -> None:
    model = load_model(name)
    contexts = [1, 700, 5000, 30000]
    rows = _rows(model, decode(contexts))
    touched = sum(min(context, window or context) for window in model.windows for context in contexts)
    assert _sum(rows, "kv_read_bytes") == touched * 2 * model.kv_heads * model.head_dim * 2
    assert _sum(rows, "kv_write_bytes") == len(contexts) * model.layers * 2 * model.kv_heads * model.head_dim * 2


def test_an_embedding_row_is_read_for_each_token() -> None:
    assert _sum(_rows(LLAMA, decode([5, 6, 7])), "weight_bytes", GATHER) == 3 * LLAMA.hidden * 2


def test_sliding_windows_of_exaone_4_clip_three_layers_of_four() -> None:
    model = load_model("exaone-4.0-32b")
    rows = _rows(model, decode([10000]))
    attention = rows[rows["kind"] == ATTENTION]
    assert [float(row["kv_tokens"]) for row in attention] == [4096.0, 4096.0, 4096.0, 10000.0]
    assert list(attention["repeat"]) == [16] * 4
    assert model.layers - list(model.windows).count(0) == 48
    short = _rows(model, decode([4096]))
    assert set(short[short["kind"] == ATTENTION]["kv_tokens"]) == {4096.0}


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 70))
def test_pairs_and_tokens_of_windowed_causal_attention(query: int, before: int, window: int) -> None:
    positions = range(before + 1, before + query + 1)
    seen = [{key for key in range(1, at + 1) if window == 0 or key > at - window} for at in positions]
    context = float(before + query)
    assert attended_pairs(float(query), context, float(window)) == sum(len(keys) for keys in seen)
    assert attended_tokens(float(query), context, float(window)) == len(set().union(*seen))


@given(st.integers(1, 5000), st.integers(0, 100000))
def test_pairs_of_full_causal_attention(query: int, before: int) -> None:
    assert attended_pairs(float(query), float(query + before), 0.0) == query * before + query * (query + 1) / 2


@pytest.mark.parametrize(("batch", "query", "context"), [(1, 1024, None), (3, 200, None), (2, 128, 1024)])
def test_flops_of_prefill(batch: int, query: int, context: int | None) -> None:
    rows = _rows(LLAMA, prefill(batch, query, context))
    layers = LLAMA.layers * LLAMA.layer_parameters - (_vectors(LLAMA) - LLAMA.hidden)
    linear = 2.0 * layers * batch * query + 2.0 * LLAMA.embedding_parameters * batch
    before = (context or query) - query
    pairs = batch * (query * before + query * (query + 1) / 2)
    assert _sum(rows, "flops", LINEAR) == linear
    assert _sum(rows, "flops", ATTENTION) == 4.0 * pairs * LLAMA.heads * LLAMA.head_dim * LLAMA.layers
    assert _ops(rows, LM_HEAD)["m"] == batch


def test_a_mixed_step_is_one_pass_over_the_weights() -> None:
    rows = _rows(LLAMA, mixed([100, 2000, 300], [(512, 512), (64, 1000)]))
    linear = rows[(rows["kind"] == LINEAR) & (rows["op"] != LM_HEAD)]
    assert set(linear["m"]) == {3.0 + 512 + 64}
    assert _ops(rows, LM_HEAD)["m"] == 5.0
    attention = rows[rows["kind"] == ATTENTION]
    assert list(attention["decoding"]) == [1, 0]
    assert list(attention["batch"]) == [3.0, 2.0]
    assert list(attention["kv_tokens"]) == [2400.0, 1512.0]
    alone = _rows(LLAMA, decode([1])), _rows(LLAMA, prefill(1, 576))
    assert _sum(rows, "weight_bytes", LINEAR) == _sum(alone[0], "weight_bytes", LINEAR)
    assert _sum(alone[1], "weight_bytes", LINEAR) == _sum(alone[0], "weight_bytes", LINEAR)


def test_every_operator_waits_for_one_before_it_in_its_segment() -> None:
    for step in (decode([10]), mixed([10], [(20, 20)])):
        rows = _rows(load_model("exaone-4.0-32b"), step)
        assert list(np.unique(rows["segment"])) == [0, 1, 2]
        for index, row in enumerate(rows):
            opens = index == 0 or rows[index - 1]["segment"] != row["segment"]
            assert row["first_input"] == (-1 if opens else index - 1)


def test_quantised_weights_shrink_by_their_stored_bits() -> None:
    wide = _ops(_rows(LLAMA, decode([1])), GATE_UP)[0]
    for precision, bits in (("fp8", 8 + 32 / 128**2), ("int8", 8), ("w8a16", 8), ("w4a16", 4.125), ("mxfp4", 4.25)):
        rows = _rows(LLAMA, decode([1]), precision=precision)
        assert _ops(rows, GATE_UP)[0]["weight_bytes"] == pytest.approx(wide["weight_bytes"] * bits / 16)
        assert _ops(rows, LM_HEAD)[0]["weight_bits"] == 16
        assert _ops(rows, LM_HEAD)[0]["weight_dtype"] == dtypes.BF16
        casts = 4 if precision in ("fp8", "int8") else 0
        assert len(_ops(rows, CAST)) == casts


def test_an_eight_bit_cache_is_half_as_large() -> None:
    wide, narrow = (_sum(_rows(LLAMA, decode([999]), kv=kv), "kv_read_bytes") for kv in ("bf16", "fp8"))
    assert narrow == wide / 2


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_tensor_parallel_ranks_split_the_bytes(ranks: int) -> None:
    one, part = (_rows(LLAMA, decode([1000, 50]), Plan(count, count)) for count in (1, ranks))
    for field in ("weight_bytes", "flops"):
        assert _sum(part, field, LINEAR) * ranks == _sum(one, field, LINEAR)
    assert _sum(part, "kv_read_bytes") * ranks == _sum(one, "kv_read_bytes")


def test_kv_heads_replicate_where_there_are_more_ranks() -> None:
    plan = Plan(16, 16)
    assert (shard(LLAMA, plan).heads, shard(LLAMA, plan).kv_heads) == (2, 1)
    one, part = (_rows(LLAMA, decode([1000]), each) for each in (ONE, plan))
    assert _sum(part, "kv_read_bytes") * 16 == 2 * _sum(one, "kv_read_bytes")
    assert _sum(_ops(part, QKV), "weight_bytes") * 16 > _sum(_ops(one, QKV), "weight_bytes")
    assert _sum(_ops(part, OUT), "weight_bytes") * 16 == _sum(_ops(one, OUT), "weight_bytes")


def test_padded_query_heads_cost() -> None:
    model = load_model("qwen2.5-7b")
    assert model.heads == 28
    one, part = (_rows(model, decode([1000]), plan) for plan in (ONE, Plan(8, 8)))
    padded = 8 * 4 / 28
    assert _sum(_ops(part, OUT), "weight_bytes") * 8 == pytest.approx(padded * _sum(_ops(one, OUT), "weight_bytes"))
    assert _sum(part, "flops", ATTENTION) * 8 == pytest.approx(padded * _sum(one, "flops", ATTENTION))


def test_collectives_appear_with_ranks() -> None:
    assert not (_rows(LLAMA, decode([1]))["kind"] == COLLECTIVE).any()
    rows = _rows(LLAMA, decode([1] * 5), Plan(4, 4))
    reduce, gather = _ops(rows, ALL_REDUCE), _ops(rows, ALL_GATHER)
    assert float(reduce["repeat"].sum()) == 2 * LLAMA.layers
    assert set(reduce["collective_bytes"]) == {5.0 * LLAMA.hidden * 2}
    assert list(gather["collective_bytes"]) == [5.0 * LLAMA.vocab * 2]
    assert set(rows[rows["kind"] == COLLECTIVE]["ranks"]) == {4}


def test_column_and_row_parallel_products_are_told_apart() -> None:
    rows = program(LLAMA, BF16, ONE)
    assert {int(row["split"]) for op in (QKV, GATE_UP, LM_HEAD) for row in _ops(rows, op)} == {SPLIT_COLUMNS}
    assert {int(row["split"]) for op in (OUT, DOWN) for row in _ops(rows, op)} == {SPLIT_ROWS}


@pytest.mark.parametrize(
    ("cards", "ranks", "location", "message"),
    [
        (0, None, "--cards", "give 1 or more"),
        (9, None, "--cards", "rngd joins at most 8"),
        (2, 3, "--tp", "3 chips asked for, 2 are there; give 1 to 2"),
        (2, 0, "--tp", "give 1 to 2"),
    ],
)
def test_plans_that_cannot_be(cards: int, ranks: int | None, location: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_plan(load_system("rngd"), cards, ranks, LLAMA)
    assert caught.value.location == location
    assert message in caught.value.message


def test_more_chips_than_query_heads() -> None:
    with pytest.raises(UserError, match=r"8 chips are more than the 4 query heads of llama-3.1-8b; give at most that"):
        make_plan(load_system("rngd"), 8, None, replace(LLAMA, heads=4))
    assert make_plan(load_system("rngd"), 8, 4, LLAMA) == Plan(4, 4)


def test_footprint_is_the_parameters_and_the_rest_is_cache(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed("rngd", "llama-3.1-8b")
    room = deployment.require_fit(1)
    assert room.weight_bytes == 2 * LLAMA.parameters
    assert room.kv_bytes_per_token == 131072
    machine, runtime = deployment.machine[0], deployment.runtime_record[0]
    usable = machine["memory_usable_capacity"] * runtime["kv_memory_fraction"]
    assert room.available_bytes == usable - runtime["kv_reserved"] - runtime["activation_workspace"] - room.weight_bytes
    assert room.kv_tokens == pytest.approx(246079, rel=0.01)


def test_what_does_not_fit_says_how_many_cards_would_do() -> None:
    with pytest.raises(DoesNotFit) as caught:
        deploy("rngd", "llama-3.3-70b").require_fit(1024)
    assert caught.value.cards_needed == 4
    assert "4 cards would do (--cards 4)" in caught.value.message
    auto = deploy("rngd", "llama-3.3-70b", cards="auto", tokens=1024)
    assert auto.plan == Plan(4, 4)
    assert auto.require_fit(1024).kv_tokens >= 1024
    with pytest.raises(DoesNotFit, match="not even 8 cards") as caught:
        deploy("rngd", "llama-3.1-405b").require_fit(1024)
    assert caught.value.cards_needed is None


def test_steps_must_make_sense() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        decode([])
    with pytest.raises(ValueError, match="at least one new token"):
        prefill(1, 100, 50)
    assert mixed([3], [(5, 5)]).tokens == 6
