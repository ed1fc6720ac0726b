"""Writes the tables of injected errors into check-a-table.md from the golden: `python docs/make_confusion.py`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "check-a-table.md"
GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "injections.json"
_BEGIN, _END = "<!-- begin of docs/make_confusion.py -->\n", "<!-- end of docs/make_confusion.py -->\n"
_MARKS = {"accused": "x", "doubted": "?", "refused": "r", "missed": "**-**"}


def table(golden: dict[str, dict[str, dict[str, str]]]) -> Iterator[str]:
    """Formats with what was caught of them, then every error by format."""
    errors, sound = golden["errors"], golden["sound"]
    yield "| format | errors | accused | doubted | refused | missed | sound rows | of them accused |\n"
    yield f"|---{'|---' * 7}|\n"
    for name, scores in errors.items():
        counts, rows = Counter(scores.values()), sound.get(name, {"rows": "-", "accused": "-"})
        cells = [name, len(scores), *(counts[score] for score in _MARKS), rows["rows"], rows["accused"]]
        yield f"| {' | '.join(map(str, cells))} |\n"
    names = [name for name in errors if name in sound]
    yield f"\n| error put into one row, or all | {' | '.join(names)} |\n|---{'|---' * len(names)}|\n"
    for error in dict.fromkeys(error for name in names for error in errors[name]):
        marks = [_MARKS.get(errors[name].get(error, ""), "") for name in names]
        yield f"| {error} | {' | '.join(marks)} |\n"
    logs = ", ".join(f"{error} ({score})" for error, score in errors["sensor log"].items())
    yield f"\nSensor logs: {logs}.\n"


def page() -> str:
    """The page with the tables of the golden."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    tables = "".join(table(json.loads(GOLDEN.read_text(encoding="utf-8"))))
    return f"{before}{_BEGIN}{tables}{_END}{rest.partition(_END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
