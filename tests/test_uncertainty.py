"""Draws from the ranges of the provenances, and the intervals of figures that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_support import MODEL, SYSTEMS, figures, with_kv_room

from npusim.hardware.draws import draw, quantile, ranged_numbers
from npusim.hardware.machine import PLACED
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.serving.uncertainty import DRAWS, drawn_engines, drawn_metrics, interval
from npusim.workload.arrivals import Closed

Deploy = Callable[..., Deployment]
LEVELS = np.array([0.05, 0.5, 0.95])
FOLLOWING = {"power_clocks"}
"""Numbers that are computed from drawn ones: the part of static power that is that of clocks."""
PARTS = st.just(0.0) | st.floats(1e-9, 1.0)


def _quantity(value: float, low: float, high: float, unit: str = "s") -> Quantity:
    return Quantity(value=value, unit=unit, kind="assumed", source="the test", low=low, high=high, text=str(value))


@given(st.floats(1e-9, 1e9), st.floats(0.05, 1.0), st.floats(1.0, 20.0))
def test_low_value_and_high_lie_at_5_50_and_95_percent(value: float, below: float, above: float) -> None:
    low, high = value * below, value * above
    np.testing.assert_allclose(quantile(_quantity(value, low, high), LEVELS), [low, value, high], rtol=1e-9)


@pytest.mark.parametrize("value, low, high", [(2.0, 0.0, 3.0), (0.0, 0.0, 0.3), (5.0, 0.0, 5.0)])
def test_a_range_from_zero_is_linear(value: float, low: float, high: float) -> None:
    found = quantile(_quantity(value, low, high), np.array([0.05, 0.5, 0.95, 0.725747]))
    np.testing.assert_allclose(found[:3], [low, value, high], atol=1e-12)
    assert found[3] == pytest.approx(value + 0.6 / 1.6448536 * (high - value), rel=1e-4)


@given(PARTS, PARTS, PARTS)
def test_quantiles_rise_and_stay_in_reach(one: float, two: float, three: float) -> None:
    low, value, high = sorted((one, two, three))
    drawn = quantile(_quantity(value, low, high, unit=""), np.linspace(1e-6, 1 - 1e-6, 101))
    assert (np.diff(drawn) >= -1e-12).all()
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0


def test_a_count_may_exceed_one() -> None:
    assert quantile(_quantity(1.0, 1.0, 2.0, unit=""), np.array([0.999])) > 2.0


@pytest.mark.parametrize(("arch", "runtime"), SYSTEMS)
def test_only_ranges_are_drawn(deployed: Deploy, arch: str, runtime: str) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    numbers = ranged_numbers(deployment.system, deployment.runtime)
    assert numbers
    for number in numbers:
        low, high = number.quantity.low, number.quantity.high
        assert low is not None and high is not None and low < high
    machines, runtimes = draw(deployment.system, deployment.runtime, 16, 0)
    positions: dict[str, set[int | None]] = {}
    for number in numbers:
        positions.setdefault(number.name, set()).add(number.position)
    for records, nominal in ((machines, deployment.machine), (runtimes, deployment.runtime_record)):
        for name in set(records.dtype.names or ()) - set(PLACED) - FOLLOWING:
            ranged = positions.get(name, set())
            column, known = records[name], np.broadcast_to(nominal[name], records[name].shape)
            if None in ranged:
                assert len(set(column.tolist())) > 1, name
            elif ranged:
                varied = np.flatnonzero([len(set(part.tolist())) > 1 for part in np.nan_to_num(column).T])
                assert set(varied.tolist()) == ranged, name
            else:
                np.testing.assert_array_equal(column, known, err_msg=name)


def test_every_stratum_of_the_hypercube_is_drawn_once(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    number = next(
        each for each in ranged_numbers(deployment.system, deployment.runtime) if each.name == "power_memory_byte"
    )
    machines, _ = draw(deployment.system, deployment.runtime, DRAWS, 7)
    edges = quantile(number.quantity, np.arange(1, DRAWS) / DRAWS)
    positions = np.searchsorted(edges, machines["power_memory_byte"])
    assert sorted(positions.tolist()) == list(range(DRAWS))


def test_a_number_shared_by_paths_is_drawn_once(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL, runtime="furiosa-llm-2026.3")
    _, runtimes = draw(deployment.system, deployment.runtime, DRAWS, 0)
    names = [path.name for path in deployment.runtime.paths]
    wired, kernelwise, prefill = (names.index(name) for name in ("wired", "kernelwise", "prefill"))
    execution, launch = runtimes["paths_attention_execution"], runtimes["paths_operator_launch"]
    np.testing.assert_array_equal(execution[:, wired], execution[:, kernelwise])
    np.testing.assert_array_equal(launch[:, prefill], launch[:, kernelwise])
    assert np.ptp(execution[:, wired]) > 0.0
    assert abs(np.corrcoef(execution[:, wired], execution[:, prefill])[0, 1]) < 0.9
    assert abs(np.corrcoef(launch[:, wired], launch[:, kernelwise])[0, 1]) < 0.9


def test_a_seed_repeats_its_draws(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    first, same, other = (draw(deployment.system, deployment.runtime, 8, seed) for seed in (3, 3, 4))
    assert [records.tobytes() for records in first] == [records.tobytes() for records in same]
    assert [records.tobytes() for records in first] != [records.tobytes() for records in other]


@pytest.mark.parametrize(("arch", "runtime"), [*SYSTEMS, ("rngd-plus", None), ("h100", None)])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_drawn_deployment_serves(deployed: Deploy, arch: str, runtime: str | None, seed: int) -> None:
    deployment = deployed(arch, MODEL, runtime=runtime)
    drawn = drawn_metrics(random_load(100, 6, Closed(2), 3), drawn_engines(deployment, seed), seed)
    assert len(drawn) == DRAWS
    assert all(metrics.fits for metrics in drawn)
    assert all(math.isfinite(metrics["tokens_per_joule"]) and metrics["tpot_ms_mean"] > 0.0 for metrics in drawn)


def test_draws_of_one_seed_give_the_same_figures(deployed: Deploy) -> None:
    deployment = deployed("rngd", MODEL)
    load = random_load(200, 10, Closed(3), 6)
    first, second = (
        [figures(metrics) for metrics in drawn_metrics(load, drawn_engines(deployment, 2, 6), 2)] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 6


def test_draws_without_room_are_left_out(deployed: Deploy) -> None:
    """At a room of 300 tokens the draws with more memory held back hold no token at all."""
    deployment = with_kv_room(deployed("rngd", MODEL), 300)
    full = float(deployment.runtime_record[0]["kv_reserved"])
    engines = [
        (drawn.with_records(drawn.machine, _reserving(drawn.runtime_record, full * factor)), engine)
        for factor, (drawn, engine) in zip((0.9, 1.0, 1.1), drawn_engines(deployment, 0, 3), strict=True)
    ]
    served = drawn_metrics(random_load(100, 6, Closed(1), 1), engines, 0)
    assert 0 < len(served) < 3


def _reserving(record: np.ndarray, reserved: float) -> np.ndarray:
    copy = record.copy()
    copy["kv_reserved"] = reserved
    return copy


def test_an_interval_is_the_central_ninety_percent() -> None:
    drawn = np.arange(101.0)
    assert interval(50.0, drawn) == pytest.approx((4.4, 95.6))


@given(st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=40))
def test_an_interval_holds_its_value(value: float, drawn: list[float]) -> None:
    low, high = interval(value, drawn)
    if any(math.isfinite(figure) for figure in drawn):
        assert low <= value <= high
        finite = [figure for figure in drawn if math.isfinite(figure)]
        assert min([*finite, value]) <= low and high <= max([*finite, value])
    else:
        assert math.isnan(low) and math.isnan(high)


def test_no_figure_has_no_interval() -> None:
    assert all(math.isnan(side) for side in interval(math.nan, [1.0, 2.0]))
    assert all(math.isnan(side) for side in interval(1.0, []))


def test_wider_ranges_give_wider_intervals(deployed: Deploy) -> None:
    """RNGD+ has the unpublished numbers of RNGD and more."""
    widths = []
    for arch in ("rngd", "rngd-plus"):
        deployment = deployed(arch, MODEL)
        load = random_load(128, 16, Closed(1), 1)
        value = measure(simulate(deployment, load, 0))["output_tokens_per_s"]
        drawn = drawn_metrics(load, drawn_engines(deployment, 0), 0)
        low, high = interval(value, (metrics["output_tokens_per_s"] for metrics in drawn))
        assert low < value < high
        widths.append(math.log(high / low))
    assert widths[0] < widths[1]
