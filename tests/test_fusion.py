"""PEs: how many a compiler fuses, which of them exist, and how they sum their partial results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import mistake, tell
from conftest import Alter, Deploy

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.hardware.reductions import MEMORY, RING, TOPOLOGIES, TREE, TWO_LEVEL, reduction_traffic
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.units.contraction_processor.fusion import clusters_at_work, fusions
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.mapping.deployment import Deployment
from npusim.workload.step import decode, prefill

US = 1e-6


@pytest.fixture(scope="module")
def llama(deployed: Deploy) -> Deployment:
    return deployed("rngd", "llama-3.1-8b")


def _free(alter: Alter, deployment: Deployment, **values: float) -> Deployment:
    """The deployment whose runtime leaves the fusion to its compiler."""
    return alter(deployment, pe_fusion=math.nan, **values)


def _sizes(deployment: Deployment) -> list[float]:
    sizes = np.zeros(64)
    return sorted(sizes[: fusions(deployment.machine[0], deployment.runtime_record[0], sizes)].tolist())


def test_no_more_pes_work_than_exist(llama: Deployment, altered: Alter) -> None:
    half = AnalyticEngine(altered(llama, tcp_clusters=1.0))
    whole = AnalyticEngine(llama)
    assert half.cost(decode([1024])).pes == 4
    assert whole.cost(decode([1024])).pes == 8
    heavy = prefill(1, 1024)
    one, two = half.cost(heavy), whole.cost(heavy)
    peak = 2.0 * 4 * 64 * 256 * 1e9
    assert one.flops / one.time_s < peak
    assert two.time_s < one.time_s


def test_a_runtime_that_fixes_the_fusion_leaves_the_rest_idle(llama: Deployment, altered: Alter) -> None:
    wide = altered(llama, tcp_pes_per_cluster=8.0, reduction_topology=TREE)
    assert AnalyticEngine(altered(wide, pes_beyond_fused=False)).cost(decode([1024])).pes == 8
    assert AnalyticEngine(wide).cost(decode([1024])).pes == 16


def test_twice_the_clusters_pes_or_slices_are_used(llama: Deployment, altered: Alter) -> None:
    step = prefill(1, 1024)
    base = AnalyticEngine(llama).cost(step)
    for name in ("tcp_clusters", "tcp_pes_per_cluster", "tcp_slices_per_pe"):
        twice = altered(llama, **{name: 2.0 * float(llama.machine[0][name])}, reduction_topology=TREE)
        assert AnalyticEngine(twice).cost(step).time_s < 0.75 * base.time_s, name


def test_what_can_be_fused_on_a_chip_can_be_fused_on_a_larger_one(llama: Deployment, altered: Alter) -> None:
    for clusters in (1.0, 2.0, 3.0, 5.0, 8.0):
        before: set[float] = set()
        for pes in range(1, 24):
            sizes = set(_sizes(_free(altered, llama, tcp_clusters=clusters, tcp_pes_per_cluster=float(pes))))
            assert before <= sizes, (clusters, pes)
            assert max(sizes) <= clusters * pes
            before = sizes


def test_fused_pes_are_in_equal_parts_of_clusters(llama: Deployment, altered: Alter) -> None:
    machine = altered(llama, tcp_clusters=4.0, tcp_pes_per_cluster=6.0).machine[0]
    assert [clusters_at_work(pes, machine) for pes in (1.0, 6.0, 8.0, 16.0, 24.0)] == [1.0, 1.0, 2.0, 4.0, 4.0]


def test_the_compiler_takes_the_fastest_number_of_pes(llama: Deployment, altered: Alter) -> None:
    step = decode([64])
    free = AnalyticEngine(_free(altered, llama)).cost(step)
    fixed = {
        pes: AnalyticEngine(altered(llama, pe_fusion=pes, pes_beyond_fused=False)).cost(step).time_s
        for pes in _sizes(_free(altered, llama))
    }
    assert set(fixed) == {1.0, 2.0, 3.0, 4.0, 6.0, 8.0}
    assert free.time_s == min(fixed.values())
    assert fixed[float(free.pes)] == free.time_s


def test_both_engines_run_on_the_same_pes(llama: Deployment, altered: Alter) -> None:
    for values in ({"tcp_clusters": 1.0}, {"tcp_clusters": 4.0, "reduction_topology": TREE}):
        engine = AnalyticEngine(altered(llama, **values))
        step = decode([512] * 4)
        simulated, closed = EventEngine(engine, "rngd").cost(step), engine.cost(step)
        assert simulated.pes == closed.pes
        assert simulated.time_s == pytest.approx(closed.time_s, rel=0.05)


def _seconds(machine: Any, topology: int, pes: float, size: float = 8192.0) -> float:
    changed = machine.copy()
    changed["reduction_topology"] = topology
    return float(on_chip_reduction_time(size, changed, pes))


@pytest.mark.parametrize("pes", [2.0, 4.0, 8.0])
def test_topologies_follow_their_closed_forms(llama: Deployment, pes: float) -> None:
    machine = llama.machine[0]
    message, rate = float(machine["reduction_message"]), float(machine["reduction_bandwidth"])
    each = 8192.0 / rate
    assert _seconds(machine, RING, pes) == pytest.approx(2 * (pes - 1) * (message + each / pes), rel=1e-12)
    assert _seconds(machine, TREE, pes) == pytest.approx(2 * math.log2(pes) * (message + each), rel=1e-12)
    through = (3 * pes + 1) * 8192.0 / float(stream_bandwidth(machine, pes))
    assert _seconds(machine, MEMORY, pes) == pytest.approx(4 * message + through, rel=1e-12)
    if pes == 8.0:
        quads = 12 * (message + each / 4) + 2 * message + each / 4
        pairs = 2 * (message + each / 2) + 12 * message + 3 * each / 2
        assert _seconds(machine, TWO_LEVEL, pes) == pytest.approx(min(quads, pairs), rel=1e-12)


def test_one_cluster_has_one_level(llama: Deployment) -> None:
    all_pairs = list(TOPOLOGIES).index("all_pairs")
    assert reduction_traffic(TWO_LEVEL, 4.0, 1.0) == reduction_traffic(all_pairs, 4.0, 1.0)


@pytest.mark.parametrize("topology", range(len(TOPOLOGIES)))
def test_a_reduction_over_more_pes_than_measured_has_a_range(llama: Deployment, altered: Alter, topology: int) -> None:
    wide = {"tcp_clusters": 4.0, "reduction_topology": topology}
    plain, short = (altered(llama, reduction_further=factor, **wide).machine[0] for factor in (1.0, 0.25))
    assert on_chip_reduction_time(8192.0, short, 16.0) == pytest.approx(
        0.25 * on_chip_reduction_time(8192.0, plain, 16.0), rel=1e-12
    )
    assert on_chip_reduction_time(8192.0, short, 8.0) == on_chip_reduction_time(8192.0, plain, 8.0)


def test_times_that_are_cycles_shrink_with_the_clock(llama: Deployment, altered: Alter) -> None:
    """A reduction of no bytes, a program and a command: half as long at twice the clock."""
    slow, fast = (altered(llama, tcp_clock=clock).machine[0] for clock in (1e9, 2e9))
    assert on_chip_reduction_time(0.0, fast, 8.0) == 0.5 * on_chip_reduction_time(0.0, slow, 8.0)
    step = decode([512])
    for name in ("tcp_program_time", "tcp_dma_command"):
        longer = altered(llama, tcp_clock=2e9, **{name: 2.0 * float(llama.machine[0][name])})
        assert (
            AnalyticEngine(longer).cost(step).time_s > AnalyticEngine(altered(llama, tcp_clock=2e9)).cost(step).time_s
        )


def test_idle_pes_are_told() -> None:
    step = tell("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "512", "--json").json
    assert step["pes"] == {"existing": 8, "working": 8, "idle": 0}
    gpu = tell("step", "h200", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "512", "--json").json
    assert "pes" not in gpu


NARROW = """based_on: furiosa-llm-2026.3
name: narrow
title: two PEs
pe_fusion: {value: 2, kind: assumed, source: a test, low: 2, high: 2}
pes_beyond: idle
"""


def test_a_unit_without_engines_has_none_to_fuse(tmp_path: Path) -> None:
    told = "{value: 1, kind: assumed, source: a test, low: 1, high: 1}"
    (tmp_path / "gpu.yaml").write_text(f"based_on: vllm\nname: mine\ntitle: mine\npe_fusion: {told}\n")
    words = ("step", "h200", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "64")
    assert "a gpu has no PEs to fuse" in mistake(*words, "--runtime", str(tmp_path / "gpu.yaml"))


def test_a_runtime_of_ones_own_fixes_the_fusion(tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text(NARROW)
    run = tell(
        "run", "rngd", "llama-3.1-8b", "--isl", "64", "--osl", "4", "--concurrency", "1",
        "--requests", "1", "--runtime", tmp_path / "narrow.yaml", "--json",
    ).json  # fmt: skip
    assert run["bottleneck"]["pes"] == {"existing": 8, "working": 2, "idle": 6}


def test_an_unknown_topology_is_refused() -> None:
    with pytest.raises(ValueError, match="topology"):
        reduction_traffic(len(TOPOLOGIES), 4.0, 1.0)
