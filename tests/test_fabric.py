"""The fabric as a graph, and flows that share its links fairly."""

from __future__ import annotations

import numpy as np
import pytest
from fabric_support import LATENCY_S, RATE, fabric, level
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.mapping.fairness import finish_times, max_min_rates
from npusim.mapping.topology import INSIDE, build_graph, chip, reducing_switch, route


def hops(joined: object, source: int, target: int) -> list[int]:
    """Levels that a message crosses."""
    graph = build_graph(joined)  # type: ignore[arg-type]
    levels = [graph.edges[edge]["level"] for edge in route(graph, chip(source), chip(target))]
    return [each for each in levels if each != INSIDE]


def test_a_mesh_is_one_link_away() -> None:
    joined = fabric(level("mesh", 4))
    assert all(hops(joined, 0, target) == [0] for target in (1, 2, 3))


def test_a_ring_goes_the_shorter_way_round() -> None:
    joined = fabric(level("ring", 6))
    assert [len(hops(joined, 0, target)) for target in range(1, 6)] == [1, 2, 3, 2, 1]


def test_a_switch_is_two_links_away() -> None:
    joined = fabric(level("switch", 8))
    assert hops(joined, 3, 7) == [0, 0]


def test_groups_with_one_port_share_it() -> None:
    """Two chips on a card, four cards behind a switch, two switches on two joined sockets."""
    joined = fabric(level("mesh", 2), level("switch", 4, port="group"), level("mesh", 2, port="group"))
    assert joined.chips == 16
    assert hops(joined, 0, 1) == [0]
    assert hops(joined, 0, 2) == [1, 1]
    assert hops(joined, 0, 15) == [1, 2, 1]
    graph = build_graph(joined)
    ways = [route(graph, chip(source), chip(2)) for source in (0, 1)]
    assert set(ways[0]) & set(ways[1])


def test_chips_with_a_port_each_do_not() -> None:
    """Eight chips of a board, each with its own network adapter."""
    joined = fabric(level("switch", 8), level("switch", 2, rate=RATE / 8, latency_s=5 * LATENCY_S))
    assert hops(joined, 0, 7) == [0, 0]
    assert hops(joined, 0, 8) == [1, 1]
    graph = build_graph(joined)
    assert not set(route(graph, chip(0), chip(8))) & set(route(graph, chip(1), chip(9)))


def test_a_torus_joins_chips_of_one_place() -> None:
    joined = fabric(level("ring", 4), level("ring", 4))
    assert sorted(hops(joined, 0, 5)) == [0, 1]


def test_only_a_common_switch_reduces() -> None:
    joined = fabric(level("switch", 4, reduces=True), level("switch", 2, port="group"))
    graph = build_graph(joined)
    assert reducing_switch(graph, joined, [0, 3]) == ("switch", 0, 0)
    assert reducing_switch(graph, joined, [0, 4]) is None


@pytest.mark.parametrize("name", shipped_systems())
def test_shipped_fabrics_join_every_chip(name: str) -> None:
    system = load_system(name)
    joined = system.server.fabric
    graph = build_graph(joined)
    assert all(route(graph, chip(0), chip(other)) for other in range(1, joined.chips))
    assert all(graph.edges[edge]["rate_bytes_per_s"] > 0.0 for edge in graph.edges)


def test_a_mesh_cannot_reduce() -> None:
    with pytest.raises(ValueError, match="only a switch can reduce"):
        fabric(level("mesh", 2, reduces=True))


def test_too_small_a_fabric_is_refused(tmp_path: object) -> None:
    text = shipped_systems()["h200"].read_text(encoding="utf-8")
    start = text.index("levels:")
    path = tmp_path / "mine.yaml"  # type: ignore[operator]
    path.write_text(text[:start] + text[start:].replace("value: 8", "value: 4", 1).replace("calibration:", "#"))
    with pytest.raises(UserError, match="join 4 chips, but 8 cards have 8"):
        load_system(str(path), uncalibrated=True)


SHARED = st.integers(2, 6).flatmap(
    lambda links: st.tuples(
        st.lists(st.floats(1.0, 100.0), min_size=links, max_size=links),
        st.lists(st.lists(st.booleans(), min_size=links, max_size=links), min_size=1, max_size=8),
    )
)


def _uses(ways: list[list[bool]]) -> np.ndarray:
    return np.array(ways).T


@given(SHARED)
def test_no_link_is_over_its_capacity(shared: tuple[list[float], list[list[bool]]]) -> None:
    capacity, uses = np.array(shared[0]), _uses(shared[1])
    rates = max_min_rates(uses, capacity)
    real = np.where(uses.any(axis=0), rates, 0.0)
    assert (uses @ real <= capacity * (1 + 1e-6)).all()


@given(SHARED)
def test_no_flow_could_be_faster_without_a_poorer_one_losing(shared: tuple[list[float], list[list[bool]]]) -> None:
    """Every flow has a link that is full and on which none is faster (Bertsekas and Gallager, 6.5.2)."""
    capacity, uses = np.array(shared[0]), _uses(shared[1])
    rates = max_min_rates(uses, capacity)
    real = np.where(uses.any(axis=0), rates, 0.0)
    full = uses @ real >= capacity * (1 - 1e-6)
    for flow in np.flatnonzero(uses.any(axis=0)):
        bottlenecks = list(np.flatnonzero(uses[:, flow] & full))
        assert any(real[uses[link]].max() <= real[flow] * (1 + 1e-6) for link in bottlenecks)


def test_a_flow_speeds_up_when_another_ends() -> None:
    uses = np.array([[True, True]])
    finish = finish_times(np.zeros(2), np.array([100.0, 300.0]), uses, np.array([10.0]))
    assert finish == pytest.approx([20.0, 40.0])


def test_a_flow_slows_down_when_another_starts() -> None:
    uses = np.array([[True, True]])
    finish = finish_times(np.array([0.0, 5.0]), np.array([100.0, 100.0]), uses, np.array([10.0]))
    assert finish == pytest.approx([15.0, 20.0])


@given(SHARED, st.randoms(use_true_random=False))
def test_links_move_all_bytes_and_no_faster_than_they_can(
    shared: tuple[list[float], list[list[bool]]], random: object
) -> None:
    capacity, uses = np.array(shared[0]), _uses(shared[1])
    sizes = np.array([random.uniform(1.0, 50.0) for _ in range(uses.shape[1])])  # type: ignore[attr-defined]
    finish = finish_times(np.zeros(len(sizes)), sizes, uses, capacity)
    for link, rate in enumerate(capacity):
        assert finish[uses[link]].max(initial=0.0) * rate >= sizes[uses[link]].sum() * (1 - 1e-6)
