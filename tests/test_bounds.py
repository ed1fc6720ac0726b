"""Bounds: worked claims, and that nothing possible is called impossible."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.bounds import bandwidth
from npusim.bounds.amdahl import gain, serial_part
from npusim.bounds.arithmetic import arithmetic
from npusim.bounds.capacity import capacity
from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.demand import Demand, demand_of
from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, Finding, gravest
from npusim.bounds.little import littles_law
from npusim.bounds.load import BoundedLoad, Terms, load_of
from npusim.bounds.power_cap import power_cap
from npusim.bounds.reading import Reading
from npusim.bounds.suppositions import implied, throughput_suppositions
from npusim.bounds.unit_readings import as_datasheet, explained, in_decimal_units
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.figures import load_of_claim
from npusim.explore.evaluate.limits import claim_findings
from npusim.mapping.deployment import deploy
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision


def _load(
    arch: str, model: str, precision: str, kv: str, chips: int, isl: int, osl: int, **known: object
) -> BoundedLoad:
    scheme = resolve_precision(precision, kv)
    return replace(load_of(arch, load_model(model), (scheme, scheme), chips, isl, osl), **known)


def test_claim_of_3935_tokens_implies_fp8_kv_or_nearly_all_of_the_bandwidth() -> None:
    """Llama 3.1 8B FP8, one RNGD, 128/4096, 3,935 tokens/s: implausible with BF16 KV in a static batch, at 98-104 %
    of the bandwidth, and never impossible; 89 % with continuous batching; 68-70 % with FP8 KV at 64 sequences."""
    model = load_model("llama-3.1-8b")
    claimed = Reading.printed("3935")
    found = throughput_suppositions("rngd", model, "fp8", 1, 128, 4096, claimed, ("bf16", "fp8"))
    by = {(each.kv, each.batching): each.finding for each in found}
    static = by["bf16", "a static batch"]
    assert static.verdict == IMPLAUSIBLE
    assert static.low <= 0.98 < 1.0 < 1.04 <= static.high
    continuous = by["bf16", "continuous batching"]
    assert continuous.verdict == PLAUSIBLE
    assert continuous.low < 0.89 < continuous.high
    fp8 = _load("rngd", "llama-3.1-8b", "fp8", "fp8", 1, 128, 4096, users=64)
    at_64 = bandwidth.bandwidth_throughput(fp8, claimed)
    assert at_64.verdict == PLAUSIBLE
    assert (at_64.low, at_64.high) == (pytest.approx(0.68, abs=0.04), pytest.approx(0.70, abs=0.01))
    assert [text.partition(",")[0] for text in implied(found)] == [
        "bf16 KV with continuous batching",
        "fp8 KV with a static batch",
        "fp8 KV with continuous batching",
    ]


def test_claim_of_957_tokens_is_plausible_and_bound_by_arithmetic() -> None:
    """Llama 3.1 70B FP8, eight RNGD, 2048/128, 957 tokens/s: 56 % of 4,096 TFLOP/s."""
    load = _load("rngd", "llama-3.3-70b", "fp8", "bf16", 8, 2048, 128)
    figures = {"output_tokens_per_s": Reading.printed("957")}
    found = [*capacity(load), *bandwidth.bandwidth(load, figures), *arithmetic(load, figures)]
    assert {each.verdict for each in found} == {PLAUSIBLE}
    strictest = gravest(found)
    assert strictest is not None
    assert strictest.bound == "arithmetic"
    peak = ceiling_of("rngd", True).ops_per_s["fp8"] * 8
    assert strictest.low * peak == pytest.approx(2297e12, rel=0.03)


def test_claim_of_5_8_ms_is_plausible_as_a_time_per_output_token() -> None:
    """gpt-oss-120b, two RNGD: 4.97 GB are read for a token (MoE 1.90, attention 1.91, head 1.16), 61 GB are held."""
    stated = Demand(61e9, 1.90e9 + 1.91e9 + 1.16e9, 0.0, 0.0, 0.0, {}, {})
    terms = (
        Terms(stated, replace(ceiling_of("rngd", True), on_chip_bytes=0.0)),
        Terms(stated, ceiling_of("rngd", False)),
    )
    load = BoundedLoad(*terms, chips=2, isl=1, osl=128)
    found = list(bandwidth.bandwidth(load, {"tpot_ms_mean": Reading.printed("5.8")}))
    assert [each.verdict for each in found] == [PLAUSIBLE]
    assert found[0].high == pytest.approx(1.66 / 5.8, rel=0.02)
    assert [each.verdict for each in capacity(load)] == [PLAUSIBLE]


@given(st.decimals(min_value=0, max_value=10**6, places=3))
def test_a_reading_holds_every_value_that_prints_so(value: object) -> None:
    reading = Reading.printed(str(value))
    assert reading.low <= reading.value <= reading.high
    assert reading.high - reading.low == pytest.approx(1e-3)


def test_a_reading_of_a_whole_number_is_half_a_unit_wide_and_thousands_may_stand_apart() -> None:
    assert Reading.printed("1,234") == Reading(1234.0, 1233.5, 1234.5)
    for text in ("nan", "inf", "twelve", "1e999"):
        with pytest.raises(ValueError):
            Reading.printed(text)


@given(batch=st.integers(1, 256), isl=st.integers(1, 4096), osl=st.integers(2, 2048))
def test_the_bandwidth_bound_is_the_bytes_over_the_rate(batch: int, isl: int, osl: int) -> None:
    load = _load("h200", "llama-3.1-8b", "bf16", "bf16", 1, isl, osl, users=batch)
    usual = load.usual
    kv = 2 * 32 * 8 * 128 * 2 * (isl + (osl + 1) / 2)
    room = (usual.ceiling.memory_bytes - usual.demand.stored_bytes) / kv
    at_once = max(1.0, min(batch, room))
    weights = 2 * (8.030e9 - 128256 * 4096)
    assert bandwidth.bytes_per_token(usual, load) == pytest.approx(weights / at_once + kv, rel=2e-3)


@pytest.mark.parametrize(("arch", "model"), [("rngd", "exaone-4.0-32b"), ("h200", "qwen3-8b")])
def test_generous_terms_never_ask_for_more_than_usual_ones(arch: str, model: str) -> None:
    for precision in ("bf16", "fp8"):
        load = _load(arch, model, precision, "bf16", 8, 1024, 256)
        for name in ("stored_bytes", "step_bytes", "kv_bytes", "request_kv_bytes"):
            assert getattr(load.generous.demand, name) <= getattr(load.usual.demand, name)
        generous, usual = load.generous.ceiling, load.usual.ceiling
        assert generous.bandwidth_bytes_per_s >= usual.bandwidth_bytes_per_s
        assert generous.memory_bytes >= usual.memory_bytes
        assert all(generous.ops_per_s[name] >= rate for name, rate in usual.ops_per_s.items())


def test_sliding_windows_read_less() -> None:
    scheme = resolve_precision("bf16", "bf16")
    names = ("exaone-4.0-32b", "exaone-3.5-32b")
    windowed, full = (demand_of(load_model(name), scheme, 16000, 2, True) for name in names)
    assert windowed.kv_bytes < 0.5 * full.kv_bytes


def test_prompts_that_may_be_alike_and_steps_of_several_tokens_loosen_the_bounds() -> None:
    load = _load("rngd", "llama-3.1-8b", "bf16", "bf16", 1, 2048, 128, users=32)
    figures = {"output_tokens_per_s": Reading.printed("2000"), "ttft_ms_mean": Reading.printed("200")}
    strict = {(each.bound, each.metric): each.low for each in _all(load, figures)}
    for looser in (replace(load, prompts_differ=False), replace(load, tokens_per_step=3.0)):
        for key, low in {(each.bound, each.metric): each.low for each in _all(looser, figures)}.items():
            assert low <= strict[key]


def _all(load: BoundedLoad, figures: dict[str, Reading]) -> list[Finding]:
    return [*bandwidth.bandwidth(load, figures), *arithmetic(load, figures)]


def test_little_amdahl_power_and_units() -> None:
    figures = {"requests_per_s": Reading.printed("2.00"), "e2e_ms_mean": Reading.printed("4200.0")}
    assert [each.verdict for each in littles_law(8, None, 128, figures)] == [IMPOSSIBLE]
    assert [each.verdict for each in littles_law(9, None, 128, figures)] == [PLAUSIBLE]
    one, four = (1, Reading.printed("20.0")), (4, Reading.printed("4.0"))
    assert gain("tpot_ms_mean", one, four).verdict == IMPLAUSIBLE
    assert serial_part(4.0, 2.0) == pytest.approx(1.0 / 3.0)
    h200, rngd = ((ceiling_of(name, True), ceiling_of(name, False)) for name in ("h200", "rngd"))
    assert {each.verdict for each in power_cap(h200, 1, Reading.printed("760"), 0.02)} == {IMPOSSIBLE, PLAUSIBLE}
    assert {each.verdict for each in power_cap(h200, 1, Reading.printed("706"), 0.02)} == {PLAUSIBLE}
    assert {each.bound for each in power_cap(rngd, 1, Reading.printed("900"), 0.02)} == {"idle power"}
    assert (in_decimal_units(48 * 2**30), as_datasheet(1.536e12)) == (48e9, 1.5e12)
    assert "milliseconds" in explained("tpot_ms_mean", 0.0201, 15.0, 30.0)
    assert explained("tpot_ms_mean", 20.0, 15.0, 30.0) == ""


@pytest.mark.parametrize("arch", ["lpddr6-pim", "lpddr5x-pim", "rngd-hbm3e-pim", "hbm-pim-card", "rngd", "h200"])
def test_what_is_predicted_breaks_no_bound(arch: str) -> None:
    told = {"model": "qwen2.5-1.5b", "isl": 256, "osl": 32, "users": 1, "metric": "tokens_per_s_per_user"}
    claim = Claim.model_validate({"name": "c", "text": "t", "at_least": 1.0} | told)
    deployment = deploy(arch, claim.served_model)
    speed = measure(simulate(deployment, load_of_claim(claim), 0))["tokens_per_s_per_user"]
    found = claim_findings(claim.model_copy(update={"at_least": speed}), arch, deployment)
    assert {each.bound for each in found} >= {"capacity", "memory bandwidth"}
    assert all(each.verdict != IMPOSSIBLE for each in found), found
