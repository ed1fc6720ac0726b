"""Draws docs/images/architecture.svg, who imports whom, from the code: `python docs/make_architecture.py`."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
GROUND = "ground"
"""The modules of the lowest floor, which import only each other, drawn as one room."""
_HIDDEN = ("__init__", "__main__")
_ROW, _LEFT, _TOP, _CELL = 26, 640, 110, 20


def floors() -> dict[str, int]:
    """The floor of each part of the package, as tests/test_floors.py holds the code to it."""
    tree = ast.parse((ROOT / "tests" / "test_floors.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            found: dict[str, int] = ast.literal_eval(node.value)
            return found
    raise LookupError("tests/test_floors.py has no table FLOORS")


def imports(part: str) -> set[str]:
    """Other parts of the package that a part's modules import, at their head or later."""
    path = ROOT / "npusim" / part
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return {name for file in files for name in _imported(ast.parse(file.read_text(encoding="utf-8")))} - {part}


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "npusim":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("npusim."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("npusim."))


def _says(room: str) -> str:
    """The first line of what a room says of itself."""
    docstring = ast.get_docstring(ast.parse((ROOT / "npusim" / room / "__init__.py").read_text(encoding="utf-8")))
    return html.escape((docstring or "").split("\n")[0], quote=False)


def rooms() -> list[tuple[str, int, str, set[str]]]:
    """Name, floor, what it says of itself, and the rooms that it imports: from the top floor down."""
    table = {part: floor for part, floor in floors().items() if part not in _HIDDEN}
    ground = [part for part, floor in table.items() if floor == 0]
    upper = sorted((part for part in table if part not in ground), key=lambda part: (-table[part], part))
    found = []
    for room in upper:
        known = imports(room)
        drawn = {name for name in upper if name in known} | ({GROUND} if known.intersection(ground) else set())
        found.append((room, table[room], _says(room), drawn))
    return [*found, (GROUND, 0, ", ".join(sorted(ground)), set())]


def picture() -> str:
    """SVG: a row a room, and a column a room; a mark where the row's imports the column's."""
    drawn = rooms()
    column = {room: _LEFT + 14 + _CELL * index for index, (room, *_) in enumerate(drawn)}
    bottom, right = _TOP + _ROW * len(drawn), _LEFT + 24 + _CELL * len(drawn)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {bottom + 34}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{right}" height="{bottom + 34}" fill="white"/>',
        '<text x="16" y="30" font-size="17">Floors and rooms of npusim</text>',
        '<text x="16" y="52" fill="#444">A dot: the room of the row imports that of the column.</text>',
    ]
    for room, x in column.items():
        lines.append(f'<text transform="translate({x + 4} {_TOP - 8}) rotate(-60)">{room}</text>')
        lines.append(f'<path d="M{x} {_TOP}V{bottom}" stroke="#eee"/>')
    for index, (room, floor, says, known) in enumerate(drawn):
        y = _TOP + _ROW * index + _ROW // 2
        if index % 2 == 0:
            lines.append(
                f'<rect x="8" y="{y - _ROW // 2}" width="{right - 16}" height="{_ROW}" fill="#eaf0f8" opacity="0.6"/>'
            )
        lines.append(f'<text x="32" y="{y + 4}" text-anchor="end">{floor}</text>')
        lines.append(f'<text x="42" y="{y + 4}" font-weight="bold">{room}</text>')
        lines += _wrapped(says, y)
        lines.append(f'<rect x="{column[room] - 6}" y="{y - 6}" width="12" height="12" fill="none" stroke="#888"/>')
        lines += [f'<circle cx="{column[name]}" cy="{y}" r="5" fill="#2f5d9b"/>' for name in column if name in known]
    lines.append(f'<text x="16" y="{bottom + 22}" fill="#444">Drawn from the code by docs/make_architecture.py.</text>')
    return "\n".join([*lines, "</svg>", ""])


def _wrapped(text: str, y: int) -> list[str]:
    """The text beside a room's name, in one line or in two smaller ones."""
    if len(text) <= 88:
        return [f'<text x="120" y="{y + 4}" fill="#333" font-size="11">{text}</text>']
    cut = text.rfind(" ", 0, 100)
    return [
        f'<text x="120" y="{y + shift}" fill="#333" font-size="10">{part}</text>'
        for shift, part in ((-2, text[:cut]), (9, text[cut + 1 :]))
    ]


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
