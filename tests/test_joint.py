"""Figures drawn together: no draw, and no interval, contradicts another or passes a hard bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_support import MODEL

from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.demand import demand_of
from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibration_of
from npusim.kperf.runner import DEFAULT_GRID
from npusim.kperf.table import INTERVAL_METRICS
from npusim.mapping.deployment import Deployment, deploy
from npusim.metrics import DECODE, PREFILL, RUN
from npusim.serving.joint import SPREAD, JointDraws, run_draws, step_draws
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.serving.uncertainty import drawn_engines, drawn_metrics
from npusim.serving.unexplained import unexplained
from npusim.workload.arrivals import Arrival, Burst, Closed, Poisson, parse_arrival
from npusim.workload.grid import load_grid
from npusim.workload.prompts import random_prompts
from npusim.workload.step import decode, prefill

MACHINES = 6
ENOUGH = 64
"""Machines of which the ends are near those of many."""
SAME = 1e-9
ARCHS = ("rngd", "h200", "h100")
LATENCIES = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")
CALIBRATED = ("rngd", "h200")


@cache
def _drawn(
    arch: str, uncalibrated: bool, machines: int = MACHINES
) -> tuple[Deployment, list[tuple[Deployment, AnalyticEngine]]]:
    deployment = deploy(arch, MODEL, uncalibrated=uncalibrated)
    return deployment, list(drawn_engines(deployment, 0, machines))


def joint(arch: str, load: Load, uncalibrated: bool = False, seed: int = 0, machines: int = MACHINES) -> JointDraws:
    deployment, engines = _drawn(arch, uncalibrated, machines)
    own = measure(simulate(deployment, load, seed))
    return run_draws(deployment, load, own, drawn_metrics(load, engines, seed), seed)


def floors_ms(arch: str, isl: int, osl: int) -> dict[str, float]:
    """Least milliseconds by reading weights alone, worked out apart from the code under test."""
    deployment, chip = _drawn(arch, False)[0], ceiling_of(arch, True)
    demand, chips = demand_of(deployment.model, deployment.precision, isl, osl, True), deployment.plan.chips
    rate = chip.bandwidth_bytes_per_s * chips
    weights = max(0.0, demand.step_bytes - chip.on_chip_bytes * chips)
    return {"ttft_ms": 1e3 * weights / rate, "tpot_ms": 1e3 * (weights + demand.kv_bytes) / rate}


def contradictions(drawn: dict[str, np.ndarray], isl: int, osl: int, users: int | None) -> list[str]:
    """What cannot be between figures of the same run, of arrays of runs."""
    first, answer, rate = drawn["ttft_ms_mean"], drawn["e2e_ms_mean"], drawn["output_tokens_per_s"]
    rest = drawn["tpot_ms_mean"] * (osl - 1) if osl > 1 else 0.0
    rules = {
        "an answer takes its first token and the others": np.isclose(answer, first + rest, rtol=1e-6),
        "all tokens are in proportion": np.isclose(drawn["total_tokens_per_s"] * osl, rate * (isl + osl), rtol=1e-6),
        "tokens per joule are tokens per second over watts": np.isclose(
            drawn["tokens_per_joule"] * drawn["power_w_mean"], rate, rtol=1e-6
        ),
        "tokens are those of the run": np.isclose(
            rate * drawn["duration_s"], (rate * drawn["duration_s"])[0, 0], rtol=1e-6
        ),
    }
    if osl > 1:
        rules["a user's speed is one over a token's time"] = np.isclose(
            drawn["tokens_per_s_per_user"] * drawn["tpot_ms_mean"], 1e3, rtol=1e-6
        )
    if users is not None:
        rules["no more are in flight than there are users"] = rate / osl * answer / 1e3 <= users * (1.0 + 1e-6)
    return [name for name, holds in rules.items() if not holds.all()]


def crossings(ends: dict[str, tuple[float, float]], arch: str, isl: int, osl: int, users: int | None) -> list[str]:
    """What cannot be between ends of intervals."""
    least = floors_ms(arch, isl, osl)
    (first, late), (answer, last) = ends["ttft_ms_mean"], ends["e2e_ms_mean"]
    found = {
        "TTFT under the reading of weights": first < least["ttft_ms"] * (1.0 - SAME),
        "TTFT above the whole answer": late > last * (1.0 + SAME) or first > answer * (1.0 + SAME),
        "TPOT under the reading of weights": osl > 1 and ends["tpot_ms_mean"][0] < least["tpot_ms"] * (1.0 - SAME),
        "throughput above what its users can ask for": users is not None
        and ends["output_tokens_per_s"][1] > users * osl / answer * 1e3 * (1.0 + 1e-6),
        "power above the cap": ends["power_w_mean"][1] > _cap_w(arch) * (1.0 + SAME),
    }
    return [name for name, is_so in found.items() if is_so]


def _cap_w(arch: str) -> float:
    cap = ceiling_of(arch, True).power_w
    return math.inf if cap is None else cap * _drawn(arch, False)[0].plan.chips


ARRIVALS: st.SearchStrategy[Callable[[int], Arrival]] = st.sampled_from([Closed, Burst]) | st.floats(0.2, 40.0).map(
    lambda rate: lambda _: Poisson(rate)
)


@given(
    st.sampled_from(ARCHS), st.booleans(), st.integers(1, 600), st.integers(1, 40), st.integers(1, 12), ARRIVALS,
    st.integers(0, 3),
)  # fmt: skip
def test_no_draw_and_no_interval_contradicts_another(
    arch: str, uncalibrated: bool, isl: int, osl: int, users: int, arrival: Callable[[int], Arrival], seed: int
) -> None:
    arriving = arrival(users)
    drawn = joint(arch, random_load(isl, osl, arriving, 2 * users), uncalibrated, seed)
    known = None if isinstance(arriving, Poisson) else users
    assert contradictions(dict(drawn.drawn), isl, osl, known) == []
    names = [name for name in INTERVAL_METRICS if math.isfinite(drawn.value[name])]
    ends = {name: drawn.interval(name) for name in names}
    assert crossings(ends, arch, isl, osl, known) == []
    assert all(low <= drawn.value[name] <= high for name, (low, high) in ends.items())
    for quantity in LATENCIES:
        if quantity in ("tpot_ms", "itl_ms") and osl == 1:
            continue
        rising = [drawn.drawn[f"{quantity}_{part}"] for part in ("p50", "p90", "p99")]
        assert (rising[0] <= rising[1] * (1.0 + SAME)).all() and (rising[1] <= rising[2] * (1.0 + SAME)).all()


@pytest.mark.parametrize("arch", CALIBRATED)
def test_no_cell_of_the_default_grid_contradicts_itself(arch: str) -> None:
    deployment, _ = _drawn(arch, False)
    engines = list(drawn_engines(deployment, 0, 2))
    grid, found = load_grid(DEFAULT_GRID), {}
    for isl, osl, users in grid.cells():
        count = grid.requests_per_user * users
        load = Load(isl, osl, parse_arrival(grid.arrival, users), random_prompts(count, isl))
        metrics = [run for run in drawn_metrics(load, engines, 0) if run.fits]
        if len(metrics) < len(engines):
            continue
        drawn = run_draws(deployment, load, metrics[0], metrics, 0)
        ends = {name: drawn.interval(name) for name in INTERVAL_METRICS}
        wrong = contradictions(dict(drawn.drawn), isl, osl, users) + crossings(ends, arch, isl, osl, users)
        found[isl, osl, users] = wrong
    assert len(found) > 30
    assert {cell: wrong for cell, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("arch", CALIBRATED)
def test_less_knowledge_is_never_narrower(arch: str) -> None:
    for isl, osl, users in ((32, 8, 1), (256, 32, 4), (1024, 16, 12)):
        load = random_load(isl, osl, Burst(users), users)
        fitted, plain = (joint(arch, load, each, machines=ENOUGH) for each in (False, True))
        for name in INTERVAL_METRICS:
            known, unknown = (math.log(high / low) for low, high in (each.interval(name) for each in (fitted, plain)))
            assert unknown >= known, (name, isl, osl, users)


PASSES = ("time_us", "power_w", "energy_j")


@pytest.mark.parametrize("regime, metrics", [(RUN, INTERVAL_METRICS), (DECODE, PASSES), (PREFILL, PASSES)])
def test_nothing_is_better_known_without_a_calibration(regime: str, metrics: tuple[str, ...]) -> None:
    for name in metrics:
        known = [unexplained(calibration_of(arch), name, regime) for arch in CALIBRATED]
        assert unexplained(None, name, regime) > max(known) > 0.0, name


def test_what_was_not_measured_is_as_unknown_as_without_a_calibration() -> None:
    fitted = calibration_of("h200")
    assert fitted is not None
    bare = Calibration.model_validate({**dict(fitted), "residuals": ()})
    assert unexplained(bare, "ttft_ms_mean") == unexplained(None, "ttft_ms_mean")


@pytest.mark.parametrize("arch", CALIBRATED)
@pytest.mark.parametrize("phase", [DECODE, PREFILL])
def test_energy_of_a_pass_is_its_power_times_its_time(arch: str, phase: str) -> None:
    deployment, engines = _drawn(arch, False)
    step = decode([300] * 4) if phase == DECODE else prefill(1, 300, 300)
    own = AnalyticEngine(deployment).cost(step)
    found = step_draws(deployment, phase, step, own, [engine.cost(step) for _, engine in engines], 0)
    energy = found.drawn["time_us"] * 1e-6 * found.drawn["power_w"]
    np.testing.assert_allclose(found.drawn["energy_j"], energy, rtol=1e-12)
    assert found.interval("time_us")[0] >= floors_ms(arch, 300, 2)["ttft_ms"] * 1e3 * (1.0 - SAME)
    above = math.log(found.quantile("time_us", 0.95) / found.median("time_us"))
    assert above >= 0.9 * unexplained(deployment.calibration, "time_us", phase)


def test_a_bound_clips_the_draws_that_would_pass_it() -> None:
    load = random_load(16, 16, Closed(1), 1)
    deployment, engines = _drawn("rngd", False)
    own, runs = measure(simulate(deployment, load, 0)), drawn_metrics(load, engines, 0)
    wide = calibration_of("rngd")
    assert wide is not None
    known = tuple(each.model_copy(update={"half_width": 3.0}) for each in wide.residuals)
    unsure = replace(deployment, calibration=wide.model_copy(update={"residuals": known}))
    drawn, least = run_draws(unsure, load, own, runs, 0), floors_ms("rngd", 16, 16)
    for name in ("ttft_ms", "tpot_ms"):
        assert drawn.drawn[f"{name}_mean"].min() == pytest.approx(least[name], rel=1e-9)
    assert contradictions(dict(drawn.drawn), 16, 16, 1) == []


def test_a_slower_chip_does_not_slow_arrivals() -> None:
    rate = 2.0
    drawn = joint("rngd", random_load(32, 4, Poisson(rate), 20))
    low, high = drawn.interval("output_tokens_per_s")
    assert math.log(high / low) < 0.5 * math.log(np.divide(*drawn.interval("e2e_ms_mean")[::-1]))


def test_draws_answer_questions_over_several_figures() -> None:
    drawn = joint("rngd", random_load(128, 16, Closed(4), 8))
    shape = MACHINES, SPREAD
    assert np.broadcast_shapes(*(each.shape for each in drawn.drawn.values())) == shape
    middle = drawn.median("ttft_ms_mean")
    quick = drawn.probability(lambda run: run["ttft_ms_mean"] <= middle)
    assert quick == pytest.approx(0.5, abs=0.01)
    both = drawn.probability(
        lambda run: (run["ttft_ms_mean"] <= middle) & (run["tpot_ms_mean"] <= drawn.median("tpot_ms_mean"))
    )
    assert 0.1 < both < quick
    parts = drawn.parts(lambda run: run["ttft_ms_mean"] <= middle)
    assert parts.shape == (MACHINES,) and parts.mean() == pytest.approx(quick)
    low, high = drawn.interval("ttft_ms_mean")
    assert drawn.probability(lambda run: (run["ttft_ms_mean"] >= low) & (run["ttft_ms_mean"] <= high)) >= 0.9
    assert drawn.quantile("ttft_ms_mean", 0.05) <= middle <= drawn.quantile("ttft_ms_mean", 0.95)


def test_a_projection_is_less_sure_than_the_chip_that_lends_it_a_calibration() -> None:
    """Its numbers are known no better, and no error of its own was measured."""
    load, ends = random_load(64, 8, Closed(1), 3), {}
    for arch in ("rngd", "lpddr6-pim"):
        deployment = deploy(arch, MODEL)
        metrics = drawn_metrics(load, drawn_engines(deployment, 0), 0)
        drawn = run_draws(deployment, load, measure(simulate(deployment, load, 0)), metrics, 0)
        ends[arch] = {name: drawn.interval(name) for name in INTERVAL_METRICS}
    for name, (low, high) in ends["lpddr6-pim"].items():
        # First tokens' error is the same width on both, and is most of either: alike within what few draws tell.
        least = 0.95 if name.startswith("ttft") else 1.0
        assert high / low > least * ends["rngd"][name][1] / ends["rngd"][name][0], name
