"""Keys and values on a GPU: what sequences share comes from the L2 cache; a last wave of blocks is not a full one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from serving_support import with_numbers

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.units.gpu.keys import kv_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, CAST, GATE_UP, LM_HEAD, NORM, OP_DTYPE, OUT, account
from npusim.serving.load import make_load, random_load
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.step import decode

Deploy = Callable[..., Deployment]
FLASH_3, CONTEXT, TOKEN = 2, 1024, 2 * 8 * 128 * 2
"""Place of the library; tokens of a sequence; bytes of a token's keys and values."""


@pytest.fixture(scope="module")
def served(deployed: Deploy) -> Deployment:
    return deployed("h200", "llama-3.1-8b", runtime="vllm-0.24", uncalibrated=True)


def _altered(machine: Any, **numbers: float) -> Any:
    records = np.array([machine])
    for name, value in numbers.items():
        records[f"gpu_attention_{name}"] = value
    return records[0]


def _row(sequences: int, common: float = 0.0) -> Any:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["library"], row["pes"] = ATTENTION, FLASH_3, 1.0
    row["heads"], row["kv_heads"], row["head_dim"], row["kv_bits"] = 32, 8, 128, 16.0
    row["activation_dtype"], row["batch"], row["m"], row["query"] = dtypes.BF16, sequences, sequences, 1.0
    row["kv"], row["kv_tokens"], row["common"] = CONTEXT, sequences * CONTEXT, common
    account(row)
    return row


def test_what_sequences_share_is_read_from_memory_once(served: Deployment) -> None:
    machine = _altered(served.machine[0], stream_per_sm=math.nan, cached_rate=1e15, stream_efficiency=math.nan)
    rate, record = stream_bandwidth(machine, 1.0), served.runtime_record[0]
    read, written = 33 * CONTEXT * TOKEN, 33 * TOKEN
    seconds, saved = kv_time(_row(33, 512.0), machine, record)
    assert saved == 32 * 512 * TOKEN
    assert seconds == pytest.approx((read + written - saved) / rate)
    assert kv_time(_row(33), machine, record) == (pytest.approx((read + written) / rate), 0.0)
    assert kv_time(_row(1, 512.0), machine, record)[1] == 0.0
    small = machine.copy()
    small["gpu_l2_capacity"] = 512 * TOKEN - 1
    assert kv_time(_row(33, 512.0), small, record)[1] == 0.0, "one layer of what is shared does not fit"


def test_all_that_is_read_passes_the_cache(served: Deployment) -> None:
    """Never slower than from memory alone, and never faster than the cache gives."""
    machine, record = _altered(served.machine[0], stream_per_sm=math.nan), served.runtime_record[0]
    alone = kv_time(_row(64), machine, record)[0]
    moved = 64 * (CONTEXT + 1) * TOKEN
    slow, fast = (_altered(machine, cached_rate=rate) for rate in (1e12, 5e12))
    assert kv_time(_row(64, 1000.0), slow, record)[0] == pytest.approx(alone)
    assert kv_time(_row(64, 1000.0), fast, record)[0] == pytest.approx(moved / 5e12)


@pytest.mark.parametrize(("sequences", "waves"), [(16, 128 / 132), (33, 2.0), (66, 4.0)])
def test_full_waves_read_at_the_rate_of_the_memory(served: Deployment, sequences: int, waves: float) -> None:
    machine, record = served.machine[0], served.runtime_record[0]
    free, bound = (_altered(machine, stream_per_sm=rate) for rate in (math.nan, 60e9))
    ratio = kv_time(_row(sequences), bound, record)[0] / kv_time(_row(sequences), free, record)[0]
    assert ratio == pytest.approx(1.0)
    assert sequences * 8 / 132 == pytest.approx(waves)


def test_a_last_wave_of_few_blocks_is_bound_by_its_sms(served: Deployment) -> None:
    """20 sequences: 160 blocks, of which 28 come second; alone they read at 28 times what an SM can."""
    machine, record = served.machine[0], served.runtime_record[0]
    rate = stream_bandwidth(machine, 1.0) * machine["gpu_attention_stream_efficiency"][FLASH_3]
    free, bound = (_altered(machine, stream_per_sm=per_sm) for per_sm in (math.nan, 60e9))
    waves, share = 160 / 132, rate / 132 / 60e9
    ratio = kv_time(_row(20), bound, record)[0] / kv_time(_row(20), free, record)[0]
    assert ratio == pytest.approx((1.0 + share) / waves)


def test_prompts_that_share_decode_faster(deployed: Deploy) -> None:
    deployment = deployed("h200", "llama-3.1-8b", runtime="vllm-0.24")
    load = make_load(1024, 32, Closed(32), 64, 0, shared=512)
    assert load.common == 512
    assert random_load(1024, 32, Closed(32), 64).common == 0
    shared = simulate(deployment, load, 0).record
    apart = simulate(deployment, random_load(1024, 32, Closed(32), 64), 0).record
    assert np.median(shared.interval_s) < 0.97 * np.median(apart.interval_s)


def test_casts_after_norms_and_activations_are_part_of_them(deployed: Deploy) -> None:
    """Of the four conversions of a layer in FP8 that of the attention's result is left; its products have a library."""
    deployment = deployed("h200", "llama-3.1-8b", precision="fp8", kv_precision="bf16", runtime="vllm-0.24")
    rows = AnalyticEngine(deployment).operators(decode([CONTEXT]))[0].rows
    casts = [index for index, row in enumerate(rows) if row["op"] == CAST]
    assert [rows[index + 1]["op"] for index in casts] == [OUT]
    library = {int(row["op"]): int(row["library"]) for row in rows}
    names = [each.name for each in deployment.system.chip.unit.linear]
    assert (names[library[GATE_UP]], names[library[LM_HEAD]]) == ("vllm-cutlass", "vllm-cublas")
    apart = deployed("h200", "llama-3.1-8b", precision="fp8", kv_precision="bf16", runtime="cuda-graph-engine")
    ops = AnalyticEngine(apart).operators(decode([CONTEXT]))[0].rows["op"].tolist()
    assert ops.count(CAST) == 4
    assert all(ops[index - 1] != NORM for index in casts)


def test_queries_are_cast_for_keys_of_8_bits(deployed: Deploy) -> None:
    for kv, layers in (("bf16", 0), ("fp8", 32)):
        plain = deployed("h200", "llama-3.1-8b", kv_precision=kv, runtime="vllm-0.24")
        none, some = (with_numbers(plain, paths_query_cast=seconds) for seconds in (math.nan, 5e-6))
        times = [AnalyticEngine(each).cost(decode([CONTEXT])).time_s for each in (none, some)]
        assert times[1] - times[0] == pytest.approx(layers * 5e-6, abs=1e-9)
