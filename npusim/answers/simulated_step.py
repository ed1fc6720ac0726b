"""A step under the event engine, as plain JSON-ready figures: operators, bottlenecks, tilings, the trace file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from npusim.engine.event.bottleneck import path_shares, saved_if_free
from npusim.engine.event.command import DMA, NO_ROW, Queue
from npusim.engine.event.engine import SimulatedPiece
from npusim.engine.event.repetition import Simulation
from npusim.engine.event.stalls import SHARED, stalls_of
from npusim.engine.event.timeline import timeline
from npusim.engine.event.trace_file import write_trace
from npusim.engine.stepcost import RESOURCES, StepCost
from npusim.errors import UserError
from npusim.mapping.optable import KIND_NAMES, OP_NAMES
from npusim.units import US_PER_S

HIDDEN = "hidden"
"""What bounds an operator that is nowhere on the critical path."""
_SHAPE = ("m", "n", "k", "batch", "query", "kv")


def engines_figures(pieces: list[SimulatedPiece], event: StepCost, analytic: StepCost) -> dict[str, Any]:
    """Both engines' answers, and why they part.

    difference: of the event engine's time from the closed forms', over the latter; causes: what each resource adds to
    it, the largest first, in sum the difference (of the event engine a resource has its part of the critical path);
    contention_us: what sharing took from units of a chip, by what they share, mean over the units of a kind.
    """
    apart = {name: (event.shares_s[name] - analytic.shares_s[name]) * US_PER_S for name in RESOURCES}
    contention: dict[str, float] = defaultdict(float)
    for piece in pieces:
        for (unit, cause), seconds in stalls_of(piece.simulation).items():
            if cause.startswith(SHARED):
                contention[f"{unit}: {cause}"] += seconds * US_PER_S
    return {
        "event_us": event.time_us,
        "analytic_us": analytic.time_us,
        "difference": event.time_s / analytic.time_s - 1.0,
        "causes": [{"cause": name, "us": apart[name]} for name in sorted(apart, key=lambda name: -abs(apart[name]))],
        "contention_us": dict(sorted(contention.items(), key=lambda item: -item[1])),
    }


def simulated_figures(pieces: list[SimulatedPiece], explain: bool) -> dict[str, Any]:
    """ops: as of the analytic engine, time_us being each operator's part of the critical path; events: processed;
    memory_rate_bytes_per_s: mean over the step, and peak.

    With `explain` also stalls (how long the units of a chip stood still or were slowed, by cause), bottlenecks (what
    the step would save without a resource, and each operator without the one that holds it up most) and tilings (the
    planner's choice for each linear operator, and the next best).
    """
    figures: dict[str, Any] = {
        "ops": [entry for piece in pieces for entry in _operators(piece.simulation)],
        "events": sum(piece.simulation.events for piece in pieces),
        "memory_rate_bytes_per_s": _memory_rate(pieces),
    }
    if explain:
        figures["stalls"] = _stalls(pieces)
        figures["bottlenecks"] = _bottlenecks(pieces)
        figures["tilings"] = [entry for piece in pieces for entry in _tilings(piece.simulation)]
    return figures


def write_step_trace(pieces: list[SimulatedPiece], path: Path, title: str) -> None:
    """Write the timeline of a step. Raises UserError where the file cannot be written."""
    try:
        write_trace(timeline(pieces), path, title)
    except OSError as error:
        raise UserError("--trace", str(path), f"cannot be written: {error.strerror}") from error


def _memory_rate(pieces: list[SimulatedPiece]) -> dict[str, float]:
    """Bytes/s drawn from memory, those of access units that are not wanted included."""
    drawn = 0.0
    for simulation in (piece.simulation for piece in pieces):
        asked = np.array([command.asked * (command.queue[::2] == (DMA, 0)) for command in simulation.program.commands])
        drawn += float(asked @ simulation.copies())
    peak = max(rate for piece in pieces for _, rate in piece.simulation.record.rate)
    return {"mean": drawn / sum(piece.cost.time_s for piece in pieces), "peak": peak}


def _operators(simulation: Simulation) -> list[dict[str, Any]]:
    """One entry per row, times of all its repeats together."""
    shares, busy = path_shares(simulation), _busy(simulation)
    entries = []
    for index, row in enumerate(simulation.rows):
        path = {name: shares.get((index, name), 0.0) * US_PER_S for name in RESOURCES}
        repeat = int(row["repeat"])
        bound = max(RESOURCES, key=lambda name, path=path: path[name]) if any(path.values()) else HIDDEN  # type: ignore[misc]
        entries.append(
            {
                "op": OP_NAMES[row["op"]],
                "kind": KIND_NAMES[row["kind"]],
                "segment": int(row["segment"]),
                "repeat": repeat,
                **{name: float(row[name]) for name in _SHAPE},
                "memory_bytes": float(row["weight_bytes"] + row["kv_read_bytes"] + row["kv_write_bytes"]) * repeat,
                "flops": float(row["flops"]) * repeat,
                "time_us": sum(path.values()),
                "bound": bound,
                "path_us": path,
                "busy_us": {name: busy[index, name] * US_PER_S for name in RESOURCES},
            }
        )
    return entries


def _busy(simulation: Simulation) -> dict[tuple[int, str], float]:
    """Seconds in which each row kept a resource busy, of the queue where that was longest."""
    record, copies = simulation.record, simulation.copies()
    by_cluster: dict[tuple[int, str, Queue], float] = defaultdict(float)
    for position, command in enumerate(simulation.program.commands):
        lasts = float(record.end[position] - record.start[position]) * int(copies[position])
        by_cluster[command.position.row, command.kind, command.queue] += lasts
    busy: dict[tuple[int, str], float] = defaultdict(float)
    for (row, kind, _), seconds in by_cluster.items():
        busy[row, kind] = max(busy[row, kind], seconds)
    return busy


def _bottlenecks(pieces: list[SimulatedPiece]) -> dict[str, Any]:
    """steps: by resource; operators: each with the resource that has most of its critical path. Microseconds."""
    step: dict[str, dict[str, float]] = {}
    operators = []
    for piece in pieces:
        simulation = piece.simulation
        for kind in RESOURCES:
            if piece.cost.shares_s[kind] > 0.0:
                entry = step.setdefault(kind, {"path_us": 0.0, "saved_us": 0.0})
                entry["path_us"] += piece.cost.shares_s[kind] * US_PER_S
                entry["saved_us"] += saved_if_free(simulation, kind) * US_PER_S
        held_up: dict[int, tuple[float, str]] = {}
        for (row, kind), seconds in path_shares(simulation).items():
            if row != NO_ROW:
                held_up[row] = max(held_up.get(row, (0.0, "")), (seconds, kind))
        for row, (seconds, kind) in sorted(held_up.items()):
            saved = saved_if_free(simulation, kind, row)
            name = OP_NAMES[simulation.rows[row]["op"]]
            operators.append(
                {"op": name, "resource": kind, "path_us": seconds * US_PER_S, "saved_us": saved * US_PER_S}
            )
    return {"step": step, "operators": operators}


def _stalls(pieces: list[SimulatedPiece]) -> list[dict[str, Any]]:
    """Microseconds by unit and cause, the longest first; mean over the units of that kind."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    for piece in pieces:
        for key, seconds in stalls_of(piece.simulation).items():
            total[key] += seconds
    found = [{"unit": unit, "cause": cause, "us": seconds * US_PER_S} for (unit, cause), seconds in total.items()]
    return sorted(found, key=lambda entry: -entry["us"])


def _tilings(simulation: Simulation) -> list[dict[str, Any]]:
    entries = []
    for index, plan in simulation.program.plans.items():
        other = plan.runner_up
        entries.append(
            {
                "op": OP_NAMES[simulation.rows[index]["op"]],
                "choice": plan.choice.text,
                "predicted_us": plan.choice.predicted_s * US_PER_S,
                "useful": plan.choice.useful,
                "runner_up": None if other is None else other.text,
                "runner_up_us": None if other is None else other.predicted_s * US_PER_S,
                "reason": plan.reason,
            }
        )
    return entries
