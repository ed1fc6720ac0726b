"""Lowering of mixtures of experts, latent attention and windows: bytes and flops against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cli_support import tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.kernels.units.contraction_processor import further_matrices_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import Footprint, weight_bytes
from npusim.mapping.grouped import joined_rows
from npusim.mapping.lower import lower, program
from npusim.mapping.optable import (
    ABSORB,
    ATTENTION,
    CAST,
    COMBINE,
    DOWN,
    EXPERT_DOWN,
    EXPERT_UP,
    GATE_UP,
    KV_UP,
    LINEAR,
    LM_HEAD,
    NORM,
    QKV,
    ROUTER,
)
from npusim.mapping.plan import Plan
from npusim.mapping.specialise import specialise
from npusim.serving.kvcache import KvCache
from npusim.workload.catalog import list_models, load_model
from npusim.workload.model import Model
from npusim.workload.precision import resolve_precision
from npusim.workload.routing import UNIFORM
from npusim.workload.step import Step, decode, mixed, prefill

ONE = Plan(1, 1)
GPT, DEEPSEEK, QWEN = load_model("gpt-oss-120b"), load_model("deepseek-v3"), load_model("qwen3-30b-a3b")
NAMES = [model.name for model in list_models()]


def _rows(model: Model, step: Step, plan: Plan = ONE, precision: str = "bf16", kv: str = "bf16") -> np.ndarray:
    return lower(model, resolve_precision(precision, kv), plan, step).rows


def _ops(rows: np.ndarray, *ops: int) -> np.ndarray:
    return rows[np.isin(rows["op"], ops)]


def _sum(rows: np.ndarray, field: str, kind: int | None = None) -> float:
    chosen = rows if kind is None else rows[rows["kind"] == kind]
    return float((chosen["repeat"] * chosen[field]).sum())


def _uniform(model: Model) -> Model:
    assert model.experts is not None
    return replace(model, experts=replace(model.experts, skew=UNIFORM))


def _small_vectors(model: Model) -> int:
    """Biases, sinks and the norms of queries and keys, which no row of the table holds."""
    heads = model.heads * model.head_dim + 2 * model.kv_heads * model.head_dim
    each = model.attention_bias * heads + model.output_bias * model.hidden + model.sinks * model.heads
    each += 0 if model.latent else model.qk_norm * 2 * model.head_dim
    experts, total = model.experts, model.layers * each
    if experts:
        routed = sum(layer.routed for layer in model.layer_kinds)
        biases = experts.biased * (2 * experts.width + model.hidden) * experts.count
        total += routed * (biases + experts.router_bias * experts.count)
    return total


@pytest.mark.parametrize("name", NAMES)
def test_stored_bytes_are_the_parameters(name: str) -> None:
    model = load_model(name)
    stored = weight_bytes(program(model, resolve_precision("bf16", "bf16"), ONE), model, ONE)
    assert stored == 2 * (model.parameters - _small_vectors(model))


@pytest.mark.parametrize("name", [name for name in NAMES if load_model(name).experts])
def test_one_token_reads_the_active_parameters(name: str) -> None:
    model = load_model(name)
    rows = _rows(_uniform(model), decode([1]))
    norms = _ops(rows, NORM)
    read = _sum(rows, "weight_bytes", LINEAR) + 2 * float((norms["repeat"] * norms["n"]).sum())
    assert read == pytest.approx(2 * (model.active_parameters - _active_vectors(model)), rel=1e-9)


def _active_vectors(model: Model) -> int:
    assert model.experts is not None
    return _small_vectors(replace(model, experts=replace(model.experts, count=model.experts.chosen))) + (
        sum(layer.routed for layer in model.layer_kinds)
        * model.experts.router_bias
        * (model.experts.count - model.experts.chosen)
    )


def test_expert_bytes_follow_the_touched_and_macs_the_chosen() -> None:
    model = _uniform(QWEN)
    assert model.experts is not None
    matrices = 3 * model.hidden * model.experts.width
    for batch in (1, 8, 64, 1024):
        rows = _ops(_rows(model, decode([100] * batch)), EXPERT_UP, EXPERT_DOWN)
        touched = 128 * (1 - (1 - 8 / 128) ** batch)
        assert _sum(rows, "weight_bytes") == pytest.approx(model.layers * touched * matrices * 2)
        assert _sum(rows, "flops") == 2.0 * model.layers * batch * 8 * matrices


@pytest.mark.parametrize(
    ("batch", "run", "paired"), [(1, 8, 1.0), (2, 16, 1.0), (16, 128, 1.0), (17, 128, 0.0), (256, 128, 0.0)]
)
def test_a_graph_compiled_beforehand_holds_an_expert_for_each_row_or_all(
    deployed: Callable[..., Deployment], batch: int, run: int, paired: float
) -> None:
    """Eight of 128 experts a token: what tokens share is not known when the graph is made."""
    served = deployed("rngd", QWEN.name, precision="fp8", runtime="furiosa-llm-2026.2", uncalibrated=True)
    table = lower(served.model, served.precision, served.plan, decode([100] * batch))
    rows = _ops(specialise(table, served.machine[0], served.runtime_record[0]).rows, EXPERT_UP, EXPERT_DOWN)
    assert set(rows["touched"]) == {float(run)}
    assert set(rows["paired"]) == {paired}
    elements = run * rows["n"] * rows["k"]
    assert rows["weight_bytes"] == pytest.approx(elements * rows["weight_bits"] / 8)
    fixed = further_matrices_time(rows[0], served.machine[0], served.runtime_record[0], 0)
    alone = served.machine["tcp_dma_command"][0] + served.runtime_record["paths_operator_launch"][0, 0]
    assert fixed == pytest.approx((run - 1) * (alone if paired else served.machine["tcp_matrix_switch"][0]))


def test_shared_experts_run_beside_the_routed_ones() -> None:
    rows = _rows(DEEPSEEK, decode([100]))
    layer = rows[rows["segment"] == 2]
    first = int(np.flatnonzero(rows["segment"] == 2)[0])
    router, shared = _ops(layer, ROUTER)[0], _ops(layer, GATE_UP)[0]
    assert router["first_input"] == shared["first_input"] == first + int(np.flatnonzero(layer["op"] == NORM)[-1])
    combine = _ops(layer, COMBINE)[0]
    assert rows[combine["first_input"]]["op"] == EXPERT_DOWN
    assert rows[combine["second_input"]]["op"] == DOWN
    assert shared["n"] == 2 * 2048


def test_dense_first_layers_have_an_mlp() -> None:
    rows = _rows(DEEPSEEK, decode([100]))
    dense = rows[rows["segment"] == 1]
    assert set(dense["repeat"]) == {3}
    assert _ops(dense, GATE_UP)[0]["n"] == 2 * 18432
    assert not len(_ops(dense, EXPERT_UP))


def test_experts_alone_are_kept_in_the_makers_format() -> None:
    rows = _rows(GPT, decode([1]), precision="mxfp4")
    assert set(_ops(rows, EXPERT_UP, EXPERT_DOWN)["weight_bits"]) == {4.25}
    assert set(_ops(rows, QKV, ROUTER, LM_HEAD)["weight_bits"]) == {16.0}
    stored = weight_bytes(program(GPT, resolve_precision("mxfp4", "bf16"), ONE), GPT, ONE)
    experts = 36 * 128 * 3 * 2880 * 2880
    assert stored == 2 * (GPT.parameters - _small_vectors(GPT) - experts) + experts * 4.25 / 8
    assert set(_ops(_rows(QWEN, decode([1]), precision="mxfp4"), QKV)["weight_bits"]) == {4.25}


def test_mxfp4_experts_multiply_as_the_chip_expands_them(deployed: Callable[..., Deployment]) -> None:
    names = {}
    for arch, cards in (("rngd", 2), ("h200", 1)):
        made = deployed(arch, "gpt-oss-120b", precision="mxfp4", cards=cards)
        table = lower(made.model, made.precision, made.plan, decode([100]))
        rows = specialise(table, made.machine[0], made.runtime_record[0]).rows
        names[arch] = set(_ops(rows, EXPERT_UP)["activation_dtype"])
    assert names == {"rngd": {1}, "h200": {0}}


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_split_experts_by_width_or_by_number(ranks: int) -> None:
    step = decode([100] * 16)
    model = _uniform(DEEPSEEK)
    whole = _ops(_rows(model, step), EXPERT_UP, EXPERT_DOWN)
    cut = _ops(_rows(model, step, Plan(ranks, ranks)), EXPERT_UP, EXPERT_DOWN)
    spread = _ops(_rows(model, step, Plan(ranks, ranks, expert_parallel=ranks)), EXPERT_UP, EXPERT_DOWN)
    for field in ("weight_bytes", "flops"):
        assert _sum(cut, field) * ranks == pytest.approx(_sum(whole, field))
        assert _sum(spread, field) * ranks == pytest.approx(_sum(whole, field))
    assert set(spread["matrices"]) == {256 / ranks}


@pytest.mark.parametrize("heads", [1, 16, 128])
@pytest.mark.parametrize(("kv", "bits"), [("bf16", 16), ("fp8", 8)])
def test_latent_attention_in_closed_form(heads: int, kv: str, bits: int) -> None:
    model = replace(DEEPSEEK, heads=heads, kv_heads=heads)
    rows = _rows(model, decode([1000, 24]), kv=kv)
    attention = rows[rows["kind"] == ATTENTION]
    assert set(attention["kv_read_bytes"]) == {1024.0 * (512 + 64) * bits / 8}
    assert set(attention["kv_write_bytes"]) == {2.0 * (512 + 64) * bits / 8}
    assert set(attention["flops"]) == {2.0 * 1024 * heads * (576 + 512)}
    absorb = _ops(rows, ABSORB)
    assert set(absorb["flops"]) == {2.0 * 2 * heads * 128 * 512}
    assert set(absorb["weight_bytes"]) == {heads * 128.0 * 512 * 2}
    assert not len(_ops(rows, KV_UP))


def test_a_prompt_expands_the_latents_that_it_attends() -> None:
    rows = _rows(DEEPSEEK, prefill(2, 256, 1024))
    expand = _ops(rows, KV_UP)
    assert set(expand["m"]) == {2.0 * 1024}
    assert set(expand["n"]) == {128.0 * (128 + 128)}
    attention = rows[rows["kind"] == ATTENTION]
    pairs = 2 * (256 * 768 + 256 * 257 / 2)
    assert set(attention["flops"]) == {2.0 * pairs * 128 * (192 + 128)}
    assert set(attention["kv_read_bytes"]) == {0.0}
    assert set(attention["kv_write_bytes"]) == {2 * 256 * 576 * 2.0}
    assert not len(_ops(rows, ABSORB))


def test_a_mixed_step_does_both_and_waits_in_order() -> None:
    rows = _rows(DEEPSEEK, mixed([100, 200], [(64, 64)]))
    attention = rows[(rows["kind"] == ATTENTION) & (rows["segment"] == 1)]
    assert list(attention["decoding"]) == [0, 1]
    assert list(attention["kv_heads"]) == [128, 1]
    for index, row in enumerate(rows):
        for before in (row["first_input"], row["second_input"]):
            assert before < index
            assert before < 0 or rows[before]["segment"] == row["segment"]


@pytest.mark.parametrize("ranks", [1, 4, 8])
def test_every_rank_keeps_the_whole_latent(deployed: Callable[..., Deployment], ranks: int) -> None:
    made = deployed("h200", "deepseek-v3", precision="fp8", cards=8, tensor_parallel=8)
    assert made.require_fit(1).kv_bytes_per_token == 61 * 576 * 2
    rows = _rows(DEEPSEEK, decode([1000]), Plan(ranks, ranks))
    assert _sum(rows, "kv_read_bytes") == 61 * 1000 * 576 * 2


def test_narrow_activations_are_cast_once_a_token() -> None:
    rows = _rows(DEEPSEEK, decode([10] * 4), precision="fp8")
    layer = rows[rows["segment"] == 2]
    before = [layer[rank - 1] for rank in np.flatnonzero(layer["op"] == EXPERT_UP)]
    assert [(row["op"], row["m"], row["n"]) for row in before] == [(CAST, 4.0, 7168.0)]
    before = [layer[rank - 1] for rank in np.flatnonzero(layer["op"] == EXPERT_DOWN)]
    assert [(row["op"], round(row["m"], 9), row["n"]) for row in before] == [(CAST, 32.0, 2048.0)]
    assert set(_ops(layer, ABSORB)["weight_bits"]) == {16.0}


@pytest.mark.parametrize("batch", [1, 8])
def test_a_tokens_experts_are_summed_before_engines_join_them(batch: int) -> None:
    rows = _rows(GPT, decode([10] * batch), Plan(2, 2))
    down = _ops(rows, EXPERT_DOWN)[0]
    assert down["m"] == pytest.approx(4 * batch)
    assert joined_rows(down) == pytest.approx(batch)
    out = rows[np.flatnonzero(rows["kind"] == ATTENTION)[0] + 1]
    assert joined_rows(out) == batch


def test_sinks_are_counted() -> None:
    rows, without = (_rows(model, decode([300])) for model in (GPT, replace(GPT, sinks=0)))
    assert _sum(rows, "weight_bytes", ATTENTION) - _sum(without, "weight_bytes", ATTENTION) == 36 * 64 * 2
    assert _sum(rows, "flops", ATTENTION) > _sum(without, "flops", ATTENTION)


@given(
    st.integers(1, 3000), st.lists(st.tuples(st.integers(1, 900), st.integers(1, 50)), max_size=3), st.integers(1, 40)
)
def test_windowed_layers_keep_their_window(tokens: int, windowed: list[tuple[int, int]], full: int) -> None:
    windows = tuple(sorted((window, float(size)) for window, size in dict(windowed).items()))
    per_token = full + sum(size for _, size in windows)
    layers = [(10**9, float(full)), *windows]
    brute = sum(size for window, size in layers for position in range(tokens) if position < window)
    room = Footprint(0.0, per_token, float(brute), windows)
    assert room.kv_bytes(tokens) == brute
    assert room.kv_tokens == tokens
    assert Footprint(0.0, per_token, brute - 1.0, windows).kv_tokens == tokens - 1


def test_gpt_oss_keeps_half_its_layers_short(deployed: Callable[..., Deployment]) -> None:
    room = deployed("h200", "gpt-oss-120b", precision="mxfp4").require_fit(1)
    each = 2 * 8 * 64 * 2
    assert room.kv_bytes_per_token == 36 * each
    assert room.windows == ((128, 18.0 * each),)
    assert room.kv_bytes(10_000) == 18 * each * (10_000 + 128)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=20), st.integers(1, 300))
def test_blocks_of_windowed_layers_against_a_count(held: list[int], steps: int) -> None:
    block, window, share = 16, 100, 0.75
    cache = KvCache(10**7, block, False, ((window, share),))

    def count(tokens: int) -> float:
        blocks = -(-tokens // block)
        return (1 - share) * blocks + share * min(blocks, -(-window // block) + 1)

    assert [cache.blocks_for(tokens) for tokens in held] == pytest.approx([count(tokens) for tokens in held])
    grown = sum(count(tokens + steps) - count(tokens) for tokens in held)
    assert cache.growth(np.array(held), steps) == pytest.approx(grown)


@pytest.mark.parametrize("batch", ["1", "8"])
def test_heads_of_their_own_matrices_are_one_product(batch: str) -> None:
    """A load and a launch, however many heads: far below one for each of them."""
    step = ("step", "rngd", "kanana-2-30b-a3b", "--precision", "fp8", "--phase", "decode", "--context", "1024")
    told = tell(*step, "--batch", batch, "--json")
    absorbed = [op for op in told.json["ops"] if op["op"] == "absorb"]
    assert len(absorbed) == 4
    assert all(op["busy_us"]["overhead"] < 5.0 * op["repeat"] for op in absorbed)


def test_show_tells_experts_and_assumptions() -> None:
    told = tell("show", "gpt-oss-120b", "--json").json
    assert (told["parameters"], told["active_parameters"]) == (116_829_156_672, 5_132_849_472)
    assert told["config"]["experts"]["count"] == 128
    text = tell("show", "kanana-2-30b-a3b").out
    assert "assumptions.hidden_size" in text
    assert "not published" in text
