"""`npusim show`: one architecture, model, runtime, memory, event-driven unit or file of rules, each number with its
provenance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from npusim import api
from npusim.api.catalog import ShowOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table


@command(ShowOptions)
def show(asked: ShowOptions, as_json: bool) -> None:
    """Show one thing that npusim list names, or your own file: peaks, capacities, and every number with its source."""
    found = api.show.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    console = stdout_console()
    answer: dict[str, Any] = dict(found.answer)
    config, per, software = answer.pop("config"), answer.pop("per", None), answer.pop("software", None)
    console.print(f"{answer['name']} ({answer['kind']}): {answer['title']}")
    console.print(table(("", ""), _facts(answer), text_columns=2))
    if per:
        console.print(table(("", *(f"per {scope}" for scope in per)), _by_scope(per), text_columns=1))
    if software:
        told = f"Software {software['name']}, usually {software['state']}. As labs ran it: {software['as_labs_ran']}."
        console.print(told)
        rows = list(_mechanisms(software))
        console.print(table(_MECHANISMS, rows, "What tuned software does otherwise", text_columns=len(_MECHANISMS)))
    rows = [_provenance_row(path, number) for path, number in _provenances(config)]
    if rows:
        headings = ("number", "value", "kind", "90 % range", "source")
        console.print(table(headings, rows, "Numbers and their provenances", text_columns=5))
    if answer["kind"] == "model" or not rows:
        console.print(table(("key", "setting"), _settings(config), "Shape", text_columns=2))


def _facts(answer: dict[str, Any]) -> Iterator[list[str]]:
    for key, value in answer.items():
        if key in ("kind", "name", "title"):
            continue
        if isinstance(value, dict):
            for part, number in value.items():
                yield _fact(f"{key} {part}", number)
        else:
            yield _fact(key, value)


def _by_scope(per: dict[str, dict[str, float]]) -> Iterator[list[str]]:
    """A row a figure, with its value in every scope."""
    for name in next(iter(per.values())):
        told = [_fact(name, figures[name]) for figures in per.values()]
        yield [told[0][0], *(text for _, text in told)]


_GIB = 2**30
_SCALES = {
    "ops_per_s": (1e12, "T operations/s"),
    "bytes_per_s": (1e9, "GB/s"),
    "bytes_per_token": (2**10, "KiB"),
    "bytes": (_GIB, "GiB"),
    "w": (1, "W"),
    "mm2": (1, "mm²"),
    "usd": (1, "US$"),
}


def _fact(key: str, value: Any) -> list[str]:
    """Label and text of a fact; a number, or one with its range, has the unit that its key ends in."""
    names = key.split(" ")
    found = ((suffix, at) for suffix in _SCALES for at, name in enumerate(names) if name.endswith(f"_{suffix}"))
    suffix, at = next(found, (None, 0))
    ranged = isinstance(value, dict) and value.keys() == {"value", "low", "high"}
    if suffix is None or value is None or (isinstance(value, dict) and not ranged):
        label = key if suffix is None else _without_unit(names, suffix, at)
        return [label.replace("_", " "), figure(value, 3) if ranged else _text(value)]
    scale, unit = (2**20, "MiB") if suffix == "bytes" and value < _GIB else _SCALES[suffix]
    label = _without_unit(names, suffix, at)
    label = f"{label} per token" if suffix == "bytes_per_token" else label
    told = {name: number / scale for name, number in value.items()} if ranged else value / scale
    return [label, f"{figure(told, 1)} {unit}"]


def _without_unit(names: list[str], suffix: str, at: int) -> str:
    """The key as a label, without the unit that its part at `at` ends in."""
    parts = [*names[:at], names[at].removesuffix(f"_{suffix}"), *names[at + 1 :]]
    return " ".join(parts).replace("_", " ").strip()


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return _list_text(value)
    return str(value)


def _list_text(values: list[Any]) -> str:
    """Sentences apart by line ends, words and numbers by commas."""
    texts = [_text(value) for value in values]
    return ("\n" if any(text.endswith(".") for text in texts) else ", ").join(texts) or "none"


_MECHANISMS = ("mechanism", "number or word", "as labs ran it", "tuned", "range", "source")


def _mechanisms(software: dict[str, Any]) -> Iterator[list[str]]:
    """A row for each thing that a mechanism sets."""
    from npusim.ledger import range_text

    for mechanism in software["mechanisms"]:
        for each in mechanism["sets"]:
            tuned, path = each["tuned"], f"{'runtime.' if each['of_runtime'] else ''}{each['path']}"
            is_number = isinstance(tuned, dict)
            told = [_setting_text(each["was"]), _setting_text(tuned), range_text(tuned) if is_number else "-"]
            yield [mechanism["name"], path, *told, tuned["source"] if is_number else mechanism["does"]]


def _setting_text(value: Any) -> str:
    """A number in the unit that it is read in, a word as it is, nothing where it was left out."""
    from npusim.ledger import value_text

    return "-" if value is None else value_text(value) if isinstance(value, dict) else str(value)


def _provenances(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number with a provenance, and its dotted path."""
    if isinstance(node, dict) and {"value", "unit", "kind", "source", "text"} <= node.keys():
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _provenances(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            name = value.get("name", value.get("metric", index)) if isinstance(value, dict) else index
            yield from _provenances(value, f"{path}.{name}")


def _provenance_row(path: str, number: dict[str, Any]) -> list[str]:
    from npusim.ledger import range_text, value_text

    return [path, value_text(number), number["kind"], range_text(number), number["source"]]


def _settings(config: dict[str, Any]) -> Iterator[list[str]]:
    for key, value in config.items():
        if key == "assumptions":
            continue
        yield [key.replace("_", " "), _text(value)]
