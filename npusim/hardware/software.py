"""The state of the software that drives a chip: as labs ran it, tuned, or open between the two.

A description lists mechanisms: what a compiler, a library or a host can do otherwise on the same silicon, each with the
numbers and words that it puts in place of those of the runtime and of the architecture. As labs ran it, none of them is
there; tuned, all are; open, the software is anywhere on the way, which is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.calibration import Calibration, with_quantities
from npusim.hardware.changes import RUNTIME
from npusim.hardware.description import Description
from npusim.hardware.runtime import Runtime
from npusim.hardware.states import AS_LABS_RAN, OPEN, TUNED, State
from npusim.hardware.system import System
from npusim.ledger import Quantity
from npusim.words import Phrase

HALF_WAY = 0.5
"""Where the figure of open software stands between the two states, and from where on a word is the tuned one."""


class Mechanism(Part):
    """Something that software can do otherwise on the same silicon."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the mechanism, by which answers speak of it."""
    does: str
    """What software does that has it."""
    sets: dict[str, Any] = Field(min_length=1)
    """What it puts in place by dotted path, those of the runtime behind `runtime.`: words, and numbers with their
    provenance."""


class Software(Description):
    """What the software of a runtime did when labs ran it, and what it can do."""

    FOLDER = "software"

    name: str
    """Name under which runtimes name it."""
    title: str
    """Title as shown in reports."""
    as_labs_ran: str
    """What published runs ran, which the runtime describes."""
    mechanisms: tuple[Mechanism, ...] = Field(min_length=1)
    """What tuned software does otherwise."""


@dataclass(frozen=True)
class Setting:
    """What a mechanism puts at a path. was, tuned: numbers, or words."""

    mechanism: str
    path: str
    of_runtime: bool
    was: Any
    tuned: Any

    @property
    def is_number(self) -> bool:
        return isinstance(self.tuned, Quantity)

    def at(self, maturity: float, source: str) -> Any:
        """What stands there between the two states, 0 to 1 of the way: a number with a range that holds both."""
        if maturity in (0.0, 1.0) or not self.is_number:
            return self.tuned if maturity >= HALF_WAY else self.was
        value = float(between(np.array(_value(self.was)), np.array(self.tuned.value), maturity))
        known = [each for each in (self.was, self.tuned) if each is not None]
        ends = [end for each in known for end in (each.value, each.low, each.high) if end is not None]
        if self.was is None:
            ends.append(0.0)
        whole = {"value": value, "low": min(ends), "high": max(ends), "kind": "assumed", "sd": None, "date": None}
        text = f"{value:.6g} {self.tuned.unit}".strip()
        return self.tuned.model_copy(update=whole | {"text": text, "source": source})


@dataclass(frozen=True)
class InUse:
    """The software of a deployment. told: whether its state was asked for; system, runtime, calibration: as labs ran
    it."""

    description: Software
    state: State
    told: bool
    system: System
    runtime: Runtime
    calibration: Calibration | None

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """What all its mechanisms set. Raises UserError for a path or a value that cannot be."""
        return tuple(self._settings())

    def without(self, mechanism: str) -> InUse:
        """The same software without one of its mechanisms."""
        kept = tuple(each for each in self.description.mechanisms if each.name != mechanism)
        return replace(self, description=self.description.model_copy(update={"mechanisms": kept}))

    def described(self) -> tuple[System, Runtime, Calibration | None]:
        """Architecture and runtime in this state, and the calibration of the numbers that are as labs measured them;
        numbers of open software stand half-way."""
        if self.state == AS_LABS_RAN:
            return self.system, self.runtime, self.calibration
        system, runtime = self.at(1.0 if self.state == TUNED else HALF_WAY)
        calibration = self.calibration
        for owner, of_runtime in ((system.name, False), (runtime.name, True)):
            paths = frozenset(each.path for each in self.settings if each.of_runtime == of_runtime)
            calibration = None if calibration is None else calibration.without(owner, paths)
        return system, runtime, calibration

    def at(self, maturity: float) -> tuple[System, Runtime]:
        """The descriptions, 0 to 1 of the way from as labs ran it to tuned."""
        source = f"between what labs ran and tuned software ({self.description.name})"
        put: dict[bool, dict[str, Any]] = {False: {}, True: {}}
        for each in self.settings:
            put[each.of_runtime][each.path] = each.at(maturity, source)
        return with_quantities(self.system, put[False]), with_quantities(self.runtime, put[True])

    def _settings(self) -> Iterator[Setting]:
        for mechanism in self.description.mechanisms:
            for path, told in mechanism.sets.items():
                of_runtime = path.startswith(RUNTIME)
                inner = path.removeprefix(RUNTIME)
                described = self.runtime if of_runtime else self.system
                was, tuned = self._resolved(described, inner, told, f"mechanisms.{mechanism.name}.sets.{path}")
                yield Setting(mechanism.name, inner, of_runtime, was, tuned)

    def _resolved(self, described: System | Runtime, path: str, told: Any, key: str) -> tuple[Any, Any]:
        """What stands at a path, and what is put there as the field of that path takes it."""
        found = _field_at(described, path.split("."))
        if found is None:
            raise UserError(
                self.description.name,
                key,
                f"{described.name} has no such number or word; mend the path, or leave 'software' out of the runtime",
            )
        was, adapter = found
        try:
            return was, adapter.validate_python(told)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(self.description.name, key, message) from error


_IN_WORDS = {
    "as-labs-ran": Phrase("as labs ran it"),
    "tuned": Phrase("tuned"),
    "open": Phrase("open, anywhere between what labs ran and tuned"),
}


def software_text(used: InUse) -> Phrase:
    """The state of the software in one sentence, and whether it was told."""
    how = Phrase("as told") if used.told else Phrase("assumed, not told")
    return Phrase("The software is {state} ({how}).", {"state": _IN_WORDS[used.state], "how": how})


def between(was: np.ndarray, tuned: np.ndarray, maturity: np.ndarray | float) -> np.ndarray:
    """Values on the way from `was` to `tuned`: in equal ratios where both are positive, else in equal steps."""
    both = (was > 0.0) & (tuned > 0.0)
    steps = was + maturity * (tuned - was)
    ratios = np.where(both, was, 1.0) ** (1.0 - maturity) * np.where(both, tuned, 1.0) ** maturity
    return np.where(both, ratios, steps)


def usual_state(system: System) -> State:
    """The state where none is asked for: what labs ran on a chip that exists, open on one that does not yet."""
    return AS_LABS_RAN if system.silicon else OPEN


def _value(number: Quantity | None) -> float:
    return 0.0 if number is None else number.value


def _field_at(description: BaseModel, keys: Sequence[str]) -> tuple[Any, TypeAdapter[Any]] | None:
    """What stands at a path, and what checks another value there; None where a description has no such place."""
    first, *rest = keys
    if isinstance(description, tuple):
        part = next((each for each in description if getattr(each, "name", None) == first), None)
        return _field_at(part, rest) if part is not None and rest else None
    field = getattr(type(description), "model_fields", {}).get(first)
    if field is None:
        return None
    value = getattr(description, first)
    if rest:
        return None if value is None else _field_at(value, rest)
    marks: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return value, TypeAdapter(marks)
