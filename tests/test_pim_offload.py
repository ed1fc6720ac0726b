"""Operators on PIM units inside a step, and designs with and without them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from cli_support import mistake, process, tell

from npusim.answers.predict import predict_step
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.explore.pim.compare import VARIANTS
from npusim.hardware.catalog import load_memory, load_system, shipped_systems
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.stream import Stream, stream_efficiency
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.footprint import footprint
from npusim.mapping.optable import ATTENTION, LINEAR, LM_HEAD, UNIT_PIM
from npusim.workload.step import decode, prefill

DESIGNS = ("lpddr6-pim", "lpddr5x-pim", "hbm-pim-card", "rngd-hbm3e-pim")
SMALL = "qwen2.5-1.5b"
INT8 = {"precision": "int8", "kv_precision": "int8"}


def under(policy: str, arch: str = "lpddr6-pim", **options: Any) -> Deployment:
    return deploy(arch, SMALL, offload=policy, **({**INT8, **options} if arch == "lpddr6-pim" else options))


def step_of(deployment: Deployment, batch: int = 1, context: int = 1024) -> dict[str, Any]:
    return predict_step(deployment, "decode", batch, context)


@pytest.mark.parametrize("arch", DESIGNS)
def test_designs_load_and_say_that_they_are_projections(arch: str) -> None:
    system = load_system(arch)
    assert not system.silicon
    assert "rojection" in system.note
    assert system.chip.pim is not None
    channels = system.chip.pim.external_bandwidth_bytes_per_s
    assert channels == pytest.approx(system.chip.memory.peak_bandwidth_bytes_per_s, rel=0.02)


@pytest.mark.parametrize(
    ("arch", "dram", "refreshes"),
    [
        ("lpddr6-pim", "lpddr6-10667", ("ab",)),
        ("lpddr5x-pim", "lpddr5x-8533", ("ab", "pb")),
        ("hbm-pim-card", "hbm2-pim-2000", ("ab",)),
    ],
)
def test_stream_rates_of_designs_are_those_of_their_memories(arch: str, dram: str, refreshes: tuple[str, ...]) -> None:
    stated = load_system(arch).chip.memory.stream_efficiency
    found = [measure_channel(load_memory(dram), Traffic(refresh=refresh)).fraction_of_peak for refresh in refreshes]
    assert min(found) * 0.98 <= stated.value <= max(found) * 1.02
    assert stated.kind == "derived" or (stated.low is not None and stated.low <= min(found))


def test_a_faster_memory_under_rngds_map_keeps_less_of_its_rate() -> None:
    mapping = load_system("rngd").chip.memory.address_map
    assert mapping is not None
    found = stream_efficiency(load_memory("hbm3e-9600-36gb"), mapping, 256, Stream.contiguous(256))
    assert load_system("rngd-hbm3e-pim").chip.memory.stream_efficiency.value == pytest.approx(found, abs=0.001)


def test_units_of_other_channels_than_the_memory_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    base = shipped_systems()["hbm-pim-card"]
    (tmp_path / base.name).write_text(base.read_text(encoding="utf-8"), encoding="utf-8")
    path.write_text("extends: hbm-pim-card\nname: mine\ntitle: mine\nchip: {pim: lpddr5x-pim}\n", encoding="utf-8")
    with pytest.raises(UserError, match="GB/s in all"):
        load_system(str(path))


@pytest.mark.parametrize("arch", DESIGNS)
def test_shares_sum_to_the_step(arch: str) -> None:
    answer = step_of(under("both", arch))
    assert sum(answer["breakdown_us"].values()) == pytest.approx(answer["time_us"])
    assert answer["breakdown_us"]["pim"] > 0.0
    assert step_of(under("none", arch))["breakdown_us"]["pim"] == 0.0


def test_an_offloaded_operator_is_never_slower_than_on_the_npu_with_two_copies() -> None:
    """With weights for both, each operator takes the faster side, so no step can lose."""
    variants = {variant.name: variant for variant in VARIANTS}
    assert variants["linear, weights twice"].weights == "copied"
    for batch in (1, 2, 4, 8, 32):
        none, copied = (variants[name].of(under("both")) for name in ("none", "linear, weights twice"))
        assert step_of(copied, batch)["time_us"] <= step_of(none, batch)["time_us"] * (1.0 + 1e-9)


def test_one_copy_of_the_weights_costs_the_host_its_layout() -> None:
    shared, none = (VARIANTS[index].of(under("both")) for index in (1, 0))
    batch = 64
    answers = [step_of(where, batch) for where in (none, shared)]
    assert answers[1]["breakdown_us"]["pim"] == 0.0
    assert answers[1]["breakdown_us"]["memory"] > 1.1 * answers[0]["breakdown_us"]["memory"]


def test_two_copies_take_their_room() -> None:
    shared, copied = VARIANTS[3].of(under("both")), VARIANTS[5].of(under("both"))
    rooms = [
        footprint(where.machine[0], where.runtime_record[0], where.model, where.precision, where.plan)
        for where in (shared, copied)
    ]
    layers = sum(
        float(row["repeat"] * row["n"] * row["k"])
        for row in AnalyticEngine(shared).template
        if row["kind"] == LINEAR and row["op"] != LM_HEAD
    )
    assert rooms[1].weight_bytes - rooms[0].weight_bytes == pytest.approx(layers)


def test_what_may_go_to_the_units() -> None:
    engine = AnalyticEngine(under("both"))
    decoding, _ = engine.operators(decode([512, 512]))
    offered = {row["op"] for row in decoding.rows if row["device"] & UNIT_PIM}
    assert LM_HEAD in offered
    assert all(row["device"] & UNIT_PIM for row in decoding.rows if row["kind"] in (LINEAR, ATTENTION))
    prompt, costs = engine.operators(prefill(1, 512, 512))
    assert not any(row["device"] & UNIT_PIM for row in prompt.rows if row["kind"] == ATTENTION)
    assert not costs["pim_s"].any()


def test_units_without_a_type_leave_it_to_the_npu() -> None:
    answer = step_of(under("both", precision="bf16", kv_precision="bf16"))
    assert answer["breakdown_us"]["pim"] == 0.0


def test_energy_of_offloaded_operators_is_below_the_host_s() -> None:
    with_units, without = (step_of(under(policy)) for policy in ("both", "none"))
    assert with_units["energy_j"] < without["energy_j"]


def test_part_of_the_head_goes_to_the_units() -> None:
    base = deploy("lpddr5x-pim", SMALL, precision="w4a8")
    assert base.runtime.offload is not None
    times = []
    for part in (0.0, 0.5, 1.0):
        head = base.runtime.offload.head.model_copy(update={"value": part})
        runtime = base.runtime.model_copy(update={"offload": base.runtime.offload.model_copy(update={"head": head})})
        times.append(
            step_of(replace(base, runtime=runtime, runtime_record=build_runtime(runtime, base.system)))["time_us"]
        )
    assert times == sorted(times, reverse=True)
    assert times[0] - times[1] == pytest.approx(times[1] - times[2], rel=0.25)


def test_comparing_writes_table_chart_and_answer(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("pim", "compare", "lpddr6-pim", SMALL, "--precision", "int8", "--kv-precision", "int8")
    load = ("--isl", "128", "--osl", "16", "--draws", "8", "--out", str(out), "--json")
    done = process(*words, *load, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["projection"] is True
    for side in ("without", "with", "gain"):
        for ranged in answer[side].values():
            assert ranged["low"] <= ranged["value"] <= ranged["high"]
    fastest = [answer[side]["output_tokens_per_s"]["high"] for side in ("with", "without")]
    assert fastest[0] > 1.2 * fastest[1], "boards are drawn without their units too"
    rates = [answer[side]["output_tokens_per_s"]["value"] for side in ("with", "without")]
    assert answer["gain"]["speedup"]["value"] == pytest.approx(rates[0] / rates[1])
    assert all(len(found) == 3 for found in answer["deciders"].values())
    swings = [each["swing"] for each in answer["deciders"]["speedup"]]
    assert swings == sorted(swings, reverse=True)
    assert {"lpddr6-pim.yaml", "lpddr5x-pim.yaml", "lpddr6-10667.yaml", "pim-server.yaml"} <= {
        item["file"] for item in answer["manifest"]["configs"]
    }
    assert sorted(path.name for path in out.iterdir()) == ["pim-compare.csv", "pim-compare.json", "pim-compare.png"]
    frame = pd.read_csv(out / "pim-compare.csv")
    assert list(frame["policy"]) == [variant.name for variant in VARIANTS]
    assert np.isfinite(frame.loc[0, "output_tokens_per_s_low"])
    assert json.loads((out / "pim-compare.json").read_text())["best_policy"] == answer["best_policy"]


def test_published_rates_of_lpddr5x_pim_lie_in_the_interval() -> None:
    """LP5X-PIM Sim (arXiv 2606.00636): Llama 3.1 8B in W4A8, 27 tokens/s without and 81 with PIM."""
    words = (
        "pim",
        "compare",
        "lpddr5x-pim",
        "llama-3.1-8b",
        "--precision",
        "w4a8",
        "--isl",
        "128",
        "--osl",
        "64",
        "--json",
    )
    answer = tell(*words).json
    for side, published in (("without", 27.0), ("with", 81.0)):
        ranged = answer[side]["output_tokens_per_s"]
        assert ranged["low"] <= published <= ranged["high"]


def test_every_sheet_of_a_projection_says_so(tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "name: one\ntitle: one\nsource: a test\narrival: closed\nrequests_per_user: 1\n"
        "points:\n  - {isl: 64, osl: 8, users: [1]}\n",
        encoding="utf-8",
    )
    out = tmp_path / "kperf"
    told = tell(
        "kperf",
        "lpddr6-pim",
        "--models",
        SMALL,
        "--grid",
        str(grid),
        "--precision",
        "int8",
        "--no-interval",
        "--out",
        str(out),
    )
    assert told.code == 0, told.err
    book = openpyxl.load_workbook(next(out.rglob("kperf.xlsx")))
    for sheet in book.worksheets:
        text = " ".join(str(cell.value) for row in sheet.iter_rows(max_row=3) for cell in row if cell.value)
        assert "PROJECTION" in text or sheet.title.endswith("measured"), "a sheet to fill in holds no prediction"


def test_mistakes_name_the_mend() -> None:
    assert "no PIM units" in mistake("pim", "compare", "rngd", SMALL)
    assert "--offload" in mistake(
        "step", "rngd", SMALL, "--phase", "decode", "--batch", "1", "--context", "64", "--offload", "both"
    )
