"""Sessions whose turns wait for the answers before them: sent when they should be, and their KV found where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
from npusim.hardware.kv_tier import load_kv_tier
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.simulate import simulate_instances
from npusim.serving.load import Load, trace_load
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun, serve_as_process, serve_compiled, simulate
from npusim.workload.arrivals import FIRST, Turns
from npusim.workload.loads.description import LoadDescription
from npusim.workload.loads.draw import draw_trace
from npusim.workload.loads.facts import shared_fraction
from npusim.workload.prompts import Segment

Deploy = Callable[..., Deployment]
KV_BYTES = 2 * 2 * 32 * 8 * 128
"""Of a token of the model in bf16."""


def described(**changes: object) -> LoadDescription:
    """A load of twelve sessions, with some keys changed."""
    sure = {"kind": "derived", "source": "this test"}
    told = {
        "name": "test",
        "title": "sessions of a test",
        "sessions": 12,
        "arrivals": {"sessions_per_s": {"value": 4.0, **sure}, "gap_cv": {"value": 1.5, **sure}},
        "turns": {"mean": {"value": 3.0, **sure}},
        "think_time": {"distribution": "exponential", "mean": {"value": "1.5 s", **sure}},
        "system_prompt": {"value": "100 token", **sure},
        "prompt": {"value": "lognormal:mean=120,cv=1", **sure},
        "answer": {"value": "uniform:4-60", **sure},
    }
    return LoadDescription.model_validate(told | changes)


def drawn(seed: int = 0, **changes: object) -> Load:
    return trace_load(draw_trace(described(**changes), Path("test.yaml"), seed))


def _room(deployment: Deployment, tokens: int, tiers: tuple[str, ...] = (), **kv: object) -> Deployment:
    """With a prefix cache of `tokens` in blocks of 16, and tiers below it."""
    small = with_numbers(with_caching(with_kv_room(deployment, tokens), True), kv_block=16)
    rules = small.runtime.kv.model_copy(update={"tiers": tiers, "reload": "load", **kv})
    return replace(small, runtime=small.runtime.model_copy(update={"kv": rules}))


def _both(deployment: Deployment, load: Load) -> ServedRun:
    """Asserts that both servers give the same to the last bit; the run."""
    engine = AnalyticEngine(deployment)
    compiled = simulate(deployment, load, 3, engine, serve_compiled)
    process = simulate(deployment, load, 3, engine, serve_as_process)
    expected = what_happened(process)
    for name, value in what_happened(compiled).items():
        assert value == expected[name], name
    assert compiled.kv.tier_hit_tokens == process.kv.tier_hit_tokens
    return compiled


def _column(run: ServedRun, name: str) -> np.ndarray:
    """An attribute of each request, by its number."""
    requests = run.record.requests
    return column_of(requests, name)[np.argsort(column_of(requests, "index"))]


@pytest.mark.parametrize("system", [RNGD_26_3, H200_VLLM], ids=["interleaved", "hybrid"])
@pytest.mark.parametrize(
    ("room", "tiers"),
    [(60_000, ()), (1900, ()), (1900, ("host-memory=0.1GiB", "nvme=0.2GiB"))],
    ids=["wide", "lost", "tiers"],
)
@pytest.mark.parametrize("keeps", [True, False], ids=["answers", "prompts"])
def test_both_servers_agree(
    deployed: Deploy, system: tuple[str, str], room: int, tiers: tuple[str, ...], keeps: bool
) -> None:
    deployment = _room(deployed(system[0], MODEL, runtime=system[1]), room, tiers, keeps_answers=keeps)
    if system == H200_VLLM:
        deployment = with_token_budget(deployment, 300)
    load = drawn()
    run = _both(deployment, load)
    assert len(run.record.requests) == len(load.prompts)
    assert run.kv.hit_tokens > 0
    if tiers:
        assert sum(run.kv.tier_hit_tokens) > 0


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 99),
    think=st.sampled_from(["0 s", "0.05 s", "2 s"]),
    room=st.integers(1200, 6000),
    turns=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_both_servers_agree_on_any_sessions(
    deployed: Deploy, seed: int, think: str, room: int, turns: list[int]
) -> None:
    sure = {"kind": "derived", "source": "this test"}
    load = drawn(
        seed,
        turns={"counts": [*turns, 2], "source": "this test"},
        think_time={"distribution": "fixed", "mean": {"value": think, **sure}},
        longest_context=1100,
    )
    _both(_room(deployed(*RNGD_26_3[:1], MODEL), room, ("host-memory=0.1GiB",)), load)


def test_a_turn_is_sent_its_think_time_after_the_answer(deployed: Deploy) -> None:
    load = drawn()
    assert isinstance(load.arrival, Turns)
    run = simulate(deployed(*RNGD_26_3[:1], MODEL), load, 0)
    sent_s, answered_s = _column(run, "due_s"), _column(run, "last_token_s")
    before, wait_s = np.array(load.arrival.before), np.array(load.arrival.wait_s)
    waited_s = np.where(before == FIRST, sent_s, sent_s - answered_s[before])
    assert waited_s == pytest.approx(wait_s, abs=1e-9)


def test_a_cache_with_room_finds_what_the_closed_form_says(deployed: Deploy) -> None:
    told = described()
    trace = draw_trace(told, Path("test.yaml"), 5)
    plain = _room(deployed(*RNGD_26_3[:1], MODEL), 60_000)
    load = trace_load(replace(trace, times_s=np.where(trace.before == FIRST, trace.times_s * 1e3, trace.times_s)))
    run = simulate(plain, load, 0)
    assert run.kv.hit_tokens / run.kv.asked_tokens == pytest.approx(shared_fraction(told, trace), abs=1e-12)
    forgetful = simulate(_room(deployed(*RNGD_26_3[:1], MODEL), 60_000, keeps_answers=False), load, 0)
    assert forgetful.kv.hit_tokens < run.kv.hit_tokens


def _two_turns(middle: int) -> Load:
    """A session of two turns, and between them a single request of another one that needs `middle` tokens."""
    first, answer, more = 800, 33, 160
    second = first + answer + more
    session = [Segment(block, 16) for block in range(second // 16)]
    tail = (Segment(9000, second % 16),) if second % 16 else ()
    prompts = [tuple(session[: first // 16]), (Segment(9001, middle),), (*session, *tail)]
    lengths = [(first, answer), (middle, 2), (second, 2)]
    return Load(first, answer, Turns((FIRST, FIRST, 0), (0.0, 20.0, 60.0)), prompts, lengths)


@pytest.mark.parametrize(
    ("where", "tiers", "middle"),
    [
        ("memory", (), 64),
        ("host", ("host-memory",), 1072),
        ("ssd", ("nvme",), 1072),
        ("both", ("host-memory=0.05GiB", "nvme"), 1072),
        ("lost", (), 1072),
    ],
)
def test_a_second_turn_waits_for_where_its_kv_is(
    deployed: Deploy, where: str, tiers: tuple[str, ...], middle: int
) -> None:
    """Its first token: what is loaded takes latency + bytes / rate of its tier, the rest is computed."""
    deployment, load = _room(deployed(*RNGD_26_3[:1], MODEL), 1100, tiers), _two_turns(middle)
    run = _both(deployment, load)
    kept, total = (800 + 33 - 1) // 16 * 16, 993
    in_tiers = run.kv.tier_hit_tokens
    if tiers:
        assert sum(in_tiers) + run.kv.hit_tokens == kept
    assert run.kv.hit_tokens == (kept if where == "memory" else 0)
    loaded_s = 0.0
    for name, tokens in zip(tiers, in_tiers, strict=True):
        tier, _ = load_kv_tier(name)
        rate = min(tier.link.rate_bytes_per_s, deployment.system.card.host_link.rate_bytes_per_s)
        loaded_s += tier.link.latency.value + tokens * KV_BYTES / rate
    if where == "both":
        assert min(in_tiers) > 0
    done = 0 if where == "lost" else kept
    engine = AnalyticEngine(deployment)
    computed_s = sum(engine.prefill_chunk(query, end).time_s for query, end in _chunks(deployment, done, total))
    travels_s = travel_s(deployment, total)
    waited_s = _column(run, "first_token_s")[2] - _column(run, "sent_s")[2]
    assert waited_s == pytest.approx(travels_s + loaded_s + computed_s, rel=1e-9)


def _chunks(deployment: Deployment, done: int, total: int) -> list[tuple[int, int]]:
    sizes = getattr(deployment.runtime.prefill_chunk, "sizes", None)
    largest, found = sizes[-1] if sizes else total, []
    while done < total:
        query = min(largest, total - done)
        done += query
        found.append((query, done))
    return found


def test_one_instance_serves_sessions_as_a_server_does(deployed: Deploy) -> None:
    deployment, load = _room(deployed(*RNGD_26_3[:1], MODEL), 2600, ("host-memory",)), drawn()
    alone, routed = simulate(deployment, load, 3), simulate_instances([deployment], load, 3).whole
    assert routed.kv.tier_hit_tokens == alone.kv.tier_hit_tokens and routed.kv.hit_tokens == alone.kv.hit_tokens
    for name in ("first_token_s", "last_token_s"):
        assert _column(routed, name) == pytest.approx(_column(alone, name), abs=1e-9)


def test_routing_by_prefix_keeps_sessions_where_they_are(deployed: Deploy) -> None:
    deployment, load = _room(deployed(*RNGD_26_3[:1], MODEL), 60_000), drawn()
    found = {
        policy: simulate_instances([deployment] * 3, load, 3, policy).whole.kv.hit_tokens
        for policy in ("round_robin", "prefix_aware")
    }
    assert found["prefix_aware"] > found["round_robin"] > 0


def test_replicas_get_whole_sessions() -> None:
    load = drawn()
    share = load.of_replica(3)
    assert isinstance(load.arrival, Turns) and isinstance(share.arrival, Turns)
    own = load.arrival.dealt(3)
    assert len(own) == len(share.prompts) == len(share.tokens) < len(load.prompts)
    firsts = [place for place, before in enumerate(load.arrival.before) if before == FIRST]
    assert [place for place in own if load.arrival.before[place] == FIRST] == firsts[::3]
    for place, before in enumerate(share.arrival.before):
        assert share.prompts[place] == load.prompts[own[place]]
        assert load.arrival.before[own[place]] == (FIRST if before == FIRST else own[before])
