"""Collectives against their closed forms, bytes against what each rank must send, and the fastest of all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fabric_support import COPY, LATENCY_S, LAUNCH_S, MESSAGE_S, RATE, STEP_S, fabric, level, machine_on, neighbours

from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.collectives import (
    ALL_GATHER,
    ALL_REDUCE,
    ALL_TO_ALL,
    BROADCAST,
    OPERATIONS,
    REDUCE_SCATTER,
    SEND_RECV,
    SWITCH,
    least_part,
)
from npusim.hardware.machine import GROUP_TENSOR
from npusim.kernels.collective import collective_time, fastest, schedule_time
from npusim.mapping.placement import groups_of
from npusim.mapping.plan import Plan

SIZES = (1e3, 1e6, 1e9)
ALPHA = STEP_S + 2 * LATENCY_S
"""Of one message through a switch: two links and the software."""


def time_on(joined: object, operation: int, algorithm: str, ranks: int, size: float, groups: int = 1) -> float:
    machine = machine_on(joined, neighbours(ranks, groups))  # type: ignore[arg-type]
    return float(schedule_time(SCHEDULES.index((operation, algorithm)), 0, size, GROUP_TENSOR, machine))


SWITCHED = fabric(level("switch", 16, reduces=True))
"""Sixteen chips on a switch that reduces."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 8, 16])
def test_closed_forms_on_a_switch(ranks: int, size: float) -> None:
    """Thakur, Rabenseifner, Gropp 2005; every rank has one link each way."""
    p, beta = ranks, size / RATE
    share, others = (p - 1) / p * beta, MESSAGE_S * max(p - 2, 0)
    forms: dict[tuple[int, str], float] = {
        (ALL_REDUCE, "ring"): 2 * (p - 1) * ALPHA + 2 * share,
        (ALL_REDUCE, "one_shot"): ALPHA + others + (p - 1) * beta,
        (ALL_REDUCE, "two_shot"): 2 * (ALPHA + others) + 2 * share,
        (ALL_REDUCE, "in_network"): 2 * (STEP_S + LATENCY_S) + beta * (1 + 1 / p),
        (ALL_GATHER, "ring"): (p - 1) * ALPHA + share,
        (ALL_GATHER, "one_shot"): ALPHA + others + share,
        (REDUCE_SCATTER, "ring"): (p - 1) * ALPHA + share,
        (ALL_TO_ALL, "direct"): ALPHA + others + share,
        (BROADCAST, "tree"): math.ceil(math.log2(p)) * (ALPHA + beta),
        (SEND_RECV, "direct"): ALPHA + beta,
    }
    for (operation, algorithm), expected in forms.items():
        found = time_on(SWITCHED, operation, algorithm, ranks, size)
        assert found == pytest.approx(LAUNCH_S + expected, rel=1e-9), (operation, algorithm)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_halving_and_doubling(ranks: int, size: float) -> None:
    steps, share = int(math.log2(ranks)), (ranks - 1) / ranks * size / RATE
    expected = LAUNCH_S + 2 * steps * ALPHA + 2 * share
    assert time_on(SWITCHED, ALL_REDUCE, "halving_doubling", ranks, size) == pytest.approx(expected)
    for operation in (ALL_GATHER, REDUCE_SCATTER):
        expected = LAUNCH_S + steps * ALPHA + share
        assert time_on(SWITCHED, operation, "halving_doubling", ranks, size) == pytest.approx(expected)


def test_ranks_beyond_a_power_of_two_fold_in_and_out() -> None:
    size = 1e6
    expected = LAUNCH_S + 6 * ALPHA + (2 * 3 / 4 + 2) * size / RATE
    assert time_on(SWITCHED, ALL_REDUCE, "halving_doubling", 6, size) == pytest.approx(expected)
    assert math.isinf(time_on(SWITCHED, ALL_GATHER, "halving_doubling", 6, size))


def test_a_chain_is_cut_into_the_best_number_of_chunks() -> None:
    """(depth + k - 1) (a + n b / k): no whole k does better, and the best one nearly as well."""
    ranks, size = 8, 1e7
    found = time_on(SWITCHED, BROADCAST, "ring", ranks, size) - LAUNCH_S
    forms = [(ranks - 1 + k - 1) * (ALPHA + size / RATE / k) for k in range(1, 400)]
    assert min(forms) * 0.999 <= found <= min(forms)


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_double_trees_tend_to_two_passes_of_the_message(ranks: int) -> None:
    """Sanders, Speck, Traeff 2009: each rank sends and receives at most the message twice."""
    size = 1e12
    assert time_on(SWITCHED, ALL_REDUCE, "double_tree", ranks, size) <= 2.0 * size / RATE * 1.01


def test_small_messages_climb_the_tree_and_descend() -> None:
    stages = 2 * 3
    assert time_on(SWITCHED, ALL_REDUCE, "double_tree", 8, 1.0) == pytest.approx(LAUNCH_S + stages * ALPHA, rel=1e-4)


def test_a_rank_copies_its_own_part() -> None:
    joined, size = fabric(level("switch", 4), copy=COPY), 1e8
    expected = LAUNCH_S + 3 * ALPHA + 0.75 * size / RATE + 0.25 * size / COPY
    assert time_on(joined, ALL_GATHER, "ring", 4, size) == pytest.approx(expected)


def test_a_hierarchy_crosses_the_outer_links_with_a_shard() -> None:
    """Reduce-scatter inside, all-reduce across, all-gather inside."""
    slow = RATE / 10
    joined = fabric(level("switch", 4), level("switch", 2, rate=slow))
    size, machine = 1e8, machine_on(joined, neighbours(8))
    inside, across = 2 * 3 / 4 * size / RATE, 2 * (1 / 2) * (size / 4) / slow
    found = time_on(joined, ALL_REDUCE, "hierarchical", 8, size)
    assert found == pytest.approx(LAUNCH_S + 4 * ALPHA + 4 * MESSAGE_S + inside + across)
    chosen, _ = fastest(ALL_REDUCE, size, GROUP_TENSOR, machine)
    assert SCHEDULES[chosen][1] == "hierarchical"
    assert found < time_on(joined, ALL_REDUCE, "two_shot", 8, size)


@pytest.mark.parametrize("operation", [ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL, BROADCAST, SEND_RECV])
@pytest.mark.parametrize("size", SIZES)
def test_the_fastest_is_taken(operation: int, size: float) -> None:
    machine = machine_on(SWITCHED, neighbours(8))
    times = [
        float(schedule_time(index, 0, size, GROUP_TENSOR, machine))
        for index, (each, _) in enumerate(SCHEDULES)
        if each == operation
    ]
    assert collective_time(operation, size, GROUP_TENSOR, machine) == min(times)


def test_nothing_is_fast_before_a_plan_is_placed() -> None:
    machine = machine_on(SWITCHED, neighbours(8))
    machine["group_shape"] = np.nan
    assert math.isinf(collective_time(ALL_REDUCE, 1e6, GROUP_TENSOR, machine))


@pytest.mark.parametrize("ranks", [2, 3, 4, 6, 8, 16])
def test_ranks_send_what_their_operation_needs(ranks: int) -> None:
    """What reaches a rank: everything of the others once; what an optimal reduction moves: 2 (p - 1) / p."""
    for operation, algorithm in SCHEDULES:
        made = ALGORITHMS[algorithm].exchange(operation, ranks, 2 if ranks % 2 == 0 and ranks > 2 else 1)
        if made is None or ALGORITHMS[algorithm].on_switch:
            continue
        assert made.sent_by_busiest() >= least_part(operation, ranks) - 1e-12, (operation, algorithm)
        if algorithm == "double_tree":
            continue
        got, sent = np.zeros(ranks), np.zeros(ranks)
        for phase in made.phases:
            for flow in phase.flows:
                assert flow.source != flow.target
                assert SWITCH not in flow[:2]
                sent[flow.source] += phase.times * flow.part
                got[flow.target] += phase.times * flow.part
        assert got.sum() == pytest.approx(sent.sum())
        if operation in (ALL_GATHER, REDUCE_SCATTER):
            assert got == pytest.approx(np.full(ranks, (ranks - 1) / ranks))
        if operation == ALL_TO_ALL:
            assert (got >= (ranks - 1) / ranks - 1e-12).all()
        if operation == ALL_REDUCE and algorithm in ("ring", "two_shot", "hierarchical"):
            assert sent == pytest.approx(np.full(ranks, 2 * (ranks - 1) / ranks))
        if operation == BROADCAST:
            assert (got[1:] >= 1.0 - 1e-12).all()


def test_unknown_codes_are_errors() -> None:
    machine = machine_on(SWITCHED, neighbours(8))
    for code in (-1, len(OPERATIONS)):
        with pytest.raises(ValueError, match="no collective has this code"):
            collective_time(code, 1e6, GROUP_TENSOR, machine)
        with pytest.raises(ValueError, match="no collective has the code"):
            least_part(code, 8)
    with pytest.raises(ValueError, match="ring serves no operation"):
        ALGORITHMS["ring"].exchange(ALL_TO_ALL, 8, 1)


def test_groups_that_share_a_port_wait_for_each_other() -> None:
    """Two groups of two chips, each with one chip on either card: both cross the one link between the cards."""
    joined = fabric(level("mesh", 2), level("mesh", 2, port="group"))
    size = 1e8
    alone = machine_on(joined, ((0, 2),))
    both = machine_on(joined, ((0, 2), (1, 3)))
    one, two = (float(collective_time(ALL_REDUCE, size, GROUP_TENSOR, each)) for each in (alone, both))
    assert two - LAUNCH_S - STEP_S - LATENCY_S == pytest.approx(2 * (one - LAUNCH_S - STEP_S - LATENCY_S))


def test_ranks_lie_from_the_inside_out() -> None:
    """Two chips share each layer, two replicas of each stage, two stages; experts over the four chips of a stage."""
    groups = groups_of(Plan(2, 8, pipeline_parallel=2, expert_parallel=4, data_parallel=2))
    tensor, expert, stage = groups[0], groups[1], groups[3]
    assert tensor == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert expert == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert stage == ((0, 4), (1, 5), (2, 6), (3, 7))
    assert 2 not in groups


def test_an_expert_can_be_shared_within_its_group() -> None:
    groups = groups_of(Plan(4, 4, expert_parallel=2))
    assert groups[1] == ((0, 2), (1, 3))
    assert groups[2] == ((0, 1), (2, 3))
