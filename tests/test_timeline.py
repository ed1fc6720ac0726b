"""The timeline of a step and its files, read back by Perfetto's own schema."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import mistake, tell
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.command import DMA
from npusim.engine.event.engine import EventEngine, SimulatedPiece, total_cost
from npusim.engine.event.timeline import HBM, POWER, RATE, SRAM, Timeline, timeline
from npusim.engine.event.trace_file import write_trace
from npusim.hardware.data import data_root
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.specialise import step_path
from npusim.workload.step import Step, decode, prefill

Deploy = Callable[..., Deployment]
Drawn = tuple[list[SimulatedPiece], Timeline]
NS = 1e9


@pytest.fixture(scope="module", params=[decode([1024]), prefill(1, 1500)], ids=["decode", "prefill"])
def drawn(request: pytest.FixtureRequest, deployed: Deploy) -> Drawn:
    deployment = deployed("rngd", "llama-3.1-8b", uncalibrated=True)
    pieces = EventEngine(AnalyticEngine(deployment), "rngd").simulated(request.param)
    return pieces, timeline(pieces)


def _area(history: list[tuple[float, float]]) -> float:
    times, values = np.array(history).T
    return float((np.diff(times) * values[:-1]).sum())


def test_every_command_of_every_repetition_is_drawn(drawn: Drawn) -> None:
    pieces, line = drawn
    commands = sum(int(piece.simulation.copies().sum()) for piece in pieces)
    assert sum(span.track != HBM for span in line.spans) == commands
    layers = {span.details["repetition"] for span in line.spans if span.details.get("segment") == 1}
    assert layers == set(range(32))
    assert max(span.end_s for span in line.spans) == pytest.approx(total_cost(pieces).time_s)


def test_spans_of_a_track_do_not_overlap_and_arrows_point_forward(drawn: Drawn) -> None:
    _, line = drawn
    tracks = defaultdict(list)
    for span in line.spans:
        assert 0.0 <= span.begin_s <= span.end_s
        tracks[span.track].append((span.begin_s, span.end_s))
    assert set(tracks) == set(line.tracks)
    for spans in tracks.values():
        spans.sort()
        assert all(after[0] >= before[1] - 1e-12 for before, after in itertools.pairwise(spans))
    for arrow in line.arrows:
        source, target = line.spans[arrow.source], line.spans[arrow.target]
        assert source.track.startswith("DMA")
        assert source.end_s <= target.begin_s + 1e-12
        assert source.details["repetition"] == target.details["repetition"]


def test_counters_add_up(drawn: Drawn) -> None:
    pieces, line = drawn
    cost = total_cost(pieces)
    assert _area(line.counters[POWER]) == pytest.approx(cost.energy_j, rel=1e-9)
    asked = sum(
        command.asked * int(count)
        for piece in pieces
        for command, count in zip(piece.simulation.program.commands, piece.simulation.copies(), strict=True)
        if command.queue.engine == DMA
    )
    assert _area(line.counters[RATE]) * 1e9 == pytest.approx(asked, rel=1e-9)
    held = [value for _, value in line.counters[SRAM]]
    assert min(held) >= 0.0
    assert max(held) <= 256.0


def test_the_file_is_a_perfetto_trace(drawn: Drawn, tmp_path: Path) -> None:
    _, line = drawn
    path = tmp_path / "step.pftrace"
    write_trace(line, path, "a step")
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    names, begun, flows = {}, defaultdict(list), [set(), set()]
    counted, last = 0, 0
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
            continue
        assert packet.timestamp >= last
        last = packet.timestamp
        event = packet.track_event
        if event.type == TrackEvent.TYPE_COUNTER:
            assert names[event.track_uuid] in (RATE, SRAM, POWER)
            counted += 1
        elif event.type == TrackEvent.TYPE_SLICE_BEGIN:
            begun[event.track_uuid].append(event.name)
            flows[0].update(event.flow_ids)
            flows[1].update(event.terminating_flow_ids)
        else:
            assert event.type == TrackEvent.TYPE_SLICE_END
            begun[event.track_uuid].append(None)
    assert counted == sum(len(history) for history in line.counters.values())
    assert sum(len(slices) for slices in begun.values()) == 2 * len(line.spans)
    for slices in begun.values():
        assert all(name is not None for name in slices[::2])
        assert set(slices[1::2]) == {None}
    assert flows[0] == flows[1] == set(range(1, len(line.arrows) + 1))
    assert {*line.tracks, *line.counters} <= set(names.values())
    again = tmp_path / "again.pftrace"
    write_trace(line, again, "a step")
    assert again.read_bytes() == path.read_bytes()


def test_a_json_name_gives_chrome_s_format(drawn: Drawn, tmp_path: Path) -> None:
    _, line = drawn
    path = tmp_path / "step.json"
    write_trace(line, path, "a step")
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    kinds = defaultdict(list)
    for event in events:
        kinds[event["ph"]].append(event)
    assert len(kinds["X"]) == len(line.spans)
    assert all(event["dur"] >= 0.0 for event in kinds["X"])
    assert {event["id"] for event in kinds["s"]} == {event["id"] for event in kinds["f"]}
    assert len(kinds["s"]) == len(line.arrows)
    assert {event["name"] for event in kinds["C"]} == set(line.counters)


STEP = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "1024", "--engine", "event")


def test_the_command_writes_and_explains(tmp_path: Path) -> None:
    path = tmp_path / "step.pftrace"
    told = tell(*STEP, "--trace", path, "--explain", "--json").json
    assert path.stat().st_size > 0
    assert told["engine"] == "event"
    assert told["events"] > 0
    rate = told["memory_rate_bytes_per_s"]
    assert rate["mean"] * told["time_us"] / 1e6 == pytest.approx(told["memory_bytes"], rel=0.01)
    assert rate["mean"] < rate["peak"] < 1.5e12
    assert sum(told["breakdown_us"].values()) == pytest.approx(told["time_us"])
    record = deploy("rngd", "llama-3.1-8b").runtime_record[0]
    path = step_path(1, False, record)
    own_us = 1e6 * float(record["paths_step_launch"][path] + 32 * np.nan_to_num(record["paths_layer_launch"][path]))
    launched_us = told["time_us"] - sum(entry["time_us"] for entry in told["ops"])
    assert launched_us == pytest.approx(own_us, rel=0.1)
    for entry in told["bottlenecks"]["operators"]:
        assert entry["saved_us"] <= entry["path_us"] * (1 + 1e-6) + 1e-3
    assert {entry["op"] for entry in told["tilings"]} == {"qkv", "out", "gate_up", "down", "lm_head"}
    said = tell(*STEP, "--explain").out
    assert "Bottlenecks" in said
    assert "The closed forms say" in said
    engines = told["engines"]
    assert sum(each["us"] for each in engines["causes"]) == pytest.approx(engines["event_us"] - engines["analytic_us"])
    assert engines["difference"] == pytest.approx(engines["event_us"] / engines["analytic_us"] - 1.0)


def test_intervals_follow_the_engine() -> None:
    told = tell(*STEP, "--interval", "--json").json["time_us"]
    assert told["low"] < told["value"] < told["high"]


def test_mistakes_are_told() -> None:
    assert "--engine event" in mistake(*STEP[:-2], "--trace", "x.pftrace")
    assert "there is no folder" in mistake(*STEP, "--trace", "/nowhere/at/all.pftrace")


def _gate_up(arch: str | Path) -> dict[str, Any]:
    told = tell("step", arch, *STEP[2:], "--uncalibrated", "--json").json
    (entry,) = (entry for entry in told["ops"] if entry["op"] == "gate_up")
    return {**entry, "step_us": told["time_us"]}


def test_the_example_of_the_starved_contraction_engine(tmp_path: Path) -> None:
    """docs/timeline.md: memory starves the contraction engine until one number is changed."""
    described = (data_root("arch_configs") / "rngd.yaml").read_text(encoding="utf-8")
    changed = described.replace("value: 32 B/cycle", "value: 2 B/cycle", 1)
    assert changed != described
    narrow = tmp_path / "narrow.yaml"
    narrow.write_text(changed, encoding="utf-8")
    before, after = _gate_up("rngd"), _gate_up(narrow)
    assert (before["bound"], after["bound"]) == ("memory", "contraction")
    assert before["busy_us"]["contraction"] < 0.2 * before["busy_us"]["memory"]
    assert after["busy_us"]["contraction"] > 1.2 * after["busy_us"]["memory"]
    assert after["busy_us"]["memory"] == pytest.approx(before["busy_us"]["memory"])
    assert 1.3 < after["step_us"] / before["step_us"] < 1.7


@pytest.mark.parametrize(
    ("row", "model", "cards", "step"),
    [
        ("Llama 3.1 8B on one RNGD", "llama-3.1-8b", 1, decode([1024])),
        ("Llama 3.3 70B on four", "llama-3.3-70b", 4, decode([1024] * 8)),
    ],
)
def test_the_documented_events_are_those_of_the_step(
    deployed: Deploy, row: str, model: str, cards: int, step: Step
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "timeline.md").read_text(encoding="utf-8")
    (told,) = (line.split("|")[2] for line in page.splitlines() if line.startswith(f"| {row}"))
    deployment = deployed("rngd", model, cards=cards, uncalibrated=True)
    (piece,) = EventEngine(AnalyticEngine(deployment), "rngd").simulated(step)
    assert piece.simulation.events == int(told.replace(",", ""))
