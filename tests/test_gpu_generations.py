"""GPUs that nobody measured for npusim: printed figures, order of generations, every model and format answered."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_support import mistake, tell
from conftest import Alter, Deploy
from design_support import fractions_of_peak

from npusim.answers.describe import describe
from npusim.bounds.ceiling import ceiling_of
from npusim.conditions.conditions import Conditions
from npusim.conditions.question import Question
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.evidence.measured.case import drivers
from npusim.hardware.algorithms import SCHEDULES
from npusim.hardware.catalog import load_system
from npusim.hardware.collectives import ALL_REDUCE
from npusim.hardware.server_link import load_server_link
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment
from npusim.mapping.placement import tables_of
from npusim.workload.precision import SCHEMES
from npusim.workload.step import Step, decode, prefill

EIGHT_B, SEVENTY_B = "llama-3.1-8b", "llama-3.3-70b"
ROUNDING = 1e-9


class Printed(NamedTuple):
    """TFLOPS dense, GB/s, GB (which are GiB, as the H200's 141) and GB/s one way to all others; NaN: not native."""

    bf16: float
    fp8: float
    nvfp4: float
    memory: float
    capacity: float
    links: float
    recalled: bool = False


NO = math.nan
# ai-dynamo/aiconfigurator systems/*.yaml and SemiAnalysisAI/InferenceX-app gpu-specs.ts@77ca49a; A100 as recalled.
PRINTED = {
    "a100": Printed(312, NO, NO, 2039, 80, 300, recalled=True),
    "b200": Printed(2250, 4500, 9000, 8000, 180, 900),
    "b300": Printed(2250, 4500, 13500, 8000, 268, 900),
    "gb200-nvl72": Printed(2500, 5000, 10000, 8000, 186, 900),
    "gb300-nvl72": Printed(2500, 5000, 15000, 8000, 278, 900),
    "l40s": Printed(366, 733, NO, 864, 48, 31.5),  # 362 are printed of bf16, at a lower clock than the 733 of fp8
    "mi300x": Printed(1307, 2615, NO, 5300, 192, 448),
    "mi325x": Printed(1307, 2615, NO, 6000, 256, 448),
    "mi355x": Printed(2516, 5033, 10066, 8000, 288, 538),
}
DIGITS = 0.0015
"""Part by which a figure may differ from one that is printed with so many digits."""
NVIDIA = ["a100", "h100", "h200", "b200", "b300"]
AMD = ["mi300x", "mi325x", "mi355x"]
LOADS = {"one user": decode([1024]), "64 users": decode([1024] * 64), "prompt": prefill(1, 4096)}


@pytest.mark.parametrize("name", PRINTED)
def test_peaks_are_those_that_are_printed(name: str) -> None:
    printed, shown = PRINTED[name], describe(name)
    for kind in ("bf16", "fp8", "nvfp4"):
        wanted = getattr(printed, kind)
        assert (kind in shown["peak_ops_per_s"]) == (not math.isnan(wanted)), kind
        if not math.isnan(wanted):
            assert shown["peak_ops_per_s"][kind] == pytest.approx(wanted * 1e12, rel=DIGITS), kind
    assert shown["memory_bandwidth_bytes_per_s"] == pytest.approx(printed.memory * 1e9, rel=DIGITS)
    assert shown["memory_capacity_bytes"] == printed.capacity * 2**30
    inner = load_system(name).server.fabric.levels[0]
    assert inner.links * inner.link.bandwidth.value == pytest.approx(printed.links * 1e9, rel=DIGITS)


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_recalled_or_fitted_to_other_silicon_is_assumed(name: str) -> None:
    system = load_system(name)
    for number in provenances(name, system):
        told = number.quantity
        firm = not told.is_assumed
        assert told.kind not in ("measured", "calibrated"), number.path
        assert not (firm and "recalled" in told.source and "TFLOPS" not in told.source), number.path
        assert not (firm and "fitted" in told.source), number.path
    rate = system.chip.memory.channel_bandwidth
    assert rate.is_assumed == PRINTED[name].recalled
    printed_watts = name in ("b200", "l40s")
    assert system.chip.power.tdp.is_assumed != printed_watts
    assert system.chip.power.enforces, "boards keep to their limit"


@pytest.mark.parametrize("name", [*PRINTED, "rngd", "rngd-plus", "rtx-a6000"])
def test_show_says_which_share_is_fact(name: str) -> None:
    told = describe(name)["numbers"]
    kinds = ("measured", "datasheet", "derived", "calibrated", "assumed")
    assert told["all"] == sum(told[kind] for kind in kinds)
    assert 0.0 < told["fact"] <= 1.0 - told["assumed"] / told["all"] + 0.001
    if name in PRINTED:
        assert told["fact"] < 0.06, "hardly anything but peaks is published"
        assert told["of_other_silicon"] > 0
    if name.startswith("rngd"):
        assert told["of_other_silicon"] == 0 and told["fact"] + told["fitted"] > 0.6 > told["fact"]


def _rate(deployed: Deploy, name: str, model: str, load: str, precision: str = "bf16") -> float:
    """Tokens/s of a step."""
    step, cards = LOADS[load], 8 if model == SEVENTY_B else 1
    seconds = AnalyticEngine(deployed(name, model, precision=precision, cards=cards), 64).cost(step).time_s
    return sum(step.query) / seconds


@pytest.mark.parametrize("model", [EIGHT_B, SEVENTY_B])
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("family", [NVIDIA, AMD], ids=["NVIDIA", "AMD"])
def test_generations_are_in_order(deployed: Deploy, family: list[str], load: str, model: str) -> None:
    rates = [_rate(deployed, name, model, load) for name in family]
    assert rates == sorted(rates), dict(zip(family, rates, strict=True))
    named = dict(zip(family, rates, strict=True))
    if family is NVIDIA:
        assert named["a100"] < named["h100"] and named["h200"] < named["b200"]
        # Decoding, a B300 has nothing that a B200 lacks: the floor is their memory, of one rate.
        assert load == "prompt" or named["b300"] == pytest.approx(named["b200"])
    if family is AMD and load == "prompt":
        assert named["mi355x"] > 1.4 * named["mi325x"]


def test_memory_decides_decoding_and_arithmetic_prompts(deployed: Deploy) -> None:
    """An L40S has less than half of an A100's memory rate and 17 % more arithmetic."""
    for load in ("one user", "64 users"):
        assert _rate(deployed, "l40s", EIGHT_B, load) < 0.6 * _rate(deployed, "a100", EIGHT_B, load)
    assert 0.9 < _rate(deployed, "l40s", EIGHT_B, "prompt") / _rate(deployed, "a100", EIGHT_B, "prompt") < 1.2


@pytest.mark.parametrize("load", LOADS)
def test_a_rack_is_as_fast_as_its_boards_at_least(deployed: Deploy, load: str) -> None:
    """Decoding, within the part of a wave by which 152 SMs share the splits of attention less evenly than 148."""
    for rack, board in (("gb200-nvl72", "b200"), ("gb300-nvl72", "b300")):
        ratio = _rate(deployed, rack, EIGHT_B, load) / _rate(deployed, board, EIGHT_B, load)
        assert ratio > (1.02 if load == "prompt" else 0.985)


def test_4_bit_floats_are_native_where_they_are(deployed: Deploy) -> None:
    b200, b300, mi355x = (_rate(deployed, name, EIGHT_B, "prompt", "nvfp4") for name in ("b200", "b300", "mi355x"))
    assert b300 > 1.05 * b200 > _rate(deployed, "b200", EIGHT_B, "prompt", "fp8")
    plain = _rate(deployed, "mi355x", EIGHT_B, "prompt")
    assert 1.2 * plain < mi355x, "4-bit floats on both sides, four times the rate of bf16 in the products"
    assert _rate(deployed, "mi355x", EIGHT_B, "prompt", "mxfp4") == pytest.approx(plain, rel=0.02), "widened to bf16"
    with pytest.raises(UserError, match="no way to multiply fp8 weights with fp8 activations"):
        _rate(deployed, "a100", EIGHT_B, "prompt", "fp8")


MODELS = (EIGHT_B, SEVENTY_B, "gpt-oss-20b", "qwen3-30b-a3b", "deepseek-v3")


def _answered(deployed: Deploy, name: str, model: str, scheme: str) -> Deployment | None:
    """The model on eight cards of the chip, None where it is refused in a line that names what to mend."""
    try:
        found: Deployment = deployed(name, model, precision=scheme, cards=8)
        found.require_fit(4)
        AnalyticEngine(found)
    except UserError as error:
        assert error.message.strip() and "\n" not in str(error)
        return None
    return found


@pytest.mark.parametrize("name", PRINTED)
def test_every_model_and_format_is_answered_below_the_peaks_or_refused(deployed: Deploy, name: str) -> None:
    answered = set()
    steps: tuple[Step, ...] = (decode([512] * 4), prefill(1, 1000))
    for model in MODELS:
        for scheme in SCHEMES:
            where = _answered(deployed, name, model, scheme)
            if where is None:
                continue
            answered.add((model, scheme))
            for step in steps:
                reached = fractions_of_peak(where, step)
                assert 0.0 < max(reached.values()) <= 1.0 + ROUNDING, (model, scheme, reached)
    plain = {(model, scheme) for model in MODELS[:4] for scheme in ("bf16", "mxfp4", "nvfp4", "w4a16", "w8a16")}
    assert plain <= answered
    assert ((EIGHT_B, "fp8") in answered) == (name != "a100")
    assert (("deepseek-v3", "fp8") in answered) == (name not in ("a100", "l40s"))


@pytest.mark.parametrize("factor", [0.1, 10.0])
@pytest.mark.parametrize("name", ["a100", "l40s", "b300", "mi355x"])
def test_no_alteration_passes_a_peak(deployed: Deploy, altered: Alter, name: str, factor: float) -> None:
    shipped = deployed(name, EIGHT_B, cards=2)
    for field in ("gpu_clock", "memory_channel_bandwidth", "fabric_levels_link_bandwidth"):
        design = altered(shipped, **{field: factor * shipped.machine[field][0]})
        for step in LOADS.values():
            assert max(fractions_of_peak(design, step).values()) <= 1.0 + ROUNDING, field


def _sums(name: str, ranks: int) -> dict[str, float]:
    """Steps of each algorithm of an all-reduce, of those that the fabric can run."""
    found = tables_of(load_system(name).server.fabric, (tuple(range(ranks)),))
    rows = {
        algorithm: found.shape[row, 0]
        for row, (operation, algorithm) in enumerate(SCHEDULES)
        if operation == ALL_REDUCE
    }
    return {algorithm: steps for algorithm, steps in rows.items() if not math.isnan(steps)}


def test_fabrics_are_what_they_are() -> None:
    """A rack is one domain whose switches sum, the A100's and AMD's boards have none that do."""
    assert load_system("gb200-nvl72").max_cards == load_system("gb300-nvl72").server.fabric.chips == 72
    assert {name: "in_network" in _sums(name, 8) for name in ("gb200-nvl72", "b200", "a100", "mi300x", "l40s")} == {
        "gb200-nvl72": True, "b200": True, "a100": False, "mi300x": False, "l40s": False,
    }  # fmt: skip
    assert _sums("gb200-nvl72", 72)["ring"] == 2 * 71


@pytest.mark.parametrize(("ranks", "links"), [(2, 1), (4, 3), (8, 7)])
def test_a_chip_of_a_mesh_receives_over_all_its_links(ranks: int, links: int) -> None:
    """An all-reduce between eight is bound by seven links of 64 GB/s, between two by one."""
    found = ceiling_of("mi300x", generous=True).between_cards
    assert min(found.links, ranks - 1) == links
    assert found.links * found.bandwidth_bytes_per_s == pytest.approx(448e9)
    assert ceiling_of("b200", generous=True).between_cards.links == 1


@pytest.mark.parametrize("name", [*PRINTED, "h200"])
def test_the_network_between_servers_is_described(name: str) -> None:
    network = load_system(name).server.network
    assert network is not None
    link = load_server_link(network)
    assert 10e9 < link.rate_bytes_per_s(1) < load_system(name).chip.memory.peak_bandwidth_bytes_per_s / 5.0


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"), ("NVIDIA A100", "a100"), ("NVIDIA L40S", "l40s"), ("NVIDIA B200", "b200"),
        ("B200 SXM", "b200"), ("HGX B200", "b200"), ("NVIDIA B300", "b300"), ("Blackwell Ultra", "b300"),
        ("GB200 NVL72", "gb200-nvl72"), ("NVIDIA GB200", "gb200-nvl72"), ("GB300-NVL72", "gb300-nvl72"),
        ("AMD Instinct MI300X", "mi300x"), ("AMD Instinct MI300X OAM", "mi300x"), ("MI325X", "mi325x"),
        ("amd-mi355x", "mi355x"), ("AMD Instinct MI355X", "mi355x"),
    ],
)  # fmt: skip
def test_labels_of_labs_resolve(label: str, name: str) -> None:
    assert load_system(label).name == name


def test_a_runtime_of_the_other_maker_is_the_users_mistake() -> None:
    told = ("--phase", "decode", "--batch", "1", "--context", "128")
    assert "kernels.linear" in mistake("step", "mi300x", EIGHT_B, "--runtime", "vllm", *told)
    assert "no library of b200" in mistake("step", "b200", EIGHT_B, "--runtime", "vllm-rocm", *told)


def test_open_software_is_that_of_the_maker() -> None:
    """A run that tells no runtime is one of those that have kernels for the chip."""
    for name, own in (("mi300x", ["vllm-rocm"]), ("h100", ["vllm", "vllm-0.24", "sglang"])):
        runtimes = {member["runtime"] for member in Conditions(precision="bf16").members(Question(name, EIGHT_B))}
        assert set(own) <= runtimes and ("vllm-rocm" in runtimes) == (name == "mi300x")
        assert {each.name for each in drivers(load_system(name))} >= runtimes


def test_a_lab_calls_it_vllm_whatever_the_chip(tmp_path: Path) -> None:
    path = tmp_path / "vllm.json"
    run = {
        "backend": "vllm", "model_id": "meta-llama/Llama-3.1-8B-Instruct", "num_prompts": 64, "max_concurrency": 8,
        "request_rate": "inf", "duration": 60.0, "completed": 64, "failed": 0, "total_input_tokens": 64 * 1024,
        "total_output_tokens": 64 * 256, "output_throughput": 273.07, "total_token_throughput": 1365.3,
        "mean_tpot_ms": 28.0, "mean_ttft_ms": 190.0,
    }  # fmt: skip
    path.write_text(json.dumps(run), encoding="utf-8")
    asked = ("check", path, "--precision", "bf16", "--cards", "1", "--json")
    for chip, runtime in (("AMD Instinct MI300X", "vllm-rocm"), ("NVIDIA B200", "vllm")):
        for told in ((), ("--runtime", "vllm")):
            rows = tell(*asked, "--arch", chip, *told).json["rows"]
            known = [row["conditions"]["assumed"] | row["conditions"]["told"] for row in rows]
            assert [each["runtime"] for each in known] == [runtime] * len(rows) and rows, (chip, told)
