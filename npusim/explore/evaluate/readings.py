"""What a claim leaves open, and the claims, told in full, that it can be read as.

The plan and the batch limit are the proposer's to choose, so that the best are taken (`placing`). What else is not told
is open. Over all that is open, two readings enclose the others: the most and the least favourable, found by changing
one condition after the other to its best or worst value until none changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npusim.conditions.question import Question
from npusim.conditions.table import CONDITIONS
from npusim.errors import UserError
from npusim.explore.evaluate.claim import ALIKE, DIFFERENT, USERS_AT_SLO, Claim
from npusim.explore.evaluate.proposal import Proposal
from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.states import AS_LABS_RAN, TUNED
from npusim.inputs import remembered
from npusim.metric_names import metric
from npusim.workload.grid import Grid, load_grid

_GRID = "furiosa-perf-32k"
"""The grid whose lengths and users stand for those that a claim leaves open; K-Perf's own is not public."""
_ROUNDS = 3
PROMPTS, SOFTWARE = "prompts", "software"
_CONDITIONS = {each.name: each for each in CONDITIONS if each.name in ("precision", "kv_precision", "cards")}

Goodness = Callable[[Claim], float]
"""How favourable a reading is to its claim; -inf where it cannot be run."""


@dataclass(frozen=True)
class Readings:
    """assumed: every open condition at its usual value; best, worst: the most and the least favourable; open: the
    values of what is open; singly: readings with one open condition at another value, by condition and value."""

    assumed: Claim
    best: Claim
    worst: Claim
    open: Mapping[str, tuple[Any, ...]]
    singly: tuple[tuple[str, Any, Claim], ...]


def readings(claim: Claim, arch: str, proposal: Proposal, goodness: Goodness) -> Readings:
    """What a claim about a run can be read as. Raises UserError."""
    runtime = claim.runtime or proposal.runtime or load_system(arch).runtime
    plain = claim.model_copy(update={"runtime": runtime, "software": claim.software or proposal.software})
    names = tuple(name for name in _VALUES if getattr(claim, name) is None)
    assumed = _filled(plain, arch, names)
    opened = {name: _VALUES[name](assumed, arch) for name in names}
    opened = {name: values for name, values in opened.items() if len(values) > 1}
    singly = tuple(
        (name, value, _with(assumed, arch, name, value, names)) for name, values in opened.items() for value in values
    )
    best = _ascended(assumed, arch, opened, names, goodness)
    worst = _ascended(assumed, arch, opened, names, lambda each: -goodness(each))
    for name, usual, other in _better(assumed, arch):
        opened, best = {**opened, name: (usual, other)}, best.model_copy(update={name: other})
        singly = (*singly, (name, other, assumed.model_copy(update={name: other})))
    return Readings(assumed, best, worst, opened, singly)


def _filled(claim: Claim, arch: str, names: Sequence[str]) -> Claim:
    """The claim with the first value of each of those conditions, chosen in their order."""
    for name in names:
        values = _VALUES[name](claim, arch)
        if not values:
            raise UserError(claim.name, name, f"no value of it lets {claim.model} run on {arch}; tell the conditions")
        claim = claim.model_copy(update={name: values[0]})
    return claim


def _with(claim: Claim, arch: str, name: str, value: Any, names: Sequence[str]) -> Claim:
    """The reading with another value of one condition; those after it that cannot stay become their first."""
    changed = claim.model_copy(update={name: value})
    for later in names[names.index(name) + 1 :] if name in names else ():
        values = _VALUES[later](changed, arch)
        if values and getattr(changed, later) not in values:
            changed = changed.model_copy(update={later: values[0]})
    return changed


def _ascended(
    start: Claim, arch: str, opened: Mapping[str, tuple[Any, ...]], names: Sequence[str], goodness: Goodness
) -> Claim:
    """From a reading to one that no change of a single open condition betters."""
    best, reached = start, goodness(start)
    for _ in range(_ROUNDS):
        before = best
        for name in opened:
            for value in _VALUES[name](best, arch):
                other = _with(best, arch, name, value, names)
                found = goodness(other)
                if found > reached:
                    best, reached = other, found
        if best == before:
            break
    return best


def _better(claim: Claim, arch: str) -> Iterator[tuple[str, str, str]]:
    """Conditions that are open beside the enumerated ones, each with its usual value and one that shortens all times:
    one prompt for all requests that the runtime keeps, and the software tuned where labs ran it as it was."""
    if claim.figure.startswith("power_w"):
        return
    system = load_system(arch)
    driver = load_runtime(claim.runtime or system.runtime, system.chip.unit.kind)
    if claim.prompts is None and driver.kv.prefix_caching:
        yield PROMPTS, DIFFERENT, ALIKE
    if claim.software is None and driver.software is not None and system.silicon:
        yield SOFTWARE, AS_LABS_RAN, TUNED


def chosen(claim: Claim, name: str) -> Any:
    """A condition of a reading: what is told or enumerated, else the usual value."""
    value = getattr(claim, name)
    return {PROMPTS: DIFFERENT, SOFTWARE: AS_LABS_RAN}.get(name) if value is None else value


@remembered
def _grid() -> Grid:
    return load_grid(_GRID)


def _prompts(claim: Claim, arch: str) -> tuple[int, ...]:
    """The middle prompt of the grid, then the others; those of a told answer where the grid has it."""
    points = [point for point in _grid().points if claim.osl in (None, point.osl)] or list(_grid().points)
    return _middle_first([point.isl for point in points])


def _answers(claim: Claim, arch: str) -> tuple[int, ...]:
    """The answers of the grid: those of its shape with the nearest prompt first."""
    points = sorted(_grid().points, key=lambda point: abs(point.isl - (claim.isl or 0)))
    return tuple(dict.fromkeys(point.osl for point in points))


def _users(claim: Claim, arch: str) -> tuple[int, ...]:
    """One user for what a user sees, else those of the grid, the most first, as a proposer would."""
    if claim.figure == USERS_AT_SLO and claim.at_least is not None:
        return (max(1, round(claim.at_least)),)
    row = metric(claim.figure)
    if row is None or row.unit == "ms" or row.inverse_of:
        return (1,)
    told_conditions = {users for point in _grid().points for users in point.users}
    return tuple(sorted(told_conditions, reverse=True))


def _condition(name: str) -> Callable[[Claim, str], tuple[Any, ...]]:
    def values(claim: Claim, arch: str) -> tuple[Any, ...]:
        chosen = {each: getattr(claim, each) for each in ("runtime", "precision", "kv_precision", "cards")}
        question = Question(arch, claim.served_model, (claim.isl or 1) + (claim.osl or 1), claim.users)
        return tuple(_CONDITIONS[name].values(question, chosen))

    return values


_VALUES: dict[str, Callable[[Claim, str], tuple[Any, ...]]] = {
    "isl": _prompts,
    "osl": _answers,
    "users": _users,
    "precision": _condition("precision"),
    "kv_precision": _condition("kv_precision"),
    "cards": _condition("cards"),
}
"""What a claim may leave open, in the order in which it is chosen."""


def _middle_first(values: Sequence[int]) -> tuple[int, ...]:
    known = sorted(set(values))
    middle = known[len(known) // 2]
    return (middle, *(value for value in known if value != middle))


def told_conditions(claim: Claim) -> Iterator[tuple[str, Any]]:
    """The conditions that a claim tells, with their values."""
    for name in (*_VALUES, PROMPTS, SOFTWARE, "plan", "runtime"):
        value = getattr(claim, name)
        if value is not None:
            yield name, value
