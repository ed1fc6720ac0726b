"""Intervals of several servers and of two pools: the same joint draws as of a single server."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cli_support import tell

from npusim.answers.pools import Transfer, predict_pools
from npusim.hardware.server_link import drawn_links, load_server_link
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.pool import Pool
from npusim.serving.instances.simulate import simulate_instances
from npusim.serving.instances.uncertainty import drawn_pools, instances_draws, pools_draws
from npusim.serving.joint import FIRST, POWER, TOKEN, left_widths, run_draws
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.uncertainty import drawn_engines, drawn_metrics
from npusim.workload.arrivals import Closed

Deploy = Callable[..., Deployment]
MODEL = "qwen2.5-0.5b"


@pytest.fixture(scope="module")
def where(deployed: Deploy) -> Deployment:
    return deployed("rngd", MODEL)


def _load(users: int) -> Load:
    return random_load(64, 6, Closed(users), 2 * users)


def test_one_instance_has_the_interval_of_a_single_server(where: Deployment) -> None:
    load, seed = _load(2), 3
    value = measure(simulate_instances([where], load, seed).whole)
    several = instances_draws(Pool(where, 1), load, value, "round_robin", seed)
    alone = run_draws(where, load, value, drawn_metrics(load, drawn_engines(where, seed), seed), seed)
    for name in (FIRST, TOKEN, "output_tokens_per_s", "e2e_ms_p99"):
        assert several.interval(name) == pytest.approx(alone.interval(name), rel=1e-9), name


def test_instances_in_step_have_the_doubt_of_one(where: Deployment) -> None:
    """Twice the servers for twice the users: the same chip, so that its doubt does not average out."""
    widths = []
    for count in (1, 2):
        load = _load(2 * count)
        value = measure(simulate_instances([where] * count, load, 0).whole)
        joint = instances_draws(Pool(where, count), load, value, "round_robin", 0)
        low, high = joint.interval("output_tokens_per_s")
        assert low < value["output_tokens_per_s"] < high
        widths.append(high / low)
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_pools_alike_draw_the_same_numbers_for_both(where: Deployment) -> None:
    pool, load = Pool(where, 1), _load(2)
    seen = []

    def wire(source: Pool, target: Pool) -> object:
        seen.append(source.deployment.machine.tobytes() == target.deployment.machine.tobytes())
        return Transfer(load_server_link("nvlink-4"), layer_wise=False).wire(source, target)

    runs = drawn_pools(pool, pool, [wire] * 32, load, "round_robin", 0)  # type: ignore[list-item]
    assert len(runs) == len(seen) == 32
    assert all(seen)
    value = measure(runs[0].whole)
    first = pools_draws(pool, pool, load, value, runs, 0)
    assert first.interval(TOKEN) == pools_draws(pool, pool, load, value, runs, 0).interval(TOKEN)
    assert first.interval(TOKEN) != pools_draws(pool, pool, load, value, runs, 1).interval(TOKEN)


def test_first_tokens_are_as_doubtful_as_the_pool_that_makes_them(deployed: Deploy, where: Deployment) -> None:
    from npusim.serving.instances.uncertainty import _widths

    other = deployed("h200", MODEL, runtime="vllm-0.24")
    rngd, h200 = left_widths(where), left_widths(other)
    found = _widths(Pool(where, 1), Pool(other, 1))
    assert other.runtime.connector is not None
    assert found == {FIRST: max(rngd[FIRST], h200[FIRST]), TOKEN: h200[TOKEN], POWER: max(rngd[POWER], h200[POWER])}
    assert _widths(Pool(other, 1), Pool(where, 1))[FIRST] == h200[FIRST]


def test_links_are_drawn_from_their_ranges() -> None:
    link = load_server_link("nvlink-4")
    rates = np.array([each.rate_bytes_per_s(1) for each in drawn_links(link, 64, 0)])
    own = link.rate_bytes_per_s(1)
    assert rates.min() < 0.6 * own
    assert own < rates.max() < 1.2 * own
    assert abs(np.median(rates) / own - 1.0) < 0.1
    assert [each.link.latency.value for each in drawn_links(link, 4, 0)] == [
        each.link.latency.value for each in drawn_links(link, 4, 0)
    ]


def test_a_slower_link_widens_the_transfers_alone(where: Deployment) -> None:
    pool, load = Pool(where, 1), _load(2)
    known = load_server_link("nvlink-4")
    latency = known.link.latency.model_copy(update={"low": None, "high": None, "kind": "measured"})
    efficiency = known.link.efficiency.model_copy(update={"low": None, "high": None, "kind": "measured"})
    told = replace_link(known, latency=latency, efficiency=efficiency)
    wide, narrow = (
        predict_pools(pool, pool, Transfer(each, layer_wise=False), load, "round_robin", 0, True)
        for each in (known, told)
    )
    spread = [each["transfer_ms"]["mean"]["high"] / each["transfer_ms"]["mean"]["low"] for each in (wide, narrow)]
    assert spread[0] > 1.5 * spread[1]
    assert wide["pools"]["prefill"]["utilisation"] == narrow["pools"]["prefill"]["utilisation"]


def replace_link(known: object, **changes: object) -> object:
    inner = known.link.model_copy(update=changes)  # type: ignore[attr-defined]
    return known.model_copy(update={"link": inner})  # type: ignore[attr-defined]


def test_the_command() -> None:
    words = ("run", "rngd", MODEL, "--isl", "64", "--osl", "4", "--concurrency", "2", "--interval", "--json")
    several = tell(*words, "--instances", "2").json
    assert several["ttft_ms"]["mean"]["low"] < several["ttft_ms"]["mean"]["value"] < several["ttft_ms"]["mean"]["high"]
    assert isinstance(several["instances"]["each"][0]["power_w_mean"], float)
    pools = tell(*words, "--prefill", "1", "--decode", "1", "--link", "nvlink-4").json
    assert pools["transfer_ms"]["mean"]["low"] < pools["transfer_ms"]["mean"]["high"]
    assert pools["interval"] == several["interval"]
