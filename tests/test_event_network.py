"""Several chips: collectives as messages meet their closed forms where nothing contends, and differ where it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fabric_support import MESSAGE_S, RATE, fabric, level, machine_on, neighbours
from hypothesis import given
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.chip import ChipRun
from npusim.engine.event.collective import collective_record
from npusim.engine.event.command import DMA, MESSAGE, SWITCH, Command, Position, Program, Queue
from npusim.engine.event.command import LINK as ON_LINK
from npusim.engine.event.command import MEMORY as ON_MEMORY
from npusim.engine.event.core.state import ENGINES, LINK, MEMORY
from npusim.engine.event.engine import Detail, EventEngine, SimulatedPiece
from npusim.engine.event.network import Network
from npusim.engine.event.setting import StepSetting
from npusim.engine.event.stages import stages_time
from npusim.errors import UserError
from npusim.evidence.validation.validate import summarise, validate_table
from npusim.hardware.algorithms import SCHEDULES
from npusim.hardware.collectives import ALL_REDUCE, ALL_TO_ALL
from npusim.hardware.machine import GROUP_TENSOR
from npusim.hardware.reductions import MEMORY as THROUGH_MEMORY
from npusim.hardware.reductions import TOPOLOGIES
from npusim.kernels.collective import collective_time, schedule_time
from npusim.mapping.deployment import Deployment
from npusim.mapping.micro_batches import bubble_s
from npusim.mapping.plan import Plan
from npusim.workload.step import Step, decode, prefill

Deploy = Callable[..., Deployment]
Alter = Callable[..., Deployment]

FABRICS = {
    "switch": fabric(level("switch", 16, reduces=True)),
    "mesh": fabric(level("mesh", 8)),
    "sockets": fabric(level("switch", 4), level("mesh", 2, port="group")),
}


@pytest.mark.parametrize("name", FABRICS)
@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_messages_of_every_schedule_take_its_closed_form(name: str, size: float) -> None:
    """One group alone, each schedule by itself: within 2 %, chunked ones too."""
    joined, groups = FABRICS[name], neighbours(4, 1)
    for number, (operation, algorithm) in enumerate(SCHEDULES):
        machine = machine_on(joined, groups)
        closed = float(schedule_time(number, 0, size, GROUP_TENSOR, machine))
        only = machine_on(joined, groups, algorithm)
        if closed == float("inf"):
            continue
        record = collective_record(operation, size, GROUP_TENSOR, groups, joined, only)
        assert record.time_s == pytest.approx(closed, rel=0.02), algorithm


@given(st.sampled_from([ALL_REDUCE, ALL_TO_ALL]), st.floats(1e4, 1e8), st.floats(1.1, 10.0))
def test_a_larger_message_is_never_faster(operation: int, size: float, factor: float) -> None:
    joined, groups = FABRICS["sockets"], neighbours(8, 1)
    machine = machine_on(joined, groups)
    small, large = (
        collective_record(operation, amount, GROUP_TENSOR, groups, joined, machine).time_s
        for amount in (size, factor * size)
    )
    assert small <= large


def test_two_groups_share_the_link_between_sockets() -> None:
    """Pairs that cross the sockets: each alone has the link, both together have half of it each."""
    joined = FABRICS["sockets"]
    one, both = (((0, 4),), ((0, 4), (1, 5)))
    times = []
    for groups in (one, both):
        machine = machine_on(joined, groups)
        record = collective_record(ALL_TO_ALL, 1e9, GROUP_TENSOR, groups, joined, machine)
        times.append(record.time_s)
    assert times[1] == pytest.approx(2.0 * times[0], rel=0.01)
    assert record.lost[:, LINK].sum() > 0.4 * times[1]


@pytest.mark.parametrize("step", [decode([1024] * 8), prefill(1, 512)])
@pytest.mark.parametrize("plan", ["tp2", "tp2-pp2", "tp4"])
def test_engines_agree_on_plans_over_cards(deployed: Deploy, plan: str, step: Step) -> None:
    engine = AnalyticEngine(deployed("rngd", "llama-3.1-8b", uncalibrated=True, cards="auto", plan=plan))
    assert EventEngine(engine, "rngd").cost(step).time_s == pytest.approx(engine.cost(step).time_s, rel=0.02)


def _pieces(deployment: Deployment, step: Step, detail: Detail) -> list[SimulatedPiece]:
    return EventEngine(AnalyticEngine(deployment), "rngd", detail).simulated(step)


def test_two_dies_on_one_memory_share_its_rate(deployed: Deploy) -> None:
    """The closed forms give each die the whole rate; together they get what one would."""
    deployment = deployed("rngd", "llama-3.1-8b", uncalibrated=True, cards=2)
    (own,), (shared,) = (_pieces(deployment, decode([1024] * 8), Detail(dies_per_memory=dies)) for dies in (1, 2))
    assert shared.cost.time_s > 1.25 * own.cost.time_s
    peaks = [max(rate for _, rate in piece.simulation.record.rate) for piece in (own, shared)]
    assert peaks[1] <= 1.05 * peaks[0]
    assert shared.simulation.record.lost[:, MEMORY].sum() > own.simulation.record.lost[:, MEMORY].sum()


def test_dies_come_in_whole_groups(deployed: Deploy) -> None:
    with pytest.raises(UserError, match="whole number"):
        _pieces(deployed("rngd", "llama-3.1-8b", uncalibrated=True, cards=2), decode([64]), Detail(dies_per_memory=4))


def test_messages_that_pass_through_memory_meet_the_weights_there(deployed: Deploy, altered: Alter) -> None:
    """An all-to-all beside a prefetch of weights that is deep enough: the closed forms give both their full rate."""
    moe = deployed("rngd", "qwen3-30b-a3b", uncalibrated=True, cards=4, plan="tp2-dp2-ep4")
    passes = moe.machine[0]["fabric_transports_memory_passes"].copy()
    faster = {"fabric_levels_link_bandwidth": moe.machine[0]["fabric_levels_link_bandwidth"] * 40.0}
    deep = {"path_graph": 1, "tcp_dma_queue": 16.0}
    step, lost = decode([1024] * 64), []
    for factor in (0.0, 2.0):
        altered_moe = altered(moe, fabric_transports_memory_passes=passes * factor, **deep, **faster)
        (piece,) = _pieces(altered_moe, step, Detail())
        commands = piece.simulation.program.commands
        loads = [number for number, command in enumerate(commands) if command.queue.engine != MESSAGE]
        lost.append(float(piece.simulation.record.lost[loads][:, MEMORY].sum()))
    assert lost[1] > lost[0]


@pytest.mark.parametrize("passes", [0.0, 1.0])
def test_messages_that_pass_through_memory_take_their_part_of_the_dma_engines(
    deployed: Deploy, altered: Alter, passes: float
) -> None:
    """Engines alone bind: streams on two chips take longer by what a quarter as many bytes between them take."""
    two = deployed("rngd", "llama-3.1-8b", uncalibrated=True, cards=2, plan="tp2")
    machine = altered(two, memory_channel_bandwidth=1e15).machine[0]
    network = Network.of_plan(two.system.server.fabric, two.plan, machine)
    setting = StepSetting(machine, two.runtime_record[0], 0, 1, chips=2, network=network)
    amount, alone = 1e9, 1e9 / setting.engine_bytes_per_s
    program = Program(room=1e12, resident=0.0, port=1e15)
    for number in range(2):
        queue = Queue(DMA, 0, number)
        program.add(Command(queue, ON_MEMORY, Position(0, 0, 0), (), wanted=amount, asked=amount, streams=1.0))
    message = Command(Queue(MESSAGE, 1, 0), ON_LINK, Position(0, 0, 1), (), alone, streams=1.0, passes=passes)
    message.asked = 0.25 * amount
    program.add(message)
    record = ChipRun(program, setting).run()
    assert record.end == pytest.approx([alone * (1.0 + 0.25 * passes)] * 2 + [alone], rel=1e-9)
    assert (record.lost[:, ENGINES] > 0.0).tolist() == [passes > 0.0] * 2 + [False]


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5), st.integers(1, 5), st.booleans())
def test_a_pipeline_of_like_parts_is_the_closed_form(parts: list[float], stages: int, decoding: bool) -> None:
    """Of unlike parts a prompt is, too; decoding waits for the longest part where the stages outnumber the parts."""
    plan = Plan(tensor_parallel=1, cards=stages, pipeline_parallel=stages)
    even = [parts[0]] * len(parts)
    assert stages_time(even, stages, decoding) == pytest.approx(sum(even) + bubble_s(even, plan, decoding))
    if not decoding:
        assert stages_time(parts, stages, False) == pytest.approx(sum(parts) + bubble_s(parts, plan, False))
    else:
        assert stages_time(parts, stages, True) >= sum(parts) - 1e-9


def test_the_first_message_of_a_rank_leaves_before_the_others(deployed: Deploy) -> None:
    """Messages that a rank sends beside others cost their software time each, one after the other."""
    joined, groups = FABRICS["switch"], neighbours(8, 1)
    machine = machine_on(joined, groups)
    record = collective_record(ALL_TO_ALL, 8.0, GROUP_TENSOR, groups, joined, machine)
    closed = float(collective_time(ALL_TO_ALL, 8.0, GROUP_TENSOR, machine))
    assert record.time_s == pytest.approx(closed, rel=0.01)
    assert closed > 6 * MESSAGE_S
    assert RATE > 0.0


def test_published_times_of_nccl_are_met_by_events() -> None:
    """Collectives on 2, 4 and 8 H200: on average within 7.5 %."""
    table = Path(__file__).parent.parent / "validation" / "data" / "gpu_public" / "h200_nccl.csv"
    result = validate_table(table, engine="event")
    assert (result.rows, len(result.skipped)) == (84, 0)
    assert summarise(result.main).mape <= 0.075


@pytest.mark.parametrize("topology", range(len(TOPOLOGIES)))
def test_reductions_over_pes_take_their_closed_form_or_meet_the_weights(
    deployed: Deploy, altered: Alter, topology: int
) -> None:
    """On the chip's own network nothing is in their way; through memory they share its rate with the weights."""
    llama = altered(deployed("rngd", "llama-3.1-8b", uncalibrated=True), reduction_topology=topology)
    engine = AnalyticEngine(llama)
    (piece,) = EventEngine(engine, "rngd").simulated(decode([1024] * 8))
    joins = [
        number
        for number, command in enumerate(piece.simulation.program.commands)
        if command.queue.engine == SWITCH and command.asked > 0.0
    ]
    record = piece.simulation.record
    lost = record.lost[joins][:, MEMORY].sum()
    assert (lost > 0.0) == (topology == THROUGH_MEMORY)
    program = piece.simulation.program
    for number in joins if topology != THROUGH_MEMORY else ():
        row = program.commands[number].position.row
        closed = program.plans[row].choice.reduce_s
        assert record.end[number] - record.start[number] == pytest.approx(closed, rel=1e-6)


@pytest.mark.parametrize("step", [decode([1024] * 4), prefill(1, 512)])
def test_a_collective_runs_beside_its_producer_as_far_as_the_fabric_says(
    deployed: Deploy, altered: Alter, step: Step
) -> None:
    """Its first part is sent while the last tiles are computed, the rest when the sum over the PEs is there."""
    base = deployed("rngd", "llama-3.1-8b", uncalibrated=True, cards=2)
    engine = AnalyticEngine(altered(base, fabric_overlap=0.4))
    event = EventEngine(engine, "rngd").cost(step).time_s
    assert event == pytest.approx(engine.cost(step).time_s, rel=0.02)
    assert event < 0.99 * EventEngine(AnalyticEngine(base), "rngd").cost(step).time_s
