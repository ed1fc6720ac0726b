"""Designs beside RNGD: more of a resource is never slower, nothing jumps without a reason, and no peak is passed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import Alter, Deploy
from design_support import COUNTS, LOADS, RATES, fractions_of_peak, scan_times, search

from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.reductions import TOPOLOGIES
from npusim.hardware.units import KINDS
from npusim.mapping.deployment import Deployment
from npusim.workload.step import decode, prefill

STEPS = 81
ROUNDING = 1e-9
DIVIDING = 1.5
"""How much faster than in proportion a step may become: where query heads divide over the PEs, it saves reductions."""
TILING = 1.02
"""And where the compiler cuts tiles, or a reduction, in other parts."""


@pytest.fixture(scope="module")
def free(deployed: Deploy) -> Deployment:
    """RNGD with a compiler that fuses as many PEs as are fastest."""
    shipped = deployed("rngd", "llama-3.1-8b", uncalibrated=True)
    record = shipped.runtime_record.copy()
    record["pe_fusion"] = math.nan
    return shipped.with_records(shipped.machine, record)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("topology", range(len(TOPOLOGIES)), ids=list(TOPOLOGIES))
def test_a_fine_scan_shows_no_wrong_sign_and_no_cliff(
    free: Deployment, altered: Alter, topology: int, load: str
) -> None:
    design, step = altered(free, reduction_topology=topology), LOADS[load]
    factors = 2.0 ** np.linspace(-4.0, 4.0, STEPS)
    for name, fields in RATES.items():
        times = scan_times(design, step, fields, factors)
        assert (np.diff(times) <= ROUNDING * times[:-1]).all(), name
        assert (times[:-1] / times[1:] <= TILING * factors[1:] / factors[:-1]).all(), name
    numbers = np.arange(1, STEPS + 1)
    for name, field in COUNTS.items():
        times = scan_times(design, step, (field,), numbers / float(design.machine[field][0]))
        assert (np.diff(times) <= ROUNDING * times[:-1]).all(), name
        assert (times[:-1] / times[1:] <= DIVIDING * numbers[1:] / numbers[:-1]).all(), name


def test_shorter_messages_of_a_reduction_are_never_slower(free: Deployment) -> None:
    for step in LOADS.values():
        times = scan_times(free, step, ("reduction_message",), 2.0 ** np.linspace(4.0, -4.0, STEPS))
        assert (np.diff(times) <= ROUNDING * times[:-1]).all()


@pytest.mark.parametrize(("model", "cards"), [("llama-3.1-8b", 1), ("llama-3.3-70b", 4)])
def test_no_random_design_passes_a_peak(deployed: Deploy, altered: Alter, model: str, cards: int) -> None:
    base = altered(deployed("rngd", model, cards=cards, uncalibrated=True), pe_fusion=math.nan)
    found = search(base, designs=100, seed=7)
    assert {name for design in found for name in design.reached} == {"MACs", "memory", "SRAM", "link", "power"}
    for design in found:
        assert max(design.reached.values()) <= 1.0 + ROUNDING, design
    assert max(design.reached["MACs"] for design in found) > 0.3
    assert max(design.reached["memory"] for design in found) > 0.7
    assert max(design.reached["power"] for design in found) > 0.99
    assert cards == 1 or max(design.reached["link"] for design in found) > 0.01


@pytest.mark.parametrize("arch", ["h200", "rtx-pro-6000", "tpu-v5e", "hyperaccel-orion", "rngd"])
@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_no_kind_of_unit_passes_its_peaks(deployed: Deploy, altered: Alter, arch: str, factor: float) -> None:
    shipped = deployed(arch, "llama-3.1-8b", uncalibrated=True, cards="auto")
    prefix = KINDS[shipped.system.chip.unit.kind].TRAITS.prefix
    for field in (f"{prefix}_clock", "memory_channel_bandwidth"):
        design = altered(shipped, **{field: factor * float(shipped.machine[field][0])})
        for step in (decode([1024] * 16), prefill(1, 2000)):
            reached = fractions_of_peak(design, step)
            assert max(reached.values()) <= 1.0 + ROUNDING, (field, reached)
            assert min(reached["MACs"], reached["memory"]) > 0.0
            assert AnalyticEngine(design).cost(step).time_s > 0.0
