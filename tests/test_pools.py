"""A prefill pool and a decode pool: closed forms of transfers, latencies and rates; nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st
from serving_support import AT_ONCE, H200_VLLM, MODEL, RNGD_26_3, with_caching, with_kv_room, with_numbers

from npusim.answers.pools import Pool, Transfer, network_between, predict_pools
from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.hardware.server_link import load_server_link
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.disaggregated import PoolsRun, kv_bytes_of, simulate_pools
from npusim.serving.instances.rates import answers_per_s, prompts_per_s
from npusim.serving.instances.routing import ROUTING
from npusim.serving.instances.transfer import Wire, Wires
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.served import column_of
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson
from npusim.workload.prompts import Segment

Deploy = Callable[..., Deployment]
FREE = Wire(float("inf"), 0.0)
SLOW = Wire(4e9, 5e-6)
ISL, OSL = 1024, 48
REQUESTS = ["--isl", "64", "--osl", "8", "--concurrency", "4"]


def _rngd(deployed: Deploy, **numbers: float) -> Deployment:
    """RNGD without the time that a request travels, which the second server of a request would add."""
    return with_numbers(deployed(*RNGD_26_3[:1], MODEL), host_request_time=0.0, **AT_ONCE, **numbers)


def _run(
    prefill: list[Deployment], decode: list[Deployment], load: Load, wire: Wire = FREE, routing: str = "round_robin"
) -> PoolsRun:
    return simulate_pools(prefill, decode, load, 3, wire, routing)


@pytest.mark.parametrize("layers", [1, 8, 32])
@pytest.mark.parametrize("rate", [1e9, 2e10, 1e12])
def test_a_transfer_on_an_idle_link_is_its_closed_form(layers: int, rate: float) -> None:
    wire, kv_bytes, prompt_s = Wire(rate, 7e-6, layers), 1.5e8, 0.03
    there_s = Wires(wire, 2, 3).there_s(kv_bytes, 1, 2, 5.0, 5.0 + prompt_s, 4.0)
    assert there_s - 5.0 - prompt_s == pytest.approx(wire.left_s(kv_bytes, prompt_s), rel=1e-9)
    if layers == 1:
        assert wire.left_s(kv_bytes, prompt_s) == pytest.approx(kv_bytes / rate + 7e-6)
    assert wire.left_s(kv_bytes, prompt_s) >= kv_bytes / rate / layers


def test_transfers_of_one_link_follow_each_other() -> None:
    wires = Wires(Wire(1e9, 1e-3), 1, 2)
    first, second = (wires.there_s(1e9, 0, target, 0.0, 1.0, 1.0) for target in (0, 1))
    assert (first, second) == pytest.approx((2.001, 3.001))
    assert Wires(Wire(1e9, 1e-3), 2, 2).there_s(1e9, 1, 1, 0.0, 1.0, 1.0) == pytest.approx(2.001)


@pytest.mark.parametrize("chips", ["alike", "unlike"])
@pytest.mark.parametrize("wire", [FREE, SLOW, Wire(4e9, 5e-6, 32)], ids=["free", "slow", "layer-wise"])
def test_a_request_alone(deployed: Deploy, chips: str, wire: Wire) -> None:
    """TTFT is the prefill alone; the transfer its closed form; the other tokens take what decode steps take."""
    decode = _rngd(deployed)
    prefill = decode if chips == "alike" else deployed(*H200_VLLM[:1], MODEL)
    load = random_load(ISL, OSL, Closed(1), 4)
    run = _run([prefill], [decode], load, wire)
    figures, alone, decoded = (
        measure(run.whole), measure(simulate(prefill, load, 3)), measure(simulate(decode, load, 3))
    )  # fmt: skip
    assert figures["ttft_ms_mean"] == pytest.approx(alone["ttft_ms_mean"], rel=1e-9)
    kv_bytes = kv_bytes_of(decode)(ISL)
    travels_s = float(prefill.runtime_record[0]["host_request_time"])
    left_s = wire.left_s(kv_bytes, alone["ttft_ms_mean"] / 1e3 - travels_s)
    assert np.allclose(run.moved.waited_s, left_s, rtol=0.05 if wire.layers > 1 else 1e-9)
    waited_ms = 1e3 * float(np.mean(run.moved.waited_s))
    assert figures["tpot_ms_mean"] == pytest.approx(decoded["tpot_ms_mean"] + waited_ms / (OSL - 1), rel=1e-9)


@pytest.mark.parametrize("routing", ROUTING)
def test_kv_bytes_are_conserved(deployed: Deploy, routing: str) -> None:
    deployment = _rngd(deployed)
    load = _ragged(Poisson(30.0), 40)
    run = _run([deployment] * 2, [deployment] * 3, load, SLOW, routing)
    lengths = load.tokens[load.tokens[:, 1] > 1, 0]
    per_token = 2 * 2 * 32 * 8 * 128
    assert sum(run.moved.kv_bytes) == pytest.approx(per_token * lengths.sum())
    assert len(run.moved.kv_bytes) == len(lengths)


def test_what_the_decode_instance_has_cached_is_not_moved(deployed: Deploy) -> None:
    deployment = with_caching(_rngd(deployed), True)
    prompts = [(Segment(0, 768), Segment(1 + index, 256)) for index in range(12)]
    run = _run([deployment], [deployment], Load(ISL, 8, Closed(1), prompts), SLOW)
    whole, rest = kv_bytes_of(deployment)(ISL), kv_bytes_of(deployment)(256)
    assert run.moved.kv_bytes == pytest.approx([whole, *[rest] * 11])
    assert measure(run.whole)["prefix_hit_fraction"] == pytest.approx(11 * 768 / (12 * ISL))


def test_prompts_do_not_hold_up_answers(deployed: Deploy) -> None:
    """Together, tokens wait for prompts; apart, no token waits longer than for two steps."""
    deployment, load = _rngd(deployed), random_load(2048, OSL, Poisson(6.0), 48)
    apart, together = _run([deployment], [deployment], load), simulate(deployment, load, 3)
    step_s = apart.decode.whole.record.span_s.max()
    assert apart.decode.whole.record.prefill_tokens == 0
    assert apart.whole.record.interval_s.max() <= 2.0 * step_s
    assert measure(together)["itl_ms_p99"] > 2.0 * measure(apart.whole)["itl_ms_p99"]


@pytest.mark.parametrize(
    ("prefill", "decode", "users", "wire", "binding"),
    [
        (1, 4, 96, FREE, "prefill"),
        (6, 1, 24, FREE, "decode"),
        (4, 4, 96, Wire(4e8, 1e-5), "transfer"),
    ],
)
def test_throughput_is_that_of_the_slowest_part(
    deployed: Deploy, prefill: int, decode: int, users: int, wire: Wire, binding: str
) -> None:
    deployment = _rngd(deployed)
    sources, targets, osl = [deployment] * prefill, [deployment] * decode, 160
    # The ends of a run, where not all work, are left out: what is answered in the middle half of the time.
    run = _run(sources, targets, random_load(512, osl, Closed(users), 14 * users), wire, "least_loaded")
    ends = np.sort(column_of(run.whole.record.requests, "last_token_s"))
    first, last = 0.25 * ends[-1], 0.75 * ends[-1]
    rate = ((ends > first) & (ends <= last)).sum() / (last - first)
    rates = {
        "prefill": prompts_per_s(sources, 512),
        "decode": answers_per_s(targets, 512, osl, users),
        "transfer": min(prefill, decode) * wire.rate_bytes_per_s / kv_bytes_of(deployment)(512),
    }
    assert min(rates, key=lambda name: rates[name]) == binding
    assert rate == pytest.approx(rates[binding], rel=0.05)


def test_pools_twice_as_large_serve_twice_the_users(deployed: Deploy) -> None:
    deployment = _rngd(deployed)
    one, two = (
        _run([deployment] * count, [deployment] * count, random_load(300, 20, Closed(5 * count), 20 * count), SLOW)
        for count in (1, 2)
    )
    for name in ("first_token_s", "last_token_s"):
        first, second = (sorted(column_of(run.whole.record.requests, name).tolist()) for run in (one, two))
        assert second == pytest.approx([each for each in first for _ in range(2)], rel=1e-12), name
    assert measure(two.whole)["power_w_mean"] == pytest.approx(2 * measure(one.whole)["power_w_mean"])


def _ragged(arrival: Arrival, count: int = 30) -> Load:
    generator = np.random.default_rng(count)
    lengths = [(int(isl), int(osl)) for isl, osl in generator.integers(1, (500, 40), (count, 2))]
    prompts = [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)]
    return Load(500, 40, arrival, prompts, lengths)


def _vllm(deployed: Deploy, **numbers: float) -> Deployment:
    """A runtime whose decode server computes the last token of each prompt again."""
    deployment = deployed("h200", MODEL, runtime="vllm-0.24")
    return with_numbers(deployment, host_request_time=0.0, **AT_ONCE, host_stall_probability=0.0, **numbers)


@pytest.mark.parametrize("link", ["nvlink-4", "ethernet-100g"])
def test_a_connector_adds_its_set_up_and_bounds_the_rate(deployed: Deploy, link: str) -> None:
    pool = Pool(deployed("h200", MODEL, runtime="vllm-0.24"), 1)
    record, network = pool.deployment.runtime_record[0], load_server_link(link)
    wire = Transfer(network, False).wire(pool, pool)
    assert wire.rate_bytes_per_s == min(network.rate_bytes_per_s(1), float(record["connector_rate"]))
    assert wire.latency_s == pytest.approx(network.link.latency.value + float(record["connector_setup_time"]))
    answer = predict_pools(pool, pool, Transfer(network, False), random_load(ISL, 8, Closed(1), 3), "round_robin", 0)
    told = answer["pools"]["transfer"]
    assert told["first_token"] == "decode"
    left_s = kv_bytes_of(pool.deployment)(ISL) / told["bytes_per_s"] + told["latency_us"] / 1e6
    assert answer["transfer_ms"]["mean"] == pytest.approx(1e3 * left_s, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"first_token": "prefill"}, "connector.block_time: is spent where first tokens are computed again"),
        ({"first_token": "host"}, "connector.first_token"),
        ({"rate": 3.0}, "connector.rate"),
    ],
)
def test_connectors_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    shipped = yaml.safe_load((data_root("arch_configs") / "runtimes" / "vllm-0.24.yaml").read_text())
    shipped["connector"] |= changes
    path = tmp_path / "vllm-0.24.yaml"
    path.write_text(yaml.safe_dump(shipped))
    pools = ["--runtime", path, "--prefill", "1", "--decode", "1"]
    assert told in mistake("run", "h200", "qwen2.5-0.5b", *REQUESTS, *pools)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([Closed(7), Burst(9), Poisson(25.0)]),
    st.sampled_from([FREE, SLOW, Wire(2e8, 1e-3), Wire(2e9, 1e-4, 32)]),
    st.sampled_from(sorted(ROUTING)),
    st.integers(600, 3000),
    st.integers(600, 3000),
    st.sampled_from([1, 16]),
    st.booleans(),
    st.sampled_from([_rngd, _vllm]),
)
def test_every_request_is_answered_once_and_all_memory_is_free_again(
    deployed: Deploy,
    prefill: int,
    decode: int,
    arrival: Arrival,
    wire: Wire,
    routing: str,
    of_prefill: int,
    of_decode: int,
    block: int,
    caching: bool,
    chip: Deploy,
) -> None:
    """Also where memory is so small that one pool waits for the other."""
    source, target = (
        with_numbers(with_caching(with_kv_room(chip(deployed), tokens), caching), kv_block=block)
        for tokens in (of_prefill, of_decode)
    )
    run = _run([source] * prefill, [target] * decode, _ragged(arrival), wire, routing)
    requests = run.whole.record.requests
    assert sorted(column_of(requests, "index").tolist()) == list(range(30))
    assert (column_of(requests, "first_token_s") >= column_of(requests, "sent_s")).all()
    assert (column_of(requests, "last_token_s") >= column_of(requests, "first_token_s")).all()
    for each in (*run.prefill.each, *run.decode.each):
        assert each.kv.used == 0
        assert each.kv.peak <= each.kv.capacity
    assert sum(run.whole.breakdown_j.values()) > 0.0


def test_little_memory_of_the_decode_pool_holds_the_prefill_pool_back(deployed: Deploy) -> None:
    plenty = _rngd(deployed)
    little = with_kv_room(plenty, 1400)
    load = random_load(ISL, 64, Closed(8), 24)
    ample, narrow = (_run([with_kv_room(plenty, 3300)], [decode], load, SLOW) for decode in (plenty, little))
    assert narrow.prefill.each[0].kv.peak == 3 * ISL
    assert measure(narrow.whole)["ttft_ms_mean"] > 2.0 * measure(ample.whole)["ttft_ms_mean"]


def test_what_the_decode_pool_refuses_is_refused(deployed: Deploy) -> None:
    plenty = _rngd(deployed)
    load = random_load(900, 200, Closed(3), 6)
    for wire in (SLOW, Wire(2e9, 1e-4, 32)):
        run = _run([plenty], [with_kv_room(plenty, 1000)], load, wire)
        metrics = measure(run.whole)
        assert (metrics["requests"], metrics["refused"]) == (0, 6)
        assert "more than the cache holds" in metrics.refusal
        assert run.prefill.each[0].kv.used == 0


def test_answers_of_one_token_need_no_decode_pool(deployed: Deploy) -> None:
    deployment, load = _rngd(deployed), random_load(200, 1, Closed(4), 12)
    run = _run([deployment], [deployment], load)
    assert run.moved.kv_bytes == []
    assert measure(run.whole)["ttft_ms_p99"] == pytest.approx(measure(simulate(deployment, load, 3))["ttft_ms_p99"])


def test_power_is_that_of_both_pools(deployed: Deploy) -> None:
    prefill, decode = deployed(*H200_VLLM[:1], MODEL), _rngd(deployed)
    run = _run([prefill] * 2, [decode] * 3, _ragged(Poisson(20.0)), SLOW)
    parts = [measure(each)["power_w_mean"] for each in (*run.prefill.each, *run.decode.each)]
    assert measure(run.whole)["power_w_mean"] == pytest.approx(sum(parts), rel=1e-9)


def test_pools_with_unlike_kv_are_refused(deployed: Deploy) -> None:
    with pytest.raises(UserError, match="bf16 and another fp8"):
        _run([deployed("rngd", MODEL)], [deployed("rngd", MODEL, kv_precision="fp8")], random_load(8, 2, Closed(1), 1))


def test_the_link_is_the_slower_network_and_must_be_known(deployed: Deploy) -> None:
    rngd, h200 = deployed("rngd", MODEL), deployed("h200", MODEL)
    assert network_between(rngd, h200, None).name == "ethernet-100g"
    assert network_between(h200, h200, None).name == "infiniband-ndr"
    with pytest.raises(UserError, match="what joins servers of tpu-v5e is unknown"):
        network_between(h200, deployed("tpu-v5e", "qwen2.5-0.5b"), None)
    transfer = Transfer(load_server_link("infiniband-ndr"), True)
    wire = transfer.wire(Pool(deployed("h200", MODEL, cards=2), 1), Pool(deployed("h200", MODEL, cards=4), 1))
    assert (wire.rate_bytes_per_s, wire.layers) == (pytest.approx(2 * 47e9), 32)


def test_fewer_requests_than_any_part_bears_bind_nothing(deployed: Deploy) -> None:
    pool = Pool(deployed("rngd", MODEL), 1)
    transfer = Transfer(load_server_link("pcie-gen5-x16"), False)
    answer = predict_pools(pool, pool, transfer, random_load(128, 16, Poisson(1.0), 12), "round_robin", 0)
    assert answer["pools"]["binding"] == "demand"


COMMAND = ["run", "rngd", "qwen2.5-0.5b", *REQUESTS]


def test_the_command() -> None:
    told = tell(*COMMAND, "--prefill", "1xrngd", "--decode", "2", "--link", "pcie-gen5-x16", "--json").json
    pools = told["pools"]
    assert [pools[name]["count"] for name in ("prefill", "decode")] == [1, 2]
    assert told["transfer_ms"].keys() == {"mean", "p50", "p90", "p99"}
    assert pools["binding"] in ("prefill", "decode", "transfer")
    assert told["requests"] == 12
    whole = told["power_w"]["mean"]
    assert whole == pytest.approx(sum(pools[name]["power_w_mean"] for name in ("prefill", "decode")))
    layer_wise = tell(*COMMAND, "--prefill", "1", "--decode", "2", "--layer-wise", "--json").json
    assert layer_wise["transfer_ms"]["mean"] < told["transfer_ms"]["mean"] * 6
    shown = tell(*COMMAND, "--prefill", "1", "--decode", "1")
    assert "both pools together" in shown.out
    assert "furiosa-llm-2026.3 describes no connector; KV moves as fast as the link" in shown.err
    pools = tell("run", "h200", *COMMAND[2:], "--runtime", "vllm-0.24", "--prefill", "1", "--decode", "1", "--json")
    assert "connector" not in pools.err
    assert pools.json["pools"]["transfer"]["first_token"] == "decode"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--prefill 1", "--prefill: applies to --decode alone"),
        ("--layer-wise", "--layer-wise: applies to --prefill alone"),
        ("--prefill 1 --decode 0", "--decode: 0: tell at most"),
        ("--prefill 1xnone --decode 1", "unknown architecture"),
        ("--prefill 1 --decode 1 --instances 2", "--instances: --prefill and --decode say"),
        ("--prefill 1 --decode 1 --plan auto", "--prefill: does not go with --plan auto"),
        ("--prefill 1 --decode 1 --link none", "links: none: no such file"),
    ],
)
def test_mistakes(words: str, told: str) -> None:
    assert told in mistake(*COMMAND, *words.split())
