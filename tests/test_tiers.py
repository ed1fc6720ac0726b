"""Lower tiers of the prefix cache: what memory lets go is kept, loaded in its closed form, or computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from serving_support import (
    H200_VLLM,
    MODEL,
    RNGD_26_3,
    travel_s,
    with_caching,
    with_kv_room,
    with_numbers,
    with_token_budget,
)
from test_compiled_server import what_happened

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.kv_tier import load_kv_tier
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.simulate import simulate_instances
from npusim.serving.load import Load
from npusim.serving.metrics import measure
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun, serve_as_process, serve_compiled, simulate
from npusim.workload.arrivals import Arrival, Closed, Poisson
from npusim.workload.prompts import Segment

Deploy = Callable[..., Deployment]
GIB_OF_TOKENS = 2**30 / (2 * 2 * 32 * 8 * 128)


def _tiered(deployment: Deployment, *tiers: str, reload: str = "faster", room: int = 2600) -> Deployment:
    """With a prefix cache of `room` tokens and tiers below it."""
    small = with_numbers(with_caching(with_kv_room(deployment, room), True), kv_block=16)
    kv = small.runtime.kv.model_copy(update={"tiers": tiers, "reload": reload})
    return replace(small, runtime=small.runtime.model_copy(update={"kv": kv}))


def _turns(sessions: int, turns: int, arrival: Arrival, first: int = 400, more: int = 130) -> Load:
    """Sessions in turn; each turn of one begins with all of its earlier turns."""
    prompts = [
        tuple(
            Segment(1000 * session + part, first if part == 0 else more) for part in range(turn + 1)
        )
        for turn in range(turns)
        for session in range(sessions)
    ]  # fmt: skip
    lengths = [(sum(segment.tokens for segment in prompt), 8) for prompt in prompts]
    return Load(max(isl for isl, _ in lengths), 8, arrival, prompts, lengths)


def _both(deployment: Deployment, load: Load) -> ServedRun:
    """Asserts that both servers give the same; the run."""
    engine = AnalyticEngine(deployment)
    compiled = simulate(deployment, load, 3, engine, serve_compiled)
    process = simulate(deployment, load, 3, engine, serve_as_process)
    expected = what_happened(process)
    for name, value in what_happened(compiled).items():
        assert value == expected[name], name
    assert compiled.kv.tier_hit_tokens == process.kv.tier_hit_tokens
    return compiled


@pytest.mark.parametrize("system", [RNGD_26_3, H200_VLLM], ids=["exclusive", "hybrid"])
@pytest.mark.parametrize(
    "tiers", [("host-memory",), ("host-memory=0.2GiB", "nvme"), ("host-memory=0.1GiB", "nvme=0.2GiB")]
)
def test_both_servers_agree(deployed: Deploy, system: tuple[str, str], tiers: tuple[str, ...]) -> None:
    deployment = _tiered(deployed(system[0], MODEL, runtime=system[1]), *tiers)
    if system == H200_VLLM:
        deployment = with_token_budget(deployment, 300)
    for arrival in (Closed(3), Poisson(20.0)):
        run = _both(deployment, _turns(7, 4, arrival))
        assert sum(run.kv.tier_hit_tokens) > 0


@pytest.mark.parametrize("system", [RNGD_26_3, H200_VLLM], ids=["exclusive", "hybrid"])
def test_without_room_nothing_changes(deployed: Deploy, system: tuple[str, str]) -> None:
    deployment, load = deployed(system[0], MODEL, runtime=system[1]), _turns(7, 4, Closed(3))
    plain = what_happened(simulate(_tiered(deployment), load, 3))
    for tiers, reload in ((("host-memory=0GiB",), "load"), (("host-memory",), "recompute")):
        assert what_happened(simulate(_tiered(deployment, *tiers, reload=reload), load, 3)) == plain


def test_a_turn_that_returns_takes_what_loading_takes(deployed: Deploy) -> None:
    """Two sessions that do not fit together, in turn: the first token of a second turn waits for the closed form."""
    plain = deployed(*RNGD_26_3[:1], MODEL)
    deployment = _tiered(plain, "nvme", reload="load", room=1100)
    load = _turns(2, 2, Closed(1), first=800, more=160)
    run = simulate(deployment, load, 0)
    tier, _ = load_kv_tier("nvme")
    loaded_s = tier.link.latency.value + 800 * 2 * 2 * 32 * 8 * 128 / tier.link.rate_bytes_per_s
    engine, requests = AnalyticEngine(deployment), run.record.requests
    travels_s = travel_s(deployment, 960)
    waited_s = column_of(requests, "first_token_s") - column_of(requests, "sent_s")
    assert run.kv.tier_hit_tokens == [1600]
    computed_s = sum(engine.prefill_chunk(query, end).time_s for query, end in _chunks(deployment, 800, 960))
    assert waited_s[2:] == pytest.approx(travels_s + loaded_s + computed_s, rel=1e-9)


def _chunks(deployment: Deployment, done: int, total: int) -> list[tuple[int, int]]:
    sizes = getattr(deployment.runtime.prefill_chunk, "sizes", None)
    largest, found = sizes[-1] if sizes else total, []
    while done < total:
        query = min(largest, total - done)
        done += query
        found.append((query, done))
    return found


def test_loading_is_left_out_where_computing_is_faster(deployed: Deploy) -> None:
    deployment = deployed(*RNGD_26_3[:1], MODEL)
    load = _turns(6, 3, Closed(1))
    quick, always = (_tiered(deployment, "host-memory", reload=each) for each in ("faster", "load"))
    assert simulate(quick, load, 0).kv.tier_hit_tokens == simulate(always, load, 0).kv.tier_hit_tokens
    slow = with_numbers(quick)
    tiers = simulate(slow, load, 0).kv.tiers
    assert tiers[0].token_s < tiers[0].compute_token_s < np.inf


def test_more_room_below_never_finds_less_and_ttft_falls(deployed: Deploy) -> None:
    deployment, load = deployed(*RNGD_26_3[:1], MODEL), _turns(12, 4, Closed(2))
    found, waits = [], []
    for size in ("0GiB", "0.3GiB", "0.6GiB", "8GiB"):
        run = simulate(_tiered(deployment, f"host-memory={size}"), load, 0)
        found.append(sum(run.kv.tier_hit_tokens))
        waits.append(measure(run)["ttft_ms_mean"])
    assert found == sorted(found)
    assert waits[-1] < waits[0]
    # With all the room there is, every token of earlier turns is found in memory or below, but for parts of blocks.
    again = sum(sum(segment.tokens for segment in prompt[:-1]) for prompt in load.prompts)
    assert run.kv.hit_tokens + found[-1] == pytest.approx(again, rel=0.03)


def test_a_second_tier_takes_what_the_first_lets_go(deployed: Deploy) -> None:
    deployment, load = deployed(*RNGD_26_3[:1], MODEL), _turns(12, 4, Closed(2))
    one = simulate(_tiered(deployment, "host-memory=0.3GiB"), load, 0).kv.tier_hit_tokens
    two = simulate(_tiered(deployment, "host-memory=0.3GiB", "nvme"), load, 0).kv.tier_hit_tokens
    assert sum(two) > sum(one)
    assert two[1] > 0


def test_instances_have_tiers_of_their_own(deployed: Deploy) -> None:
    deployment = _tiered(deployed(*RNGD_26_3[:1], MODEL), "host-memory")
    load = _turns(9, 3, Closed(3))
    alone, routed = simulate(deployment, load, 3), simulate_instances([deployment], load, 3).whole
    assert routed.kv.tier_hit_tokens == alone.kv.tier_hit_tokens
    for name in ("first_token_s", "last_token_s"):
        assert column_of(routed.record.requests, name).tolist() == column_of(alone.record.requests, name).tolist()


@pytest.mark.parametrize("told", ["none", "host-memory=lots", "host-memory=-1GiB"])
def test_mistakes(told: str) -> None:
    with pytest.raises(UserError):
        load_kv_tier(told)
