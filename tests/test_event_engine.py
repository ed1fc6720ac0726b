"""The event engine: nothing is lost, nothing comes before its cause, limits meet closed forms, repetition is exact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.bottleneck import path_shares, saved_if_free
from npusim.engine.event.command import DMA, SUB, Queue
from npusim.engine.event.engine import Detail, EventEngine
from npusim.engine.event.repetition import Simulation, simulate_in_full, simulate_program
from npusim.engine.event.setting import StepSetting
from npusim.engine.stepcost import RESOURCES, StepEngine
from npusim.evidence.measured.component import numbers_of
from npusim.evidence.measured.operator_rows import Fields, gather, linear
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.validation.validate import summarise, validate_table
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.unit import kv_copies
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, LINEAR
from npusim.workload.step import Step, decode, mixed, prefill

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]

STEPS = [decode([1024]), decode([100, 1500, 9000]), decode([2000] * 64), prefill(1, 128), prefill(1, 512, 4096)]
MODELS = ["llama-3.1-8b", "qwen2.5-7b", "kanana-2-30b-a3b"]
FREE = 1e9
"""A factor that makes a rate endless."""


def _engine(deployment: Deployment) -> EventEngine:
    return EventEngine(AnalyticEngine(deployment), deployment.system.name)


def _simulation(deployment: Deployment, step: Step) -> Simulation:
    (piece,) = _engine(deployment).simulated(step)
    return piece.simulation


@pytest.fixture(scope="module")
def llama(deployed: Deploy) -> Deployment:
    return deployed("rngd", "llama-3.1-8b", uncalibrated=True)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("model", MODELS)
def test_what_is_asked_for_is_moved(deployed: Deploy, model: str, step: Step) -> None:
    simulation = _simulation(deployed("rngd", model, uncalibrated=True, cards="auto"), step)
    rows, setting, copies = simulation.rows, simulation.setting, simulation.copies()
    moved: dict[int, float] = defaultdict(float)
    for position, command in enumerate(simulation.program.commands):
        if command.queue.chip == 0:
            moved[command.position.row] += command.wanted * int(copies[position])
        assert command.asked >= command.wanted
    for index, row in enumerate(rows):
        reads = kv_copies(row, setting.machine, setting.pes) if row["kind"] == ATTENTION else 1.0
        wanted = row["weight_bytes"] + row["kv_read_bytes"] * reads + row["kv_write_bytes"]
        assert moved[index] == pytest.approx(row["repeat"] * wanted, rel=1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_the_memory_delivers_what_the_transfers_draw(llama: Deployment, step: Step) -> None:
    simulation = _simulation(llama, step)
    times, rates = np.array(simulation.record.rate).T
    drawn = float((np.diff(times) * rates[:-1]).sum())
    moved = (command.asked for command in simulation.program.commands if command.queue.engine == DMA)
    assert drawn == pytest.approx(sum(moved), rel=1e-9)
    pes = simulation.setting.pes
    assert rates.max() <= stream_bandwidth(simulation.setting.machine, pes) * (1 + 1e-12)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_starts_before_its_cause(deployed: Deploy, model: str, step: Step) -> None:
    simulation = _simulation(deployed("rngd", model, uncalibrated=True, cards="auto"), step)
    record, program = simulation.record, simulation.program
    assert (record.since >= 0.0).all()
    assert (record.start >= record.since).all()
    assert (record.end >= record.start).all()
    for position, command in enumerate(program.commands):
        for before in command.inputs:
            assert before < position
            assert record.end[before] <= record.start[position]
    for positions in program.queues.values():
        begun, ended = record.start[positions], record.end[positions]
        assert (begun[1:] >= ended[:-1]).all()
        assert (ended - begun).sum() <= record.time_s * (1 + 1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_tiles_stay_within_the_sram(llama: Deployment, step: Step) -> None:
    simulation = _simulation(llama, step)
    for history in simulation.record.sram.values():
        held = np.array([level for _, level in history])
        assert held.min() >= -1e-6
        assert 0.0 < held.max() <= simulation.program.room
        assert held[-1] == pytest.approx(0.0, abs=1.0)
    assert simulation.program.room + simulation.program.resident == pytest.approx(simulation.setting.sram)


@pytest.mark.parametrize("arch", ["rngd", "rngd-plus"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", [STEPS[0], STEPS[1], STEPS[3]])
def test_a_repeated_segment_equals_the_full_simulation(deployed: Deploy, arch: str, model: str, step: Step) -> None:
    simulation = _simulation(deployed(arch, model, uncalibrated=True, cards="auto"), step)
    full = simulate_in_full(simulation.rows, simulation.setting)
    assert simulation.repeated
    assert len(simulation.program.commands) < len(full.program.commands) == simulation.copies().sum()
    assert simulation.time_s == pytest.approx(full.time_s, rel=1e-11)
    ours, theirs = path_shares(simulation), path_shares(full)
    for key in ours.keys() | theirs.keys():
        assert ours.get(key, 0.0) == pytest.approx(theirs.get(key, 0.0), rel=1e-6, abs=1e-6 * full.time_s)
    ends = sorted(delay + float(simulation.record.end[position]) for position, delay, _ in simulation.runs())
    assert ends == pytest.approx(sorted(full.record.end.tolist()), rel=1e-11)


def test_a_segment_that_never_settles_is_simulated_to_its_end(llama: Deployment, monkeypatch: Any) -> None:
    simulation = _simulation(llama, STEPS[0])
    monkeypatch.setattr("npusim.engine.event.repetition._period", lambda turns, record: None)
    again = simulate_program(simulation.rows, simulation.setting)
    assert again.repeated == ()
    assert again.time_s == pytest.approx(simulation.time_s, rel=1e-11)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("model", MODELS)
def test_the_critical_path_sums_to_the_step(deployed: Deploy, model: str, step: Step) -> None:
    deployment = deployed("rngd", model, uncalibrated=True, cards="auto")
    (piece,) = _engine(deployment).simulated(step)
    assert sum(path_shares(piece.simulation).values()) == pytest.approx(piece.cost.time_s, rel=1e-9)
    assert sum(piece.cost.shares_s.values()) == pytest.approx(piece.cost.time_s, rel=1e-9)
    assert set(piece.cost.shares_s) == set(RESOURCES)
    assert min(piece.cost.shares_s.values()) >= 0.0


@pytest.mark.parametrize("step", [STEPS[0], STEPS[3]])
def test_a_free_resource_saves_at_most_its_part_of_the_path(llama: Deployment, step: Step) -> None:
    (piece,) = _engine(llama).simulated(step)
    for kind in ("contraction", "vector", "memory", "link", "overhead"):
        saved = saved_if_free(piece.simulation, kind)
        assert -1e-9 * piece.cost.time_s <= saved <= piece.cost.shares_s[kind] * (1 + 1e-6) + 1e-9
    assert saved_if_free(piece.simulation, "memory") > 0.0


def test_both_engines_speak_one_protocol(llama: Deployment) -> None:
    engines: list[StepEngine] = [AnalyticEngine(llama), _engine(llama)]
    first, second = (engine.cost(STEPS[0]) for engine in engines)
    assert (first.memory_bytes, first.flops, first.clock) == (second.memory_bytes, second.flops, second.clock)


def test_a_step_of_several_pieces_is_their_sum(llama: Deployment) -> None:
    engine = _engine(llama)
    pieces = engine.simulated(prefill(1, 1500))
    assert len(pieces) == 2
    assert engine.cost(prefill(1, 1500)).time_s == sum(piece.cost.time_s for piece in pieces)


@pytest.mark.parametrize("step", [STEPS[1], STEPS[3]])
def test_the_same_step_gives_the_same_bytes(llama: Deployment, step: Step) -> None:
    first, second = (_simulation(llama, step).record for _ in range(2))
    for name in ("cause", "since", "start", "end"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert (first.rate, first.sram, first.events) == (second.rate, second.sram, second.events)


OTHER_UNITS = [
    ("h200", "llama-3.1-8b", "tp1", decode([2048] * 64)),
    ("h200", "llama-3.1-8b", "tp1", prefill(1, 2048)),
    ("h200", "llama-3.1-8b", "tp4", decode([2048] * 8)),
]


@pytest.mark.parametrize(("arch", "model", "plan", "step"), OTHER_UNITS)
def test_kernels_in_waves_take_the_closed_form_alone(
    deployed: Deploy, arch: str, model: str, plan: str, step: Step
) -> None:
    deployment = deployed(arch, model, uncalibrated=True, cards="auto", plan=plan)
    engine = AnalyticEngine(deployment)
    event = EventEngine(engine, arch)
    assert event.cost(step).time_s == pytest.approx(engine.cost(step).time_s, rel=0.01)
    tiles = [command.position.tile for command in event.simulated(step)[0].simulation.program.commands]
    assert max(tiles) > 1


def test_kernels_wait_for_a_memory_that_others_use(deployed: Deploy) -> None:
    """Four GPUs on one memory: decoding streams at a quarter of the rate, which the closed form cannot see."""
    engine = AnalyticEngine(deployed("h200", "llama-3.1-8b", uncalibrated=True, cards="auto", plan="tp4"))
    own, shared = (
        EventEngine(engine, "h200", Detail(dies_per_memory=dies)).cost(decode([2048] * 8)).time_s for dies in (1, 4)
    )
    assert shared > 1.5 * own


def _without_fixed_times(alter: Alter, deployment: Deployment, **values: Any) -> Deployment:
    launches = ("operator_launch", "attention_execution", "layer_launch", "step_launch")
    runtime = {f"paths_{name}": 0.0 for name in launches}
    names = ("program_time", "dma_command", "dma_startup", "cluster_sync", "ring_hop")
    machine = {f"tcp_{name}": 0.0 for name in names} | {"reduction_message": 0.0, "reduction_bandwidth": 1e30}
    return alter(deployment, **runtime, **machine, **values)


def test_endless_arithmetic_leaves_the_bandwidth_bound(llama: Deployment, altered: Alter) -> None:
    machine = llama.machine[0]
    names = ("macs_per_slice_bf16", "operand_stream_per_slice", "sram_bandwidth_per_slice", "vector_lanes")
    endless = {f"tcp_{name}": float(machine[f"tcp_{name}"]) * FREE for name in names} | {"tcp_reducer_drain": 0.0}
    deployment = _without_fixed_times(altered, llama, path_graph=1, **endless)
    for step in (decode([1024]), decode([1024] * 8)):
        cost = _engine(deployment).cost(step)
        simulation = _simulation(deployment, step)
        counted = zip(simulation.program.commands, simulation.copies(), strict=True)
        asked = sum(c.asked * int(n) for c, n in counted if c.queue.engine == DMA)
        assert cost.time_s == pytest.approx(asked / stream_bandwidth(machine, 8), rel=1e-3)
        assert asked == pytest.approx(cost.memory_bytes, rel=1e-3)
        assert cost.largest_share == "memory"


@pytest.mark.parametrize("step", [decode([1024] * 64), prefill(1, 512)])
def test_endless_bandwidth_leaves_the_arithmetic_bound(llama: Deployment, altered: Alter, step: Step) -> None:
    machine = llama.machine[0]
    names = ("memory_channel_bandwidth", "tcp_dma_bandwidth_per_pe")
    endless = {name: float(machine[name]) * FREE for name in names}
    simulation = _simulation(_without_fixed_times(altered, llama, **endless), step)
    main = defaultdict(float)
    for command, count in zip(simulation.program.commands, simulation.copies(), strict=True):
        main[command.queue] += command.work_s * int(count)
    work = max(seconds for queue, seconds in main.items() if queue.engine == "main")
    fills = max(seconds for queue, seconds in main.items() if queue.engine == "sub")
    assert work <= simulation.time_s <= (work + fills) * (1 + 1e-6)
    analytic = AnalyticEngine(_without_fixed_times(altered, llama, **endless)).operators(step)[1]
    arithmetic = (analytic["repeat"] * (analytic["contraction_s"] + analytic["vector_s"])).sum()
    assert work == pytest.approx(arithmetic, rel=0.02)


RATES = (
    "memory_channel_bandwidth",
    "tcp_dma_bandwidth_per_pe",
    "tcp_macs_per_slice_bf16",
    "tcp_operand_stream_per_slice",
    "tcp_sram_bandwidth_per_slice",
    "tcp_vector_lanes",
    "reduction_bandwidth",
    "tcp_clock",
    "tcp_sram_per_slice",
)
SLACK = 1 + 2.0**-8
"""The planner takes the plainest of tilings that are nearly alike: a faster chip may get one a little slower."""


@settings(max_examples=16)
@given(st.sampled_from(RATES), st.floats(1.0, 8.0), st.sampled_from([*STEPS, mixed([900], [(256, 512)])]))
def test_a_higher_rate_is_never_slower(deployed: Deploy, altered: Alter, name: str, factor: float, step: Step) -> None:
    """An operand stream as wide as the port of SRAM would keep transfers out while it runs: it stays below."""
    deployment = deployed("rngd", "llama-3.1-8b", uncalibrated=True)
    value = float(deployment.machine[name][0])
    if name == "tcp_operand_stream_per_slice":
        factor = min(factor, 3.0)
    more = value * (round(factor) if name == "tcp_vector_lanes" else factor)
    before, after = (_engine(each).cost(step).time_s for each in (deployment, altered(deployment, **{name: more})))
    assert after <= before * SLACK


@settings(max_examples=8)
@given(st.integers(1, 128), st.integers(1, 20000), st.integers(1, 4))
def test_a_longer_context_is_never_faster(deployed: Deploy, batch: int, context: int, factor: int) -> None:
    engine = _engine(deployed("rngd", "llama-3.1-8b", uncalibrated=True))
    shorter, longer = (engine.cost(decode([tokens] * batch)).time_s for tokens in (context, factor * context))
    assert shorter <= longer * SLACK


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", STEPS)
def test_energy_is_the_power_over_time(deployed: Deploy, model: str, step: Step) -> None:
    deployment = deployed("rngd", model, uncalibrated=True, cards="auto")
    engine = AnalyticEngine(deployment)
    event, analytic = EventEngine(engine, "rngd").cost(step), engine.cost(step)
    static = float(engine.machine["power_idle"] + engine.machine["power_loaded_static"]) * deployment.plan.chips
    assert event.energy_j - static * event.time_s == pytest.approx(analytic.energy_j - static * analytic.time_s)


def test_a_deeper_queue_fetches_further_ahead(llama: Deployment, altered: Alter) -> None:
    """With one entry nothing is fetched while a tile is used; with more, reductions hide more of the stream."""
    times = [_engine(altered(llama, tcp_dma_queue=float(depth))).cost(STEPS[0]).time_s for depth in (1, 2, 4)]
    assert times[0] > 1.05 * times[1] > 1.05 * times[2]


def test_a_small_sram_forces_small_tiles(llama: Deployment, altered: Alter) -> None:
    small = _simulation(altered(llama, tcp_sram_per_slice=24.0 * 1024), STEPS[0])
    large = _simulation(llama, STEPS[0])

    def loads(simulation: Simulation) -> int:
        return sum(command.queue.engine == DMA and bool(command.claim) for command in simulation.program.commands)

    assert loads(small) > 2 * loads(large)
    assert small.time_s > large.time_s
    rows = simulation_rows(small)
    assert max(command.claim for command in rows) <= small.program.room


@pytest.mark.parametrize("step", [decode([4096] * 16), prefill(1, 1024)])
def test_every_operator_fits_into_a_small_sram(llama: Deployment, altered: Alter, step: Step) -> None:
    """24 KiB a slice: KV, embeddings and weights come in tiles of which two fit."""
    simulation = _simulation(altered(llama, tcp_sram_per_slice=24.0 * 1024), step)
    room = simulation.program.room
    assert max(command.claim for command in simulation.program.commands) <= room
    assert all(level <= room for history in simulation.record.sram.values() for _, level in history)


def test_a_narrow_port_of_the_sram_makes_transfers_wait(llama: Deployment, altered: Alter) -> None:
    """Programs of the main context go first: memory streams slower beside them, and the step takes longer."""
    width = float(llama.machine[0]["tcp_operand_stream_per_slice"])
    wide, narrow = (
        _simulation(altered(llama, tcp_sram_bandwidth_per_slice=port), STEPS[0]) for port in (4 * width, width / 4)
    )
    assert narrow.time_s > 1.01 * wide.time_s
    assert min(rate for _, rate in narrow.record.rate if rate > 0.0) < 0.9 * max(rate for _, rate in wide.record.rate)
    for simulation in (wide, narrow):
        touched = sum(c.touched * int(n) for c, n in zip(simulation.program.commands, simulation.copies(), strict=True))
        moved = sum(c.wanted * int(n) for c, n in zip(simulation.program.commands, simulation.copies(), strict=True))
        assert touched + moved <= simulation.time_s * simulation.program.port * simulation.setting.clusters


def test_registers_too_small_for_all_tokens_are_filled_for_each_tile(llama: Deployment, altered: Alter) -> None:
    step = decode([64] * 64)
    for capacity, once in ((2.0**30, True), (0.0, False)):
        simulation = _simulation(altered(llama, tcp_register_file_per_slice=capacity), step)
        for index, plan in simulation.program.plans.items():
            turns = simulation.program.turns
            fills = [
                command
                for command in simulation.program.commands
                if command.position.row == index and command.queue == Queue(SUB, 0)
            ]
            seen = len({turn.turn for turn in turns if turn.segment == simulation.rows[index]["segment"]})
            assert plan.choice.filled_once <= once
            assert len(fills) == seen * plan.choice.blocks * (1 if plan.choice.filled_once else plan.choice.tiles)


def simulation_rows(simulation: Simulation) -> list[Any]:
    return [c for c in simulation.program.commands if simulation.rows[c.position.row]["kind"] == LINEAR]


def _alone(fields: Fields) -> Simulation:
    """An operator alone on one PE of RNGD, its activations in memory before and after, timed from its first command."""
    graph, _ = OperatorPredictor("rngd", "furiosa-llm-2026.3", fields, pes=1).costed(numbers_of("rngd", True))
    graph.runtime["paths_operator_launch"] = 0.0
    return simulate_program(graph.row, StepSetting(graph.machine, graph.runtime, graph.path, 1))


@pytest.mark.parametrize("rows", [1, 2, 32, 63])
def test_few_rows_of_a_table_are_fetched_one_after_the_other(rows: int) -> None:
    """The identities, a transfer a row, and the store: each starts up after the one before it."""
    simulation = _alone(gather(rows, 4096))
    machine = simulation.setting.machine
    startup, rate = simulation.setting.cycles_s("dma_startup"), float(stream_bandwidth(machine, 1.0))
    closed = (rows + 2) * startup + (4.0 * rows + 2 * rows * 8192.0) / rate
    assert simulation.time_s == pytest.approx(closed, rel=0.02)


def test_many_rows_of_a_table_are_one_transfer() -> None:
    """A row of the 64th token on takes its bytes alone, not a start-up."""
    few, many, more = (_alone(gather(rows, 4096)).time_s for rows in (63, 64, 128))
    assert many < 0.5 * few
    assert more - many < 64 * 2.1 * 8192.0 / 200e9


def test_tokens_pass_in_blocks_where_activations_pass_through_memory() -> None:
    """Weights pass again for every block, and less of the activations is loaded before and stored after all else."""
    simulation = _alone(linear("rngd", "bf16", 1024, 768, 4096))
    choice = simulation.program.plans[0].choice
    loads = [c for c in simulation.program.commands if c.what == "load"]
    assert choice.blocks > 1
    assert len(loads) == choice.blocks * choice.tiles
    assert sum(c.wanted for c in loads) == pytest.approx(choice.blocks * 768 * 4096 * 2.0)
    compute = choice.blocks * choice.tiles * (choice.compute_s + simulation.setting.program_s)
    moved = 2.0 * 1024 * (4096 + 768) / float(stream_bandwidth(simulation.setting.machine, 1.0))
    assert compute < simulation.time_s < compute + moved


def test_tokens_stay_together_where_activations_stay_in_sram(llama: Deployment) -> None:
    plans = _simulation(llama, prefill(1, 1024)).program.plans
    assert {plan.choice.blocks for plan in plans.values()} == {1}


KERNELS = Path(__file__).parent.parent / "validation" / "data" / "rngd" / "kernels.csv"


def test_published_kernels_are_met() -> None:
    """235 published kernels, blind: on average within 15 %, and in the right shape."""
    result = validate_table(KERNELS, uncalibrated=True, engine="event")
    assert (result.rows, len(result.skipped)) == (235, 0)
    assert summarise(result.main).mape <= 0.15
    predicted = {
        tuple(item.case.dimensions.get(name) for name in ("op", "pes", "tp", "tokens")): item.predicted
        for item in result.main
    }
    flat = [predicted["gate_up_proj", "1", "1", tokens] for tokens in ("1", "32", "128", "512", "2048")]
    assert flat[1] == pytest.approx(flat[0], rel=0.02)
    assert flat[2] == pytest.approx(flat[0], rel=0.15)
    assert flat[4] == pytest.approx(4.0 * flat[3], rel=0.1)
    reductions = [item.predicted for item in result.main if item.case.dimensions["op"] == "reduction"]
    for value, (low, high) in zip(
        sorted(reductions), [(1.5, 4), (1.5, 4), (10, 17), (10, 17), (45, 80), (45, 80)], strict=True
    ):
        assert low <= value <= high


@pytest.mark.parametrize(("pes", "measured"), [(1, 213.0), (2, 419.0), (4, 779.0), (8, 1346.0)])
def test_streams_of_one_matrix_take_the_measured_rate(
    deployed: Deploy, altered: Alter, pes: int, measured: float
) -> None:
    """GB/s that N PEs draw while down_proj streams; swsok/heteropilot collective_probe.json."""
    llama = altered(deployed("rngd", "llama-3.1-8b", uncalibrated=True), pe_fusion=float(pes), pes_beyond_fused=False)
    simulation = _simulation(llama, decode([64, 64]))
    rates = [rate for _, rate in simulation.record.rate]
    assert max(rates) / 1e9 == pytest.approx(measured, rel=0.15)


AGREEMENT = [("llama-3.1-8b", step) for step in STEPS]
AGREEMENT += [("llama-3.3-70b", STEPS[0]), ("qwen3-32b", STEPS[2])]
AGREEMENT += [(model, STEPS[3]) for model in ("qwen3-8b", "qwen3-4b", "qwen2.5-1.5b", "qwen2.5-0.5b", "qwen2.5-14b")]


@pytest.mark.parametrize(("model", "step"), AGREEMENT)
def test_engines_agree_on_served_steps(deployed: Deploy, model: str, step: Step) -> None:
    engine = AnalyticEngine(deployed("rngd", model, uncalibrated=True, cards="auto"))
    assert EventEngine(engine, "rngd").cost(step).time_s == pytest.approx(engine.cost(step).time_s, rel=0.04)


def test_engines_agree_where_nothing_contends(llama: Deployment, altered: Alter) -> None:
    """One PE, one operator after the other, room for all activations, arithmetic and stream far from equal."""
    room = 64.0 * float(llama.machine[0]["tcp_sram_per_slice"])
    engine = AnalyticEngine(
        altered(llama, pe_fusion=1.0, pes_beyond_fused=False, path_graph=0, paths_hidden=0.0, tcp_sram_per_slice=room)
    )
    for step in (decode([512]), decode([512] * 8), prefill(1, 1024)):
        assert EventEngine(engine, "rngd").cost(step).time_s == pytest.approx(engine.cost(step).time_s, rel=0.02)
