"""What a runtime and a chip make of a step: buckets, groups of attention, paths, expansion at fetch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.mapping.deployment import Deployment
from npusim.mapping.lower import instantiate, lower, program
from npusim.mapping.optable import ATTEND, ATTENTION, LINEAR, LM_HEAD, NORM, OP_DTYPE, QKV, SAMPLE, OpTable
from npusim.mapping.specialise import (
    next_size,
    padded_batch,
    padded_chunk,
    room_for,
    specialise,
    specialise_rows,
    step_path,
)
from npusim.workload.step import Step, decode, mixed, prefill

Deploy = Callable[..., Deployment]
FURIOSA = ("rngd", "llama-3.1-8b")
SLOTS = ("h200", "llama-3.1-8b", "cuda-graph-engine")
LIBRARIES = ("linear", "attention", "vector")


def _special(deployment: Deployment, step: Step) -> OpTable:
    table = lower(deployment.model, deployment.precision, deployment.plan, step)
    return specialise(table, deployment.machine[0], deployment.runtime_record[0])


def _rows(deployed: Deploy, where: tuple[str, ...], step: Step, **options: str) -> np.ndarray:
    runtime = {"runtime": where[2]} if len(where) > 2 else {}
    return _special(deployed(where[0], where[1], **runtime, **options), step).rows


def _m(rows: np.ndarray, op: int) -> set[float]:
    return {float(row["m"]) for row in rows[rows["op"] == op]}


def _attention(rows: np.ndarray) -> list[tuple[float, float]]:
    """(context, batch) of each attention execution of one layer."""
    return [(float(row["kv"]), float(row["batch"])) for row in rows[rows["kind"] == ATTENTION]]


@pytest.mark.parametrize(("live", "padded"), [(1, 1), (2, 2), (3, 4), (5, 8), (100, 128), (129, 256), (256, 256)])
def test_a_decode_batch_runs_in_the_next_bucket(deployed: Deploy, live: int, padded: int) -> None:
    rows = _rows(deployed, FURIOSA, decode([100] * live))
    assert _m(rows, QKV) == _m(rows, LM_HEAD) == {float(padded)}
    assert _attention(rows) == [(1024.0, float(padded))]


@pytest.mark.parametrize(("cards", "live", "padded"), [(4, 2, 2), (4, 8, 32), (4, 33, 64), (1, 8, 8)])
def test_several_cards_have_batches_of_their_own(deployed: Deploy, cards: int, live: int, padded: int) -> None:
    deployment = deployed("rngd", "qwen3-32b", runtime="furiosa-llm-2026.2", cards=cards)
    assert _m(_special(deployment, decode([100] * live)).rows, QKV) == {float(padded)}


def test_attention_runs_once_for_each_context_bucket(deployed: Deploy) -> None:
    rows = _rows(deployed, FURIOSA, decode([500, 1500, 1600, 5000]))
    assert _attention(rows) == [(1024.0, 1.0), (2048.0, 2.0), (8192.0, 1.0)]
    assert _m(rows, QKV) == {4.0}
    attention = rows[rows["kind"] == ATTENTION]
    model = deployed(*FURIOSA).model
    per_token = 2 * model.kv_heads * model.head_dim * 2
    assert list(attention["kv_read_bytes"]) == [1024 * per_token, 4096 * per_token, 8192 * per_token]
    assert list(attention["kv_write_bytes"]) == [per_token, 2 * per_token, per_token]


def test_the_executions_of_one_attention_follow_each_other(deployed: Deploy) -> None:
    rows = _rows(deployed, FURIOSA, decode([500, 1500, 5000]))
    opened = np.r_[True, rows["segment"][1:] != rows["segment"][:-1]]
    assert list(rows["first_input"]) == [-1 if opens else index - 1 for index, opens in enumerate(opened)]


@given(st.lists(st.integers(1, 131072), min_size=1, max_size=60))
def test_groups_hold_every_sequence_and_no_context_is_cut(deployed: Deploy, contexts: list[int]) -> None:
    groups = _attention(_rows(deployed, FURIOSA, decode(contexts)))
    assert [kv for kv, _ in groups] == sorted({kv for kv, _ in groups})
    assert sum(batch for _, batch in groups) >= len(contexts)
    assert sum(kv * batch for kv, batch in groups) >= sum(contexts)
    assert max(kv for kv, _ in groups) >= max(contexts)


def test_a_context_beyond_the_largest_bucket_is_not_forgotten(deployed: Deploy) -> None:
    groups = _attention(_rows(deployed, FURIOSA, decode([500, 140000])))
    assert sum(batch for _, batch in groups) == 2.0
    assert max(kv for kv, _ in groups) >= 140000


def test_a_sliding_window_clips_its_bucket(deployed: Deploy) -> None:
    rows = _rows(deployed, ("rngd", "exaone-4.0-32b"), decode([5000]), cards=2)
    assert _attention(rows) == [(4096.0, 1.0)] * 3 + [(8192.0, 1.0)]
    short = _rows(deployed, ("rngd", "exaone-4.0-32b"), decode([1500]), cards=2)
    assert _attention(short) == [(2048.0, 1.0)] * 4


def test_uniform_attention_computes_every_slot_over_the_longest_context(deployed: Deploy) -> None:
    rows = _rows(deployed, SLOTS, decode([10, 300, 20], slots=16))
    assert _attention(rows) == [(512.0, 16.0)]
    assert _m(rows, QKV) == {16.0}
    assert set(rows[rows["kind"] == ATTENTION]["kv_tokens"]) == {16 * 512.0}
    assert _attention(_rows(deployed, SLOTS, decode([256], slots=4))) == [(256.0, 4.0)]
    assert _attention(_rows(deployed, SLOTS, decode([257], slots=4))) == [(512.0, 4.0)]


def test_ragged_attention_and_exact_sizes_stay_as_they_are(deployed: Deploy) -> None:
    step = mixed([100, 999], [(130, 500)])
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm")
    exact = lower(deployment.model, deployment.precision, deployment.plan, step).rows
    special = _special(deployment, step).rows
    assert set(special["library"]) == {deployment.runtime_record[0][f"{what}_library"] for what in LIBRARIES}
    special["library"] = 0
    assert (special == exact).all()


@pytest.mark.parametrize(("tokens", "padded"), [(1, 128), (128, 128), (130, 256), (1000, 1024), (1024, 1024)])
def test_a_prompt_chunk_runs_in_the_next_bucket(deployed: Deploy, tokens: int, padded: int) -> None:
    rows = _rows(deployed, FURIOSA, prefill(1, tokens))
    assert _m(rows, QKV) == {float(padded)}
    assert _m(rows, LM_HEAD) == {1.0}
    attention = rows[rows["kind"] == ATTENTION]
    assert list(attention["pairs"]) == [float(padded) ** 2]


def test_a_chunk_attends_over_the_padded_tokens_before_it(deployed: Deploy) -> None:
    rows = _rows(deployed, FURIOSA, prefill(1, 130, 430))
    assert _attention(rows) == [(384.0 + 256.0, 1.0)]


def test_prompts_share_no_attention_execution_where_chunks_are_compiled(deployed: Deploy) -> None:
    rows = _rows(deployed, FURIOSA, prefill(3, 130))
    assert _attention(rows) == [(256.0, 1.0)] * 3
    assert _m(rows, QKV) == {768.0}


def test_the_host_samples_where_the_runtime_says_so(deployed: Deploy) -> None:
    assert not _m(_rows(deployed, FURIOSA, decode([5])), SAMPLE)
    assert _m(_rows(deployed, SLOTS, decode([5], slots=3)), SAMPLE) == {3.0}


def test_padding_changes_the_bytes_of_activations_but_not_of_weights(deployed: Deploy) -> None:
    three, four = (_rows(deployed, FURIOSA, decode([100] * live)) for live in (3, 4))
    assert (three == four).all()
    deployment = deployed(*FURIOSA)
    exact = lower(deployment.model, deployment.precision, deployment.plan, decode([100] * 3)).rows
    linear = three[three["kind"] == LINEAR]
    assert list(linear["weight_bytes"]) == list(exact[exact["kind"] == LINEAR]["weight_bytes"])
    assert (linear["flops"] * 3 == exact[exact["kind"] == LINEAR]["flops"] * 4).all()


@pytest.mark.parametrize(
    ("live", "prefilling", "name"),
    [
        (1, False, "wired"),
        (2, False, "kernelwise"),
        (256, False, "kernelwise"),
        (999, False, "kernelwise"),
        (1, True, "prefill"),
    ],
)
def test_the_path_of_a_step(live: int, prefilling: bool, name: str, deployed: Deploy) -> None:
    deployment = deployed(*FURIOSA)
    index = step_path(live, prefilling, deployment.runtime_record[0])
    assert deployment.runtime.paths[index].name == name


@pytest.mark.parametrize(
    ("arch", "precision", "multiplied"),
    [
        ("rngd", "bf16", "bf16"),
        ("rngd", "fp8", "fp8"),
        ("rngd", "int8", "int8"),
        ("rngd", "w8a16", "bf16"),
        ("rngd", "w4a16", "bf16"),
        ("rngd", "mxfp4", "fp8"),
        ("h200", "fp8", "fp8"),
        ("h200", "w4a16", "bf16"),
        ("h200", "mxfp4", "bf16"),
    ],
)
def test_what_is_multiplied(deployed: Deploy, arch: str, precision: str, multiplied: str) -> None:
    rows = _rows(deployed, (arch, "llama-3.1-8b"), decode([100]), precision=precision)
    layers = rows[(rows["kind"] == LINEAR) & (rows["op"] != LM_HEAD)]
    assert {dtypes.name(row["activation_dtype"]) for row in layers} == {multiplied}
    assert dtypes.name(rows[rows["op"] == LM_HEAD][0]["activation_dtype"]) == "bf16"


def test_what_the_chip_cannot_multiply_is_the_users_mistake(
    deployed: Deploy, altered: Callable[..., Deployment]
) -> None:
    deployment = deployed("h200", "llama-3.1-8b", precision="mxfp4")
    without = deployment.machine[0]["multiplies"].copy()
    without[dtypes.MXFP4, dtypes.BF16] = dtypes.NOT_MULTIPLIED
    with pytest.raises(UserError) as caught:
        AnalyticEngine(altered(deployment, multiplies=without))
    assert (caught.value.location, caught.value.key) == ("--precision", "mxfp4")
    assert "h200 has no way to multiply mxfp4 weights with bf16 activations" in caught.value.message


@given(st.integers(1, 5000))
def test_next_size_is_the_smallest_that_holds(value: int) -> None:
    sizes = np.array([1, 4, 16, 100, 0, 0])
    chosen = next_size(value, sizes, 4)
    assert chosen >= value
    smaller = [size for size in (1.0, 4.0, 16.0, 100.0) if size < chosen] if chosen <= 100 else [chosen - 100]
    assert all(size < value for size in smaller)


def test_padding_of_nothing_is_nothing(deployed: Deploy) -> None:
    runtime = deployed(*FURIOSA).runtime_record[0]
    assert padded_batch(0, 64, runtime) == 0.0
    assert padded_chunk(1025, runtime) == 2048.0


def test_both_predecessors_are_followed_through_split_attention(deployed: Deploy) -> None:
    deployment = deployed(*FURIOSA)
    machine, runtime = deployment.machine[0], deployment.runtime_record[0]
    template = program(deployment.model, deployment.precision, deployment.plan)
    attention = int(np.flatnonzero(template["op"] == ATTEND)[0])
    first_norm = int(np.flatnonzero(template["op"] == NORM)[0])
    template["second_input"][attention + 1] = attention
    template["second_input"][attention + 2] = first_norm
    step = mixed([500, 5000], [(20, 20)])
    rows = np.zeros(2 * len(template), OP_DTYPE)
    count = instantiate(template, step.query, step.context, step.decoding, rows)
    last = int(np.flatnonzero(rows["op"] == ATTEND)[-1])
    assert [int(each) for each in rows["second_input"][last + 1 : last + 3]] == [last, first_norm]
    out = np.zeros(room_for(rows[:count], len(step.query)), OP_DTYPE)
    specialise_rows(rows[:count], step.query, step.context, step.decoding, step.slots, machine, runtime, out)
    last = int(np.flatnonzero(out["op"] == ATTEND)[-1])
    assert [int(each) for each in out["second_input"][last + 1 : last + 3]] == [last, first_norm]


MANY_EXECUTIONS = """
from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import deploy
from npusim.mapping.lower import lower
from npusim.mapping.specialise import specialise
from npusim.workload.step import decode, prefill

deployment = deploy("rngd", "llama-3.1-8b")
records = deployment.runtime_record.copy()
records["contexts"][0] = [1024 * (index + 1) for index in range(64)]
records["context_count"] = 64
wide = deployment.with_records(deployment.machine, records)
one = len(AnalyticEngine(wide).operators(decode([500]))[0].rows)
spread = decode([1024 * (index + 1) for index in range(64)])
assert len(AnalyticEngine(wide).operators(spread)[0].rows) == one + 63
assert len(AnalyticEngine(deployment).operators(prefill(40, 128))[0].rows) == one + 39
table = lower(deployment.model, deployment.precision, deployment.plan, prefill(100, 128))
assert len(specialise(table, deployment.machine[0], deployment.runtime_record[0]).rows) == one + 99
"""


MORE_SEQUENCES_THAN_ROOM = """
import numpy as np
from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import deploy

engine = AnalyticEngine(deploy("rngd", "llama-3.1-8b"), max_sequences=8)
assert len(engine.decode_run(np.full(8, 100), 8, 3, 1e9, 0, 0).times_s) == 3
try:
    engine.decode_run(np.full(9, 100), 9, 3, 1e9, 0, 0)
except ValueError as error:
    assert "8" in str(error)
else:
    raise SystemExit("nine sequences ran in room for eight")
"""


@pytest.mark.parametrize("script", [MANY_EXECUTIONS, MORE_SEQUENCES_THAN_ROOM], ids=["executions", "sequences"])
def test_nothing_is_written_beside_an_array(script: str) -> None:
    """In a process of its own, which memory that is not its own may end."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
