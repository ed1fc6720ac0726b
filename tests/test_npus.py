"""NPUs and TPUs that are described: peaks as published, generations in order, no roofline passed, no exception."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cli_support import mistake, tell

from npusim.answers.origins import numbers_by_kind
from npusim.answers.peaks import peak_ops_per_s
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.hardware.undisclosed import undisclosed_chips
from npusim.ledger import provenances
from npusim.mapping.deployment import deploy
from npusim.workload.precision import SCHEMES
from npusim.workload.step import decode, prefill

PUBLISHED = {
    "atom-plus": ({"bf16": 32, "int8": 128}, 256, 16),
    "atom-max": ({"bf16": 128}, 1024, 64),
    "rebel100": ({"bf16": 1024, "fp8": 2048}, 4800, 144),
    "tpu-v6e": ({"bf16": 918, "fp8": 918, "int8": 1836}, 1638, 32),
    "tpu7x": ({"bf16": 2307, "fp8": 4614}, 7380, 192),
    "trainium1": ({"bf16": 190}, 820, 32),
    "trainium2": ({"bf16": 667, "fp8": 1299}, 2900, 96),
    "inferentia2": ({"bf16": 190}, 820, 32),
    "gaudi-2": ({"bf16": 432, "fp8": 865}, 2450, 96),
    "gaudi-3": ({"bf16": 1835, "fp8": 1835}, 3700, 128),
    "bertha-500": ({"bf16": 384, "fp8": 768}, 546, 128),
    "bertha-100": ({"fp8": 32.768}, 64, 16),
    "wormhole-n150": ({"fp8": 262}, 288, 12),
    "wormhole-n300": ({"fp8": 233}, 288, 12),
    "blackhole-p150": ({}, 512, 32),
    "dx-m1": ({"int8": 25}, None, None),
    "dx-m2": ({}, None, None),
    "aries": ({"int8": 80}, None, None),
    "regulus": ({"int8": 10}, None, None),
}
"""TFLOPS or TOPS by format, GB/s and GiB of a chip, as its maker or, of Gaudi and Tenstorrent, memory says."""
ROUNDED = {"trainium2": 0.03}
"""Multipliers are whole: twice 667 TFLOPS are 1,334, where 1,299 are published."""
PROJECTED = ("bertha-500", "bertha-100", "dx-m1", "dx-m2", "aries", "regulus")
LATER = [("tpu-v5e", "tpu-v6e"), ("tpu-v6e", "tpu7x"), ("gaudi-2", "gaudi-3"), ("atom-plus", "rebel100")]
LATER += [("trainium1", "trainium2"), ("atom-plus", "atom-max"), ("bertha-100", "bertha-500")]
LAYERS = 1.31e9
"""Weights of Qwen2.5 1.5B without its embedding."""
MODELS = ("qwen2.5-0.5b", "llama-3.1-8b", "gpt-oss-20b")


@pytest.mark.parametrize("name", PUBLISHED)
def test_rates_and_capacities_are_those_of_their_sources(name: str) -> None:
    peaks, bandwidth, capacity = PUBLISHED[name]
    system = load_system(name)
    found = peak_ops_per_s(system)
    for dtype, tera in peaks.items():
        assert found[dtype] == pytest.approx(tera * 1e12, rel=ROUNDED.get(name, 0.002)), dtype
    memory = system.chip.memory
    if bandwidth is not None:
        assert memory.peak_bandwidth_bytes_per_s == pytest.approx(bandwidth * 1e9, rel=0.002)
    if capacity is not None:
        assert memory.capacity.value == pytest.approx(capacity * 2**30)


@pytest.mark.parametrize("name", PROJECTED)
def test_what_nobody_measured_is_a_projection(name: str) -> None:
    system = load_system(name)
    assert not system.silicon and "projection" in system.title and system.note.startswith("A projection")
    assert deploy(name, "qwen2.5-0.5b").system.silicon is False


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_model_and_format_has_an_answer_or_a_reason(name: str) -> None:
    answered = 0
    for model in MODELS:
        for precision in SCHEMES:
            try:
                engine = AnalyticEngine(deploy(name, model, precision=precision), 4)
            except UserError as reason:
                assert "\n" not in str(reason) and len(str(reason)) > 20
                continue
            for step in (decode([300, 700, 20, 1]), prefill(1, 200)):
                assert 0.0 < engine.cost(step).time_s < 1e3
            answered += 1
    assert answered >= 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_chip_passes_its_roofline(name: str) -> None:
    deployment = deploy(name, "qwen2.5-1.5b", precision="bf16")
    system, engine = deployment.system, AnalyticEngine(deployment, 64)
    chips = system.chips_per_card * deployment.plan.cards
    rate = chips * system.chip.memory.peak_bandwidth_bytes_per_s
    peak = chips * peak_ops_per_s(system)["bf16"]
    layers = 2.0 * LAYERS
    for batch in (1, 64):
        seconds = engine.cost(decode([256] * batch)).time_s
        assert seconds >= max(2.0 * LAYERS / rate, batch * layers / peak)
    assert engine.cost(prefill(1, 2048)).time_s >= 2048 * layers / peak


@pytest.mark.parametrize(("older", "newer"), LATER)
def test_a_later_generation_is_faster(older: str, newer: str) -> None:
    def times(name: str) -> np.ndarray:
        engine = AnalyticEngine(deploy(name, "llama-3.2-1b", precision="bf16"), 32)
        return np.array([engine.cost(step).time_s for step in (decode([900]), decode([900] * 32), prefill(1, 2048))])

    assert (times(newer) < times(older)).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_share_of_facts_is_told(name: str) -> None:
    numbers = [each.quantity for each in provenances("", load_system(name, uncalibrated=True))]
    kinds = [each.kind for each in numbers]
    told = numbers_by_kind(name, load_system(name, uncalibrated=True))
    facts = sum(not each.is_assumed and not each.source.startswith("fitted") for each in numbers)
    own = facts - told["of_other_silicon"], facts
    assert told["all"] == len(kinds)
    assert own[0] / len(kinds) - 1e-3 <= told["fact"] <= own[1] / len(kinds) + 1e-3
    assert 0.0 <= told["fact"] < 0.5, "most of what decides is an assumption, and it is said"


def test_show_tells_it() -> None:
    numbers = tell("show", "rebel100", "--json").json["numbers"]
    assert numbers["assumed"] > numbers["datasheet"] > 0 and math.isclose(numbers["fact"], 0.278, abs_tol=0.1)


@pytest.mark.parametrize("name", ["rebel100", "atom-plus", "h200"])
def test_what_was_fitted_is_no_fact_and_counted_apart(name: str) -> None:
    """Numbers whose source says that they were fitted; `calibrated` are those of a calibration alone."""
    system = load_system(name, uncalibrated=True)
    fitted = [each for each in provenances(name, system) if each.quantity.source.startswith("fitted")]
    assert fitted and all(each.quantity.kind == "derived" for each in fitted)
    told = numbers_by_kind(name, system)
    assert told["calibrated"] == 0
    assert told["fitted"] == pytest.approx(len(fitted) / told["all"], abs=1e-3)
    assert told["fact"] + told["fitted"] + told["assumed"] / told["all"] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", ["groq-lpu", "Cerebras", "sn40l", "d-matrix"])
def test_an_undisclosed_chip_is_one_line_with_the_reason(name: str) -> None:
    for command in (
        ("show", name),
        ("step", name, "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "100"),
        ("run", name, "llama-3.1-8b", "--isl", "10", "--osl", "10", "--concurrency", "1"),
    ):
        said = mistake(*command)
        assert "no public numbers suffice" in said and "not published" in said and name in said


def test_undisclosed_names_are_no_shipped_ones() -> None:
    names = [name for chip in undisclosed_chips() for name in chip.names]
    known = {*shipped_systems(), *(alias.lower() for name in shipped_systems() for alias in load_system(name).aliases)}
    assert len(set(names)) == len(names) and not known & set(names)
    assert all(name == name.lower() for name in names)
