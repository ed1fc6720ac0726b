"""Timeline: what happened in a step, as spans on tracks, arrows between them, and counters over time.

Every repetition is there, also those that were not simulated but follow from the one that represents them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from npusim.engine.event.command import (
    CACHE,
    CHIP_LINK,
    CONTRACTION,
    CORE,
    DMA,
    HOST,
    MAIN,
    MESSAGE,
    NO_ROW,
    SUB,
    SWITCH,
    UNITS,
    VECTOR,
    Command,
    Queue,
)
from npusim.engine.event.engine import SimulatedPiece
from npusim.engine.event.repetition import Simulation
from npusim.engine.event.stalls import stall_details
from npusim.hardware.power import loaded_w
from npusim.kernels.power import energy_scale
from npusim.mapping.optable import OP_NAMES
from npusim.units import GB, MIB, US_PER_S

HBM = "HBM"
_MAIN_TRACKS = {CONTRACTION: "contraction engine", VECTOR: "vector engine"}
_TRACKS = {
    HOST: "host",
    CORE: "launch",
    DMA: "DMA",
    SUB: "registers",
    SWITCH: "switch",
    CHIP_LINK: "link",
    MESSAGE: "message",
    UNITS: "PIM units",
    CACHE: "cache",
}
_ORDER = (
    "host",
    HBM,
    "DMA",
    "cache",
    "launch",
    "registers",
    *_MAIN_TRACKS.values(),
    "PIM units",
    "switch",
    "link",
    "message",
)
RATE, SRAM, POWER = "HBM rate [GB/s]", "SRAM [MiB]", "power [W]"

_History = list[tuple[float, float]]


class Span(NamedTuple):
    """Seconds from the beginning of the step."""

    track: str
    name: str
    begin_s: float
    end_s: float
    details: dict[str, Any]


class Arrow(NamedTuple):
    """A transfer and what waited for it, by their indices among the spans."""

    source: int
    target: int


@dataclass
class Timeline:
    """tracks: names in the order in which they are shown; counters: by name (time in s, value), the value holding until
    the next time.
    """

    tracks: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    counters: dict[str, _History] = field(default_factory=dict)


def timeline(pieces: list[SimulatedPiece]) -> Timeline:
    """The timeline of a step whose pieces ran one after the other, of one chip."""
    drawn = Timeline(counters={RATE: [], SRAM: [], POWER: []})
    begin = 0.0
    for piece in pieces:
        _draw(piece, begin, drawn)
        begin += piece.cost.time_s
    names = dict.fromkeys(span.track for span in drawn.spans)
    drawn.tracks = sorted(names, key=lambda name: (_ORDER.index(name.split(" of ")[0]), name))
    return drawn


def _draw(piece: SimulatedPiece, begin: float, drawn: Timeline) -> None:
    simulation = piece.simulation
    _draw_spans(simulation, begin, drawn)
    rate = [(begin + time, rate) for time, rate in stretched(simulation, simulation.record.rate)]
    drawn.spans += _streaming(rate)
    drawn.counters[RATE] += [(time, value / GB) for time, value in rate]
    for channel in range(1, simulation.record.rates.shape[1] if simulation.setting.memory.every > 1 else 1):
        own = [(float(row[0]), float(row[channel])) for row in simulation.record.rates]
        drawn.counters.setdefault(f"HBM channel {channel - 1} [GB/s]", []).extend(
            (begin + time, value / GB) for time, value in stretched(simulation, own)
        )
    drawn.counters[SRAM] += [(begin + time, value / MIB) for time, value in _held(simulation)]
    drawn.counters[POWER] += [(begin + time, value) for time, value in _power(piece)]


def _draw_spans(simulation: Simulation, begin: float, drawn: Timeline) -> None:
    """A span for every run of every command, and an arrow from each transfer to what waits for it."""
    record, commands = simulation.record, simulation.program.commands
    latest: dict[int, int] = {}
    stalls = [stall_details(record, position) for position in range(len(commands))]
    for position, delay, again in simulation.runs():
        command, since = commands[position], begin + delay
        latest[position] = len(drawn.spans)
        span = _span(simulation, command, since + record.start[position], since + record.end[position], again)
        span.details.update(stalls[position])
        drawn.spans.append(span)
        if command.queue.engine != DMA:
            loads = [one for one in command.inputs if commands[one].queue.engine == DMA]
            drawn.arrows += [Arrow(latest[one], latest[position]) for one in loads]


def _span(simulation: Simulation, command: Command, begin: float, end: float, again: int) -> Span:
    engine, cluster, chip = command.queue
    track = _MAIN_TRACKS[command.kind] if engine == MAIN else _TRACKS[engine]
    details: dict[str, Any] = {"fixed_us": command.fixed_s * US_PER_S}
    name = command.what
    if command.position.row != NO_ROW:
        row = simulation.rows[command.position.row]
        name = f"{OP_NAMES[row['op']]}: {command.what}"
        repetition = command.position.turn + again
        details |= {"segment": int(row["segment"]), "repetition": repetition, "tile": command.position.tile}
    if command.wanted:
        details |= {"bytes": command.wanted}
    if engine == MESSAGE:
        ends = ("switch" if each < 0 else f"chip {each}" for each in (chip, cluster))
        return Span(f"{track} of {' to '.join(ends)}", name, float(begin), float(end), details)
    where = ([] if cluster < 0 else [f"cluster {cluster}"]) + ([] if chip == 0 else [f"chip {chip}"])
    return Span(" of ".join([track, *where]), name, float(begin), float(end), details)


def stretched(simulation: Simulation, history: _History) -> _History:
    """A history of the simulated time as one of the whole step: the window of a repeated turn, again and again."""
    stretched, delay, cut = [], 0.0, 0
    for each in simulation.repeated:
        opens = float(simulation.record.start[each.turn.first : each.turn.last].min())
        closes = opens + each.period_s
        window = [(time, value) for time, value in history if opens <= time < closes]
        before = [entry for entry in history[cut:] if entry[0] < closes]
        cut += len(before)
        stretched += [(time + delay, value) for time, value in before]
        for again in range(1, each.more + 1):
            stretched += [(time + delay + again * each.period_s, value) for time, value in window]
        delay += each.more * each.period_s
    return stretched + [(time + delay, value) for time, value in history[cut:]]


def _streaming(rate: _History) -> Iterator[Span]:
    """Spans in which the memory streams at one rate."""
    for (time, value), (until, _) in pairwise(rate):
        if value > 0.0 and until > time:
            yield Span(HBM, f"{value / GB:,.0f} GB/s", time, until, {})


def _held(simulation: Simulation) -> _History:
    """Bytes in SRAM of all clusters: activations of the largest operator, and tiles."""
    changes = []
    for history in simulation.record.sram.values():
        levels = stretched(simulation, history)
        changes += [(now, level - last) for (now, level), (_, last) in zip(levels[1:], levels, strict=False)]
    base = simulation.program.resident * len(simulation.record.sram)
    return _summed(base, changes)


def _power(piece: SimulatedPiece) -> _History:
    """Watts of one chip: static, and each operator's energy over the time in which it computes and transfers."""
    simulation, machine = piece.simulation, piece.simulation.setting.machine
    record = simulation.record
    scale = energy_scale(piece.cost.clock, machine)
    spent = _energies(simulation, piece.costs["compute_j"] * scale, piece.costs["transfer_j"])
    lasts = record.end - record.start
    watts = np.divide(spent, lasts, out=np.zeros_like(spent), where=lasts > 0.0)
    changes = []
    for position, delay, _ in simulation.runs():
        if watts[position] > 0.0:
            changes.append((delay + float(record.start[position]), float(watts[position])))
            changes.append((delay + float(record.end[position]), -float(watts[position])))
    changes.append((simulation.time_s, 0.0))
    return _summed(float(machine["power_idle"] + loaded_w(machine, piece.cost.clock)), changes)


def _energies(simulation: Simulation, compute_j: np.ndarray, transfer_j: np.ndarray) -> np.ndarray:
    """Joules of each command: a row's arithmetic over its programs, its traffic over its transfers, by their time."""
    record, commands = simulation.record, simulation.program.commands
    lasts = record.end - record.start
    members: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
    for position, command in enumerate(commands):
        if command.position.row != NO_ROW and _of_first_chip(command.queue):
            members[command.position.row, command.position.turn, command.queue.engine == MAIN].append(position)
    joules = np.zeros(len(commands))
    for (row, _, computing), positions in members.items():
        total = lasts[positions].sum()
        if total > 0.0:
            joules[positions] = (compute_j if computing else transfer_j)[row] * lasts[positions] / total
    return joules


def _of_first_chip(queue: Queue) -> bool:
    """Whether an engine spends energy of the first chip."""
    if queue.engine == MESSAGE:
        return 0 in (queue.chip, queue.cluster)
    return queue.engine in (MAIN, DMA, UNITS) and queue.chip == 0


def _summed(base: float, changes: _History) -> _History:
    """The level over time from its changes."""
    changes = sorted(changes)
    levels = accumulate((change for _, change in changes), initial=base)
    return list(dict(zip([0.0, *(time for time, _ in changes)], levels, strict=True)).items())
