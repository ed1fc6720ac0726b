"""What a compiler for fused PEs may do beyond a program an operator: each has a closed form, in both engines."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Alter, Deploy

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine
from npusim.engine.event.joining import joining
from npusim.engine.event.setting import StepSetting
from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime
from npusim.hardware.changes import as_changes
from npusim.hardware.reductions import CHOICES, MEMORY, TOPOLOGIES
from npusim.hardware.runtime_record import GRAPH_OPERATOR
from npusim.kernels.memory import stream_time, weight_run_bytes
from npusim.kernels.units.contraction_processor import further_matrices_time
from npusim.kernels.units.contraction_processor.attention import kv_copies, shared_heads_time, slice_attention_times
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time, topology_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, EXPERT_UP, NORM
from npusim.mapping.specialise import step_path
from npusim.workload.step import Step, decode, prefill

PES = 8.0


def _rows(deployment: Deployment, step: Step) -> np.ndarray:
    return AnalyticEngine(deployment).operators(step)[0].rows


def _seconds(deployment: Deployment, step: Step) -> float:
    return AnalyticEngine(deployment).cost(step).time_s


@pytest.mark.parametrize("size", [0.0, 8192.0, 8e6])
@pytest.mark.parametrize("own", range(len(TOPOLOGIES)))
@pytest.mark.parametrize("part", [0.25, 1.0])
def test_chosen_reductions_are_the_fastest_ones(
    deployed: Deploy, altered: Alter, own: int, size: float, part: float
) -> None:
    """The mean of the chip's own topology and the fastest that stays on the chip, never slower than its own."""
    machine = altered(deployed("rngd", "llama-3.1-8b"), reduction_topology=own, reduction_chosen=part).machine[0]
    usual = float(topology_time(own, size, machine, PES))
    fastest = min(float(topology_time(topology, size, machine, PES)) for topology in CHOICES)
    expected = (1.0 - part) * usual + part * min(usual, fastest)
    assert float(on_chip_reduction_time(size, machine, PES)) == pytest.approx(expected, rel=1e-12)
    assert MEMORY not in CHOICES


@pytest.mark.parametrize("own", range(len(TOPOLOGIES)))
def test_the_event_engine_takes_the_same_reductions(deployed: Deploy, altered: Alter, own: int) -> None:
    where = altered(deployed("rngd", "llama-3.1-8b"), reduction_topology=own, reduction_chosen=0.6)
    engine, step = AnalyticEngine(where), decode([1024])
    setting = _setting(engine)
    joined = joining(8192.0, setting)
    machine = setting.machine
    seconds = joined.fixed_s
    if joined.passes > 0.0:
        seconds += float(stream_time(joined.passes * joined.amount, machine["memory_access_unit"], machine, PES))
    else:
        seconds += joined.amount / float(machine["reduction_bandwidth"])
    assert seconds == pytest.approx(float(on_chip_reduction_time(8192.0, machine, PES)), rel=0.02)
    simulated = EventEngine(engine, "rngd").cost(step).time_s
    assert simulated == pytest.approx(engine.cost(step).time_s, rel=0.05)


def _setting(engine: AnalyticEngine) -> StepSetting:
    """What one chip of the engine's deployment simulates under, with all its PEs at work."""
    return StepSetting(engine.machine, engine.runtime, 0, int(PES))


def test_whole_heads_need_no_reduction_and_no_copies(deployed: Deploy, altered: Alter) -> None:
    """Ten heads of a card on eight PEs are padded to sixteen: more of the softmax, nothing shared."""
    where, step = deployed("rngd", "exaone-3.5-32b", precision="fp8", cards=4), decode([4096])
    machine = where.machine[0]
    shared, half, whole = (_attention(altered(where, compiler_whole_heads=part), step) for part in (0.0, 0.5, 1.0))
    assert shared["heads"] == 10.0
    assert kv_copies(whole, machine, PES) == 1.0 < kv_copies(half, machine, PES) < kv_copies(shared, machine, PES)
    assert float(shared_heads_time(whole, machine, PES)) == 0.0
    assert shared_heads_time(half, machine, PES) == 0.5 * shared_heads_time(shared, machine, PES)
    ratio = slice_attention_times(whole, machine, PES)[1] / slice_attention_times(shared, machine, PES)[1]
    assert ratio == pytest.approx(16.0 / 10.0, rel=1e-12)
    times = [_seconds(altered(where, compiler_whole_heads=part), step) for part in (0.0, 0.5, 1.0)]
    assert times[0] > times[1] > times[2]


def _attention(deployment: Deployment, step: Step) -> np.void:
    rows = _rows(deployment, step)
    return rows[rows["kind"] == ATTENTION][0]


def test_whole_heads_change_nothing_where_heads_divide_or_prompts_are_read(deployed: Deploy, altered: Alter) -> None:
    divides = deployed("rngd", "llama-3.1-8b")
    assert _seconds(altered(divides, compiler_whole_heads=1.0), decode([4096])) == _seconds(divides, decode([4096]))
    odd, prompt = deployed("rngd", "qwen2.5-7b"), prefill(1, 512)
    assert _seconds(altered(odd, compiler_whole_heads=1.0), prompt) == _seconds(odd, prompt)
    assert _seconds(altered(odd, compiler_whole_heads=1.0), decode([512])) < _seconds(odd, decode([512]))


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_fused_norm_has_no_launch(deployed: Deploy, altered: Alter, part: float) -> None:
    """On the path that fetches nothing ahead, exactly one launch a norm is saved."""
    where = altered(deployed("rngd", "llama-3.1-8b"), path_graph=GRAPH_OPERATOR)
    step = decode([512] * 2)
    rows = _rows(where, step)
    norms = float(rows["repeat"][rows["op"] == NORM].sum())
    assert norms == 65.0
    path = step_path(2, False, where.runtime_record[0])
    launch = float(where.runtime_record[0]["paths_operator_launch"][path])
    saved = _seconds(where, step) - _seconds(altered(where, compiler_fused_norms=part), step)
    assert saved == pytest.approx(part * norms * launch, rel=1e-9)
    both = [AnalyticEngine(altered(where, compiler_fused_norms=one)) for one in (0.0, part)]
    before, after = (EventEngine(engine, "rngd").cost(step).time_s for engine in both)
    assert before - after == pytest.approx(saved, rel=0.05)


@pytest.mark.parametrize("users", [1, 16])
def test_streamed_experts_expose_what_a_command_takes_beyond_the_stream(
    deployed: Deploy, altered: Alter, users: int
) -> None:
    where, step = deployed("rngd", "qwen3-30b-a3b", precision="fp8"), decode([512] * users)
    machine, path = where.machine[0], step_path(users, False, where.runtime_record[0])
    for part in (0.0, 0.5, 1.0):
        changed = altered(where, compiler_streamed_experts=part)
        rows, runtime = _rows(changed, step), changed.runtime_record[0]
        row = rows[rows["op"] == EXPERT_UP][0]
        command, launch = float(machine["tcp_dma_command"]), float(runtime["paths_operator_launch"][path])
        usual = command + launch if row["paired"] > 0.0 else float(machine["tcp_matrix_switch"])
        run = weight_run_bytes(row["k"], row["weight_bits"])
        one = float(stream_time(row["weight_bytes"] / row["touched"], run, machine, PES))
        streamed = min(usual, max(0.0, command + launch - one))
        expected = (float(row["touched"]) - 1.0) * ((1.0 - part) * usual + part * streamed)
        assert float(further_matrices_time(row, machine, runtime, path)) == pytest.approx(expected, rel=1e-12)
    streamed_all = altered(where, compiler_streamed_experts=1.0)
    closed, simulated = (
        AnalyticEngine(streamed_all).cost(step).time_s,
        EventEngine(AnalyticEngine(streamed_all), "rngd").cost(step).time_s,
    )
    assert closed < _seconds(where, step)
    assert simulated == pytest.approx(closed, rel=0.05)


def test_only_fused_engines_have_such_a_compiler() -> None:
    part = {"value": 1, "kind": "assumed", "source": "a test", "low": 0, "high": 1}
    changes = as_changes({"compiler": {"fused_norms": part}})
    assert load_runtime("furiosa-llm-2026.3", "contraction_processor", changes).compiler.fused_norms is not None
    with pytest.raises(UserError, match="compiler"):
        load_runtime("vllm", "gpu", changes)


def test_what_shipped_runtimes_do_is_what_labs_ran() -> None:
    """No shipped runtime claims any of it: measured runs show a program an operator."""
    runtime = load_runtime("furiosa-llm-2026.3", "contraction_processor")
    assert all(getattr(runtime.compiler, field) is None for field in type(runtime.compiler).model_fields)
