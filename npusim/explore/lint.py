"""What is wrong or odd in the description of a chip: every mistake at once, and numbers that chips do not have.

What is usual stands in arch_configs/technology/usual.yaml, each range and condition with its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from npusim.errors import UserError
from npusim.explore.formula import Formula, parse, resolved
from npusim.hardware.base import Part
from npusim.hardware.catalog import load_runtime, load_system, system_path
from npusim.hardware.changes import RUNTIME
from npusim.hardware.data import data_root
from npusim.hardware.description import completed, part_file, read_yaml
from npusim.hardware.dram import Dram
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.system import System
from npusim.hardware.yaml_file import every_mistake, line_of, load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity, provenances
from npusim.units import to_si, written_like

_TO = " to "
_Level = Literal["mistake", "odd"]


def _formula(text: str) -> str:
    parse(text)
    return text


class UsualRange(Part):
    """Values that a number usually has."""

    number: str
    """Dotted path of the numbers; `*` stands for anything."""
    usual: Annotated[str, Field(pattern=r"^.+ to .+$")]
    """Smallest and largest usual value, each with its unit, as `100 MHz to 5 GHz`."""
    source: str
    """Document or reason."""


class UsualCondition(Part):
    """What usually holds between numbers; it is asked of chips that have all of them."""

    holds: Annotated[str, AfterValidator(_formula)]
    """Formula that compares, in SI."""
    says: str
    """What is odd where it does not hold."""
    source: str
    """Document or reason."""


class Usual(Part):
    """What is usual of chips."""

    ranges: tuple[UsualRange, ...]
    """Ranges of numbers."""
    conditions: tuple[UsualCondition, ...]
    """Conditions between numbers."""


@dataclass(frozen=True)
class Oddity:
    """level: mistake (it cannot be read) or odd; line: in the description's file, None where the number is another
    file's; usual, source: what it was held to."""

    level: _Level
    path: str
    value: str
    says: str
    line: int | None = None
    usual: str = ""
    source: str = ""


@remembered
def usual() -> Usual:
    """The shipped one."""
    return load_yaml(data_root("arch_configs") / "technology" / "usual.yaml", Usual)


def oddities(name_or_path: str) -> list[Oddity]:
    """What is wrong with an architecture, else what is odd with it and its runtime. Raises UserError for no file."""
    path = system_path(name_or_path)
    tree = read_yaml(path)
    mistakes = _mistakes(path, tree)
    if mistakes:
        return mistakes
    system = load_system(name_or_path)
    runtime = load_runtime(system.runtime, system.chip.unit.kind)
    numbers = {
        f"{RUNTIME if number.owner == runtime.name else ''}{number.label}": number
        for number in all_numbers(system, runtime)
    } | _of_standard(system)
    return [*_out_of_range(numbers, path, tree), *_broken(numbers, path, tree)]


def _of_standard(system: System) -> dict[str, RangedNumber]:
    """The numbers of the DRAM standard that a chip names, by their paths below that name."""
    name = system.chip.memory.dram
    if name is None:
        return {}
    dram = load_yaml(part_file(Dram.FOLDER, name), Dram)
    told = provenances(dram.name, dram)
    return {
        f"chip.memory.dram.{each.path}": RangedNumber(dram.name, "", None, each.quantity, each.path, each.domain)
        for each in told
    }


def _mistakes(path: Path, tree: Any) -> list[Oddity]:
    try:
        with completed(System.FOLDER, tree, path) as whole:
            try:
                System.model_validate(whole)
            except ValidationError as error:
                return [
                    Oddity("mistake", key, "", says, line)
                    for line, key, says in every_mistake(error, whole, System, path)
                ]
    except UserError as error:
        return [Oddity("mistake", error.key, "", error.message)]
    return []


def _out_of_range(numbers: dict[str, RangedNumber], path: Path, tree: Any) -> Iterator[Oddity]:
    for rule in usual().ranges:
        for label, number in numbers.items():
            if not fnmatchcase(label, rule.number):
                continue
            quantity = number.quantity
            low, high = (to_si(end, quantity.unit) for end in rule.usual.split(_TO))
            if not low <= quantity.value <= high:
                side = "below" if quantity.value < low else "above"
                yield Oddity(
                    "odd", label, quantity.text, f"is {side} what is usual",
                    line_of(tree, path, label), rule.usual, rule.source,
                )  # fmt: skip


def _broken(numbers: dict[str, RangedNumber], path: Path, tree: Any) -> Iterator[Oddity]:
    for rule in usual().conditions:
        formula = parse(rule.holds)
        paths = _paths(formula, numbers)
        if paths is None or bool(formula.of({name: numbers[paths[name]].quantity.value for name in paths})):
            continue
        told = ", ".join(f"{each} {_written(numbers[each].quantity)}" for each in dict.fromkeys(paths.values()))
        first = next(iter(paths.values()))
        yield Oddity("odd", first, told, rule.says, line_of(tree, path, first), rule.holds, rule.source)


def _written(quantity: Quantity) -> str:
    return written_like(quantity.text, quantity.value, quantity.unit)


def _paths(formula: Formula, numbers: dict[str, RangedNumber]) -> dict[str, str] | None:
    """The numbers of a condition by the names in it; None for a chip that lacks one."""
    found = {name: resolved(name, numbers) for name in formula.names}
    return {name: path for name, path in found.items() if path is not None} if all(found.values()) else None
