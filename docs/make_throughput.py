"""Draws docs/images/throughput.svg, the README's picture: `python docs/make_throughput.py` predicts the grid first.

The file is text. Every point has a title that a browser shows and that a test compares with a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npusim

PICTURE = Path(__file__).resolve().parent / "images" / "throughput.svg"
ARCH, MODEL, METRIC = "rngd", "llama-3.1-8b", "total_tokens_per_s"
_SIZE = (900, 480)
_AREA = (70, 60, 690, 420)
"""Left, top, right and bottom of the axes in the picture, in its units."""
_USERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_RATES = (50, 100, 200, 500, 1000, 2000, 5000, 10000)
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("", "6 3", "", "8 3 2 3", "", "6 3", "2 3")


def told(row: Any) -> str:
    """The title of a point: its shape, users and prediction with the interval."""
    return (
        f"{row.isl:,} / {row.osl:,}, {row.users} users: {getattr(row, METRIC):,.0f} tokens/s "
        f"({getattr(row, METRIC + '_low'):,.0f} to {getattr(row, METRIC + '_high'):,.0f})"
    )


def _x(users: float) -> float:
    return _between(_AREA[0], _AREA[2], users, _USERS[0], _USERS[-1])


def _y(rate: float) -> float:
    return _between(_AREA[3], _AREA[1], rate, _RATES[0], _RATES[-1])


def _between(start: float, end: float, value: float, low: float, high: float) -> float:
    return start + (end - start) * math.log(value / low) / math.log(high / low)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{text}</text>'


def _axes() -> Iterator[str]:
    left, top, right, bottom = _AREA
    for users in _USERS:
        yield f'<path d="M{_x(users):.1f} {top}V{bottom}" stroke="#ddd"/>'
        yield _text(_x(users), bottom + 18, f"{users}", 'text-anchor="middle"')
    for rate in _RATES:
        yield f'<path d="M{left} {_y(rate):.1f}H{right}" stroke="#ddd"/>'
        yield _text(left - 8, _y(rate) + 4, f"{rate:,}", 'text-anchor="end"')
    yield _text((left + right) / 2, bottom + 40, "Users", 'text-anchor="middle"')
    yield _text(left, top - 12, "Total throughput [tokens/s]")


def _line(number: int, rows: list[Any]) -> Iterator[str]:
    colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
    xs = [_x(row.users) for row in rows]
    low, high, value = ([_y(getattr(row, METRIC + end)) for row in rows] for end in ("_low", "_high", ""))
    around = [*zip(xs, high, strict=True), *reversed(list(zip(xs, low, strict=True)))]
    yield f'<polygon points="{_points(around)}" fill="{colour}" fill-opacity="0.08"/>'
    path = _points(list(zip(xs, value, strict=True)))
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    for row, x, y in zip(rows, xs, value, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{told(row)}</title></circle>'
    key = _AREA[1] + 24 * (number + 1)
    yield f'<path d="M710 {key}h34" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    yield _text(752, key + 4, f"{rows[0].isl:,} / {rows[0].osl:,}")


def _points(pairs: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def draw(result: Any) -> str:
    """The picture of a GridResult as SVG text."""
    cells = [row for row in result.cells.itertuples() if getattr(row, METRIC) > 0.0]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE[0]} {_SIZE[1]}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{_SIZE[0]}" height="{_SIZE[1]}" fill="white"/>',
        _text(18, 26, "FuriosaAI RNGD, Llama 3.1 8B: predicted, shaded with 90 % intervals", 'font-size="17"'),
        _text(710, _AREA[1], "Input / output tokens"),
        *_axes(),
    ]
    for number, shape in enumerate(dict.fromkeys((row.isl, row.osl) for row in cells)):
        lines += _line(number, [row for row in cells if (row.isl, row.osl) == shape])
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    (grid,) = npusim.kperf(ARCH, [MODEL])
    PICTURE.write_text(draw(grid), encoding="utf-8")
