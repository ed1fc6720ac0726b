"""The order of keys and values in memory: the runs that an access finds, and the bytes that are fetched for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_support import mistake, tell
from conftest import Alter, Deploy

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.hardware.kv_layouts import (
    BEST_RUNS,
    HEAD_TOKEN_KV,
    KV_HEAD_TOKEN,
    LAYOUTS,
    TOKEN_HEAD_KV,
    TOKEN_KV_HEAD,
)
from npusim.kernels.memory import access_efficiency, kv_run_bytes
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION
from npusim.workload.step import decode

LONG = decode([8000] * 16)


def _row(deployment: Deployment) -> Any:
    rows = AnalyticEngine(deployment).operators(decode([1024]))[0].rows
    return rows[rows["kind"] == ATTENTION][0]


def _run(deployment: Deployment, layout: int) -> float:
    return float(kv_run_bytes(_row(deployment), layout, deployment.machine[0], deployment.runtime_record[0]))


def test_a_run_follows_from_the_order(deployed: Deploy, altered: Alter) -> None:
    """Llama 3.1 8B: heads of 128, 8 KV heads on 8 PEs; 16 tokens a block."""
    blocks = altered(deployed("rngd", "llama-3.1-8b"), kv_block=16.0)
    assert _run(blocks, KV_HEAD_TOKEN) == 16 * 256.0
    assert _run(blocks, HEAD_TOKEN_KV) == 16 * 512.0
    assert _run(blocks, TOKEN_KV_HEAD) == 256.0
    assert _run(blocks, TOKEN_HEAD_KV) == 512.0
    two = altered(blocks, pe_fusion=2.0, pes_beyond_fused=False)
    assert _run(two, TOKEN_KV_HEAD) == 4 * 256.0, "a PE reads four heads"
    assert _run(two, KV_HEAD_TOKEN) == 16 * 256.0, "heads are apart"


def test_a_compiler_takes_the_layout_that_wastes_least(deployed: Deploy, altered: Alter) -> None:
    for model in ("llama-3.1-8b", "qwen2.5-0.5b", "gpt-oss-20b"):
        for kv in ("bf16", "fp8"):
            for block in (1.0, 16.0):
                deployment = altered(deployed("rngd", model, kv_precision=kv), kv_block=block)
                machine = deployment.machine[0]
                found = [access_efficiency(_run(deployment, layout), machine) for layout in range(BEST_RUNS)]
                assert access_efficiency(_run(deployment, BEST_RUNS), machine) == max(found)


def _steps(deployed: Deploy, altered: Alter, layout: int) -> list[Any]:
    return [
        AnalyticEngine(altered(deployed("rngd", "llama-3.1-8b", kv_precision=kv), kv_layout=layout)).cost(LONG)
        for kv in ("bf16", "fp8")
    ]


def test_fp8_halves_the_traffic_of_the_cache_where_runs_allow(deployed: Deploy, altered: Alter) -> None:
    weights = AnalyticEngine(deployed("rngd", "llama-3.1-8b")).cost(decode([1])).memory_bytes
    wide, narrow = _steps(deployed, altered, BEST_RUNS)
    assert (narrow.memory_bytes - weights) / (wide.memory_bytes - weights) == pytest.approx(0.5, abs=0.02)
    assert narrow.time_s < 0.85 * wide.time_s
    assert narrow.energy_j < wide.energy_j
    same, nothing = _steps(deployed, altered, KV_HEAD_TOKEN)
    assert nothing.memory_bytes == pytest.approx(same.memory_bytes, rel=1e-3), "128 bytes occupy a unit of 256"
    assert nothing.time_s == pytest.approx(same.time_s, rel=1e-3)


@pytest.mark.parametrize("layout", [KV_HEAD_TOKEN, BEST_RUNS])
def test_both_engines_read_the_layout(deployed: Deploy, altered: Alter, layout: int) -> None:
    engine = AnalyticEngine(altered(deployed("rngd", "llama-3.1-8b", kv_precision="fp8"), kv_layout=layout))
    step = decode([4000] * 8)
    assert EventEngine(engine, "rngd").cost(step).time_s == pytest.approx(engine.cost(step).time_s, rel=0.04)


TOLD = """based_on: furiosa-llm-2026.3
name: told
title: keys apart from values
kv: {layout: LAYOUT}
"""


def test_a_layout_is_told_or_chosen_and_shown_with_its_range(tmp_path: Path) -> None:
    (tmp_path / "told.yaml").write_text(TOLD.replace("LAYOUT", "kv_head_token"))
    words = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "512")
    words = (*words, "--kv-precision", "fp8", "--json")
    chosen = tell(*words).json["kv_access"]
    told = tell(*words, "--runtime", tmp_path / "told.yaml").json["kv_access"]
    assert chosen == {
        "layout": "token_head_kv", "told": False, "run_bytes": 256.0, "efficiency": 1.0, "low": 0.5, "high": 1.0,
    }  # fmt: skip
    assert told == {
        "layout": "kv_head_token", "told": True, "run_bytes": 128.0, "efficiency": 0.5, "low": 0.5, "high": 1.0,
    }  # fmt: skip


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "told.yaml").write_text(TOLD.replace("LAYOUT", "sideways"))
    line = mistake(
        "step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "512",
        "--runtime", tmp_path / "told.yaml",
    )  # fmt: skip
    assert "kv.layout" in line and all(name in line for name in LAYOUTS)
