"""Measuring grids: which prompt and answer lengths are run with how many users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs.limits import MOST, MOST_REQUESTS
from npusim.workload.lengths import FIXED, Lengths, parse_lengths, parse_spreads, spreads_text
from npusim.workload.shipped import file_of, shipped

_MOST_CELLS = 10_000
"""Cells of a grid: beyond it nobody waits for the end."""


@contextmanager
def _keyed(key: str = "") -> Iterator[None]:
    """A mistake in a text of a grid becomes one of the grid, to which its file and key are added: raises ValueError.

    key: where it is not that of the field itself.
    """
    try:
        yield
    except UserError as mistake:
        raise ValueError(f"{key}: {mistake.message}" if key else mistake.message) from mistake


class Point(Part):
    """One shape of requests, and the numbers of users to run it with."""

    isl: Whole
    """Prompt length in tokens, also with its spread as `--isl` of `npusim run` takes it (1024±20%)."""
    osl: Whole
    """Answer length in tokens, also with its spread."""
    lengths: str = FIXED.text
    """Spread of the lengths about those stated (`fixed`, `±20%`, `80%-100%`, `lognormal:cv=0.6`), of prompts and
    answers or as PROMPTS/ANSWERS."""
    users: tuple[Users, ...] = Field(min_length=1, max_length=_MOST_CELLS)
    """Numbers of concurrent users, rising."""

    @model_validator(mode="before")
    @classmethod
    def _spreads_apart(cls, given: Any) -> Any:
        """Lengths that are written with their spread become the stated ones, and the spreads of both."""
        if not isinstance(given, dict):
            return given
        written = {name: given[name] for name in ("isl", "osl") if isinstance(given.get(name), str)}
        if not written:
            return given
        if "lengths" in given:
            raise ValueError("lengths: isl or osl says its spread itself; leave one of them out")
        found = {}
        for name, text in written.items():
            with _keyed(name):
                found[name] = parse_lengths(text, name)
        spreads = (found[name].spread if name in found else FIXED for name in ("isl", "osl"))
        return given | {name: each.stated for name, each in found.items()} | {"lengths": spreads_text(*spreads)}

    @field_validator("lengths")
    @classmethod
    def _is_spread(cls, text: str) -> str:
        with _keyed():
            return spreads_text(*parse_spreads(text, "lengths"))

    @property
    def spread(self) -> tuple[Lengths, Lengths]:
        """Lengths of prompts and answers with their spread."""
        isl, osl = parse_spreads(self.lengths, "lengths")
        return Lengths(self.isl, isl), Lengths(self.osl, osl)

    @model_validator(mode="after")
    def _users_rise(self) -> Point:
        if list(self.users) != sorted(set(self.users)):
            raise ValueError("users must rise")
        return self


class Grid(Part):
    """A measuring grid; a cell of C users sends `requests_per_user` x C requests."""

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    source: str
    """Document or test plan that prescribes the grid."""
    arrival: Literal["burst", "closed"]
    """Whether all requests are sent at once (`burst`) or each user sends the next one after an answer (`closed`)."""
    requests_per_user: Whole
    """Number of requests of each user."""
    points: tuple[Point, ...] = Field(min_length=1, max_length=_MOST_CELLS)
    """Shapes to measure."""

    @model_validator(mode="after")
    def _shapes_differ(self) -> Grid:
        shapes = [(point.isl, point.osl) for point in self.points]
        twice = next((shape for shape in shapes if shapes.count(shape) > 1), None)
        if twice is not None:
            raise ValueError(f"the shape {twice[0]}/{twice[1]} is given twice; join its users")
        return self

    @model_validator(mode="after")
    def _runs_end(self) -> Grid:
        for point in self.points:
            tokens, requests = sum(each.longest for each in point.spread), self.requests_per_user * point.users[-1]
            if tokens > MOST or requests > MOST_REQUESTS:
                raise ValueError(
                    f"the shape {point.isl}/{point.osl} asks for {requests:,} requests of {tokens:,} tokens; "
                    f"a run has at most {MOST_REQUESTS:,} of {MOST:,}"
                )
        if sum(len(point.users) for point in self.points) > _MOST_CELLS:
            raise ValueError(f"the grid has more than {_MOST_CELLS:,} cells; split it")
        return self

    def lengths_of(self, isl: int, osl: int) -> tuple[Lengths, Lengths]:
        """Lengths of the shape of that name with their spread."""
        return next(point.spread for point in self.points if (point.isl, point.osl) == (isl, osl))

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        return max(sum(each.longest for each in point.spread) for point in self.points)

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """(isl, osl, users) of every cell, in the order in which the grid is written."""
        for point in self.points:
            for users in point.users:
                yield point.isl, point.osl, users


def grid_path(name_or_path: str) -> Path:
    """The file of the grid of that shipped name or path. Raises UserError with the nearest name."""
    return file_of("grids", name_or_path, "--grid")


def load_grid(name_or_path: str) -> Grid:
    """The grid of that shipped name or YAML file. Raises UserError with the nearest name or the mistake."""
    return load_yaml(grid_path(name_or_path), Grid)


def list_grids() -> tuple[Grid, ...]:
    """Every shipped grid, by name."""
    return tuple(load_yaml(path, Grid) for path in shipped("grids").values())
