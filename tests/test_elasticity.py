"""What moves a step: elasticities that sum to one, a bound that is what helps most, and floors behind which nothing
does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli_support import tell
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import HOST
from npusim.engine.elasticity import LARGE, POWER, RESOURCE_TABLE, Resources, elasticities, elasticities_by
from npusim.mapping.deployment import Deployment, deploy
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import parse_arrival
from npusim.workload.step import Step, decode, prefill

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]
NO_RATES = ("sram_capacity", POWER)
"""Resources without a part of the time: a size, and a limit."""
CHIPS = [
    ("rngd", "llama-3.1-8b", {}),
    ("rngd", "llama-3.1-8b", {"cards": 2}),
    ("h200", "llama-3.1-8b", {"cards": 2}),
    ("lpddr6-pim", "llama-3.1-8b", {"precision": "int8"}),
    ("tpu-v5e", "qwen2.5-1.5b", {}),
    ("hyperaccel-orion", "llama-3.1-8b", {}),
]


def _seconds(where: Deployment, step: Step) -> float:
    engine = AnalyticEngine(where, max_sequences=len(step.query))
    return engine.with_host(engine.cost(step), len(step.query)).time_s


@pytest.mark.parametrize(("arch", "model", "options"), CHIPS)
@pytest.mark.parametrize("step", [decode([1024]), decode([700] * 16), prefill(1, 640)], ids=["one", "many", "prompt"])
def test_everything_better_together_is_that_much_faster(
    deployed: Deploy, arch: str, model: str, options: dict[str, object], step: Step
) -> None:
    """Euler's theorem on homogeneous functions: a time that belongs to no resource would be missing here.

    Where two resources tie within the 1 % by which one is made better, its part ends there and the sum falls short.
    """
    where = deployed(arch, model, **options)
    found = elasticities(where, AnalyticEngine(where, max_sequences=len(step.query)), step)
    assert found.time_s == pytest.approx(_seconds(where, step), rel=1e-12)
    assert all(value < 1e-9 for value in found.values.values())
    if found.values.get(POWER, 0.0) == 0.0:
        total = sum(value for name, value in found.values.items() if name not in NO_RATES)
        assert total == pytest.approx(-1.0, abs=0.02)


@settings(max_examples=12)
@given(
    chip=st.sampled_from(CHIPS), sequences=st.integers(1, 48), context=st.integers(64, 2000), host_ms=st.floats(0.1, 40)
)
def test_the_bound_is_what_helps_most(
    chip: tuple[str, str, dict[str, object]], sequences: int, context: int, host_ms: float
) -> None:
    arch, model, options = chip
    described = deploy(arch, model, **options)  # type: ignore[arg-type]
    runtime = described.runtime_record.copy()
    runtime["host_step_time"] = host_ms * 1e-3
    where, step = described.with_records(described.machine, runtime), decode([context] * sequences)
    found = elasticities(where, AnalyticEngine(where, max_sequences=sequences), step)
    resources = Resources(where)
    times = {
        name: _seconds(where.with_records(*resources.better(name, LARGE, where.machine, where.runtime_record)), step)
        for name in resources.names
    }
    assert times == pytest.approx(found.large, rel=1e-12)
    assert times[found.bound] == min(times.values())


def test_behind_the_host_nothing_else_helps(deployed: Deploy, altered: Alter) -> None:
    slow, step = altered(deployed("rngd", "llama-3.1-8b"), host_step_time=1.0), decode([500])
    found = elasticities(slow, AnalyticEngine(slow, max_sequences=1), step)
    assert found.bound == HOST and found.values[HOST] == pytest.approx(-1.0, abs=1e-9)
    assert {name for name, value in found.values.items() if value} == {HOST}
    assert found.hidden_s == pytest.approx(found.device_s, rel=1e-6) and found.floor_s > 1.0 - 0.01
    rate = slow.machine["memory_channel_bandwidth"]
    faster = _seconds(altered(slow, memory_channel_bandwidth=10.0 * rate), step)
    assert faster == pytest.approx(_seconds(slow, step), rel=1e-12)


def test_what_the_host_hides_behind_the_chip_is_told(deployed: Deploy, altered: Alter) -> None:
    quick, step = altered(deployed("rngd", "llama-3.1-8b"), host_step_time=1e-3, host_sampling=0.0), decode([500])
    found = elasticities(quick, AnalyticEngine(quick, max_sequences=1), step)
    assert (found.floor_s, found.hidden_s) == pytest.approx((1e-3, 1e-3))
    assert found.values[HOST] == 0.0


def test_a_pure_stream_is_all_memory(deployed: Deploy, altered: Alter) -> None:
    """Time = bytes / bandwidth where nothing else takes any: d ln t / d ln B = -1."""
    fast = altered(
        deployed("tpu-v5e", "qwen2.5-1.5b"),
        systolic_clock=1e13, systolic_sram_bandwidth=1e17, systolic_transfer_start=0.0, host_step_time=0.0,
        paths_step_launch=0.0, paths_operator_launch=0.0, paths_attention_execution=0.0,
    )  # fmt: skip
    found = elasticities(fast, AnalyticEngine(fast, max_sequences=1), decode([1024]))
    assert found.bound == "memory" and found.values["memory"] == pytest.approx(-1.0, abs=1e-3)


def test_an_engine_that_is_called_gives_the_same(deployed: Deploy) -> None:
    where, step = deployed("rngd", "llama-3.1-8b"), decode([256] * 2)
    engine = AnalyticEngine(where, max_sequences=2)

    def chip_time(changed: Deployment) -> float:
        return AnalyticEngine(changed, max_sequences=2).cost(step).time_s

    called, known = elasticities_by(where, engine, step, chip_time), elasticities(where, engine, step)
    assert called.large == pytest.approx(known.large, rel=1e-12)
    assert (called.small, called.time_s) == (pytest.approx(known.small, rel=1e-12), pytest.approx(known.time_s))
    assert (called.floor_s, called.device_s) == pytest.approx((known.floor_s, known.device_s))


@pytest.mark.parametrize(
    ("arch", "isl", "osl", "users"), [("rngd", 1024, 8, 2), ("rngd", 64, 48, 2), ("lpddr6-pim", 64, 48, 2)]
)
def test_a_run_is_bound_by_what_shortens_it_most(deployed: Deploy, arch: str, isl: int, osl: int, users: int) -> None:
    """The whole run is simulated again, request by request, with each resource better by itself."""
    where = deployed(arch, "llama-3.1-8b", precision="int8" if arch == "lpddr6-pim" else "bf16")
    load = random_load(isl, osl, parse_arrival("closed", users), 2 * users)
    resources = Resources(where)
    lasts = {
        name: measure(
            simulate(where.with_records(*resources.better(name, LARGE, where.machine, where.runtime_record)), load, 0)
        )["duration_s"]
        for name in resources.names
    }
    words = ("--isl", str(isl), "--osl", str(osl), "--concurrency", str(users), "--requests", str(2 * users))
    told = tell("run", arch, "llama-3.1-8b", *words, "--precision", where.precision.name, "--json").json["bottleneck"]
    assert min(lasts, key=lambda name: lasts[name]) == told["bound"]


def test_every_resource_has_numbers_somewhere(deployed: Deploy) -> None:
    found = {name for arch, model, options in CHIPS for name in Resources(deployed(arch, model, **options)).names}
    assert found == set(RESOURCE_TABLE)
