"""Draws docs/images/contention.svg: `python docs/make_contention.py` simulates a step in which weights, units in memory
and messages between two chips want the same memory.

Two chips of RNGD+ with HBM3e-PIM share Llama 3.1 8B. Attention is in memory, the queue of the DMA holds eight tiles,
and messages pass memory at both ends. The picture is one layer on the first chip; spans that others slow down say who.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.engine import EventEngine, SimulatedPiece
from npusim.engine.event.timeline import RATE, Span, Timeline, timeline
from npusim.mapping.deployment import deploy
from npusim.workload.step import decode

PICTURE = Path(__file__).resolve().parent / "images" / "contention.svg"
_WIDTH, _LEFT, _TOP, _ROW, _CURVE = 900, 150, 46, 26, 90
_LAYER = 3
_COLOURS = {"DMA": "#0072b2", "contraction engine": "#009e73", "vector engine": "#56b4e9", "PIM units": "#cc79a7"}
_OTHER, _SLOWED = "#888888", "#d55e00"
_TRACKS = (
    "DMA of cluster 0", "contraction engine of cluster 0", "PIM units", "switch", "message of chip 0 to chip 1",
)  # fmt: skip
_NUMBERS = {"path_graph": 1, "paths_attention_execution": 1e-2}
_PLENTY = 8.0
"""Tiles that the DMA queue holds."""


class _Frame(NamedTuple):
    """Seconds at the left and the right edge, and the largest rate in GB/s."""

    begin: float
    end: float
    rate: float

    def x(self, time: float) -> float:
        inside = min(max(time, self.begin), self.end)
        return _LEFT + (_WIDTH - _LEFT - 20) * (inside - self.begin) / (self.end - self.begin)


def simulated() -> SimulatedPiece:
    """The step."""
    base = deploy("rngd-hbm3e-pim", "llama-3.1-8b", uncalibrated=True, cards=2, tensor_parallel=2, offload="attention")
    machine, runtime = base.machine.copy(), base.runtime_record.copy()
    machine["tcp_dma_queue"] = _PLENTY
    for name, value in _NUMBERS.items():
        runtime[name] = value
    (piece,) = EventEngine(AnalyticEngine(base.with_records(machine, runtime)), "rngd-hbm3e-pim").simulated(
        decode([8192] * 8)
    )
    return piece


def _layer(line: Timeline) -> list[Span]:
    return [span for span in line.spans if span.details.get("repetition") == _LAYER and span.track in _TRACKS]


def _slowed(span: Span) -> tuple[str, float]:
    """Who took most from a span, and its part of the time."""
    lost = {name: value for name, value in span.details.items() if name.startswith("lost to")}
    if not lost or span.end_s == span.begin_s:
        return "", 0.0
    name = max(lost, key=lambda each: lost[each])
    return name.removeprefix("lost to ").removesuffix(" [us]"), lost[name] / ((span.end_s - span.begin_s) * 1e6)


def _spans(spans: list[Span], frame: _Frame) -> Iterator[str]:
    for span in spans:
        y = _TOP + _CURVE + 20 + _ROW * _TRACKS.index(span.track)
        left, right = frame.x(span.begin_s), frame.x(span.end_s)
        who, part = _slowed(span)
        kind = span.track.split(" of ")[0]
        colour = _SLOWED if part > 0.1 else _COLOURS.get(kind, _OTHER)
        told = f"{span.name}, {(span.end_s - span.begin_s) * 1e6:.1f} us"
        told += f", {part:.0%} lost to {who}" if who else ""
        place = f'x="{left:.1f}" y="{y}" width="{max(0.6, right - left - 0.4):.1f}" height="{_ROW - 6}"'
        yield f'<rect {place} fill="{colour}"><title>{told}</title></rect>'


def _curve(line: Timeline, frame: _Frame) -> str:
    """The rate of the first chip's memory."""
    bottom = _TOP + _CURVE
    path, last = f"M{_LEFT} {bottom}", 0.0
    for time, value in line.counters[RATE]:
        if frame.begin <= time <= frame.end:
            path += f"H{frame.x(time):.1f}V{bottom - _CURVE * value / frame.rate:.1f}"
        last = value if time <= frame.end else last
    return f'<path d="{path}H{_WIDTH - 20}V{bottom}Z" fill="#cfe2f3" stroke="#0072b2"/>'


def _labels(frame: _Frame) -> Iterator[str]:
    yield '<text x="20" y="20" font-weight="bold">One layer: weights, PIM units and messages in one memory</text>'
    yield f'<text x="20" y="36" fill="{_SLOWED}">orange: slowed by others by more than a tenth</text>'
    yield f'<text x="{_LEFT - 8}" y="{_TOP + 12}" text-anchor="end">{frame.rate:,.0f} GB/s</text>'
    yield f'<text x="{_LEFT - 8}" y="{_TOP + _CURVE}" text-anchor="end">memory 0</text>'
    for number, track in enumerate(_TRACKS):
        y = _TOP + _CURVE + 34 + _ROW * number
        name = track.removesuffix(" of cluster 0").replace("message of chip 0 to chip 1", "messages 0 to 1")
        yield f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end">{name}</text>'
    bottom = _TOP + _CURVE + 44 + _ROW * len(_TRACKS)
    yield f'<text x="{_WIDTH - 20}" y="{bottom}" text-anchor="end">{(frame.end - frame.begin) * 1e6:,.0f} us</text>'


def picture() -> str:
    """The file's text."""
    line = timeline([simulated()])
    spans = _layer(line)
    rate = max(value for _, value in line.counters[RATE])
    frame = _Frame(min(span.begin_s for span in spans), max(span.end_s for span in spans), rate)
    height = _TOP + _CURVE + 60 + _ROW * len(_TRACKS)
    parts = [_curve(line, frame), *_spans(spans, frame), *_labels(frame)]
    font = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {font}>'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
