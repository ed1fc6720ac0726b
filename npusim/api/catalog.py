"""What is shipped, and what one architecture, model, runtime or memory is, with the source of each number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from npusim.api.answer import Answer
from npusim.api.deploying import TakenFor, Uncalibrated, warn_without_calibration
from npusim.api.function import asked_by
from npusim.api.options import Argument, Options, warn_of


@dataclass(frozen=True)
class ListOptions(Options):
    """What `npusim list` is asked."""

    what: Annotated[
        Literal[
            "archs", "models", "runtimes", "memories", "pims", "grids", "loads", "profiles", "neuromorphic", "rules"
        ],
        Argument("The kind of descriptions."),
    ]


@dataclass(frozen=True)
class ListResult:
    """items: a short record of each, in SI units."""

    items: list[Answer]
    asked: ListOptions

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {"items": self.items}

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("list")


@asked_by(ListOptions)
def list_shipped(asked: ListOptions) -> ListResult:
    """A short record of everything shipped of a kind. Raises UserError."""
    return ListResult(_listed(asked.what), asked)


@dataclass(frozen=True)
class ShowOptions(Options):
    """What `npusim show` is asked."""

    name: Annotated[str, Argument("A shipped name, an alias or a path.", metavar="NAME|PATH")]
    uncalibrated: Uncalibrated = False
    taken_for: TakenFor = None


@dataclass(frozen=True)
class ShowResult:
    """answer: everything, as the command line's JSON has it."""

    answer: Answer
    asked: ShowOptions

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("show")


@asked_by(ShowOptions)
def show(asked: ShowOptions) -> ShowResult:
    """One thing that is listed, or a file of one: peaks, capacities, every number with its source. Raises UserError."""
    answer = _described(asked)
    if asked.taken_for is not None and answer["kind"] != "model":
        warn_of("--as", f"{answer['kind']} {asked.name} is no model, and is shown as it is described")
    if asked.uncalibrated and answer["kind"] == "architecture":
        warn_without_calibration(asked.name)
    elif asked.uncalibrated:
        warn_of("--uncalibrated", f"a {answer['kind']} is shown as it is described")
    return ShowResult(answer, asked)


def _described(asked: ShowOptions) -> Answer:
    from npusim.answers import describe, event_units
    from npusim.lab import rule_files

    if event_units.is_event_unit(asked.name):
        return event_units.show_event_unit(asked.name)
    if rule_files.is_rules(asked.name):
        return rule_files.show_rules(asked.name)
    return describe.describe(asked.name, asked.uncalibrated, asked.taken_for)


def _listed(what: str) -> list[Answer]:
    if what == "neuromorphic":
        from npusim.answers.event_units import list_event_units

        return list_event_units()
    if what == "rules":
        from npusim.lab.rule_files import list_rules

        return list_rules()
    from npusim.answers.describe import list_items

    return list_items(what)
