"""Conditions: what is told of a run, and every run that what is told allows.

A condition that is not told is open: its values are enumerated jointly with those of the others, as far as the chip can
run them and holds the model. An answer over the members says what holds for all of them, for some, or for none.
Members have even weights within each open condition: nothing is known of what tables and proposals leave unsaid, and
an answer gives the least and the most over its members beside anything that depends on weights.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np

from npusim.conditions.question import Question
from npusim.conditions.table import CONDITIONS, Condition
from npusim.errors import UserError
from npusim.hardware.changes import as_changes
from npusim.inputs import remembered
from npusim.mapping.deployment import Deployment, deploy
from npusim.workload.prompts import Prompt, identical_prompts, random_prompts

Value = Any


@dataclass(frozen=True)
class Conditions:
    """Every condition of `table.CONDITIONS` by its name; None: not told.

    runtime: serving software by npusim's name; precision, kv_precision: number formats of weights and activations, and
    of the KV cache; cards: that worked together; tensor_parallel: chips that share every layer; plan: degrees of
    parallelism (tp4-dp2); max_sequences: most sequences in service; prefix_caching: whether the KV of common prefixes
    is kept; prompts: whether requests share their prompt.
    """

    runtime: str | None = None
    precision: str | None = None
    kv_precision: str | None = None
    cards: int | None = None
    tensor_parallel: int | None = None
    plan: str | None = None
    max_sequences: int | None = None
    prefix_caching: bool | None = None
    prompts: Literal["different", "alike"] | None = None

    @property
    def told(self) -> dict[str, Value]:
        """The values that are told, by condition."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}

    @property
    def open(self) -> tuple[str, ...]:
        """Names of the conditions that are not told."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is None)

    def told_or(self, other: Self) -> Self:
        """These, and where one is not told what `other` tells."""
        return replace(self, **{name: value for name, value in other.told.items() if getattr(self, name) is None})

    def members(self, question: Question) -> Members:
        """Every run that they allow, the assumed one first. Raises UserError for what is told and cannot be."""
        return _members(self, question)

    def assumed(self, question: Question) -> Member:
        """The one run that is meant where one answer is wanted: each open condition at the first of its values.

        Raises UserError where no run is allowed, with the reason that refused most.
        """
        return _assumed(self, question)


@dataclass(frozen=True)
class Member:
    """One run of the set. values: of every condition; weight: its share of the set."""

    question: Question
    values: tuple[tuple[str, Value], ...]
    weight: float

    def __getitem__(self, name: str) -> Value:
        return dict(self.values)[name]

    @property
    def deployment(self) -> Deployment:
        """The deployment, under the architecture's calibration. Raises UserError."""
        told = dict(self.values)
        own = {"runtime.kv.prefix_caching": told["prefix_caching"]}
        return deploy(
            self.question.arch,
            self.question.model,
            precision=told["precision"],
            kv_precision=told["kv_precision"],
            plan=told["plan"],
            runtime=told["runtime"],
            changes=as_changes(own),
        )

    def prompts(self, requests: int, isl: int) -> list[Prompt]:
        """The prompts of that many requests."""
        make = identical_prompts if self["prompts"] == "alike" else random_prompts
        return make(requests, isl)

    def text(self, names: tuple[str, ...]) -> str:
        """Its values of those conditions in words: "fp8, 4 cards"."""
        return ", ".join(each.words(self[each.name]) for each in CONDITIONS if each.name in names)


@dataclass(frozen=True)
class Members:
    """all: the runs that are allowed; refused: how many were not, by the reason."""

    all: tuple[Member, ...]
    refused: Mapping[str, int]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def open(self) -> dict[str, tuple[Value, ...]]:
        """The values that occur, of every condition with more than one."""
        found = {each.name: tuple(dict.fromkeys(member[each.name] for member in self.all)) for each in CONDITIONS}
        return {name: values for name, values in found.items() if len(values) > 1}


def deciding(members: Members, outcomes: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Open conditions by how much of the outcomes' spread each explains alone, the largest first.

    outcomes: one number a member. The share is the weighted variance of the means by value over the whole variance
    (the first-order effect of Saltelli et al. 2008, "Global Sensitivity Analysis", section 1.2.5); none where the
    outcomes are alike.
    """
    weights = np.array([member.weight for member in members])
    found = np.asarray(outcomes, dtype=float)
    mean = weights @ found
    whole = weights @ (found - mean) ** 2
    if whole <= 1e-24 * mean**2:
        return ()
    shares = []
    for name in members.open:
        groups: dict[Value, list[int]] = defaultdict(list)
        for index, member in enumerate(members):
            groups[member[name]].append(index)
        parts = [(weights[at].sum(), np.average(found[at], weights=weights[at])) for at in groups.values()]
        shares.append((name, float(sum(weight * (part - mean) ** 2 for weight, part in parts) / whole)))
    return tuple(sorted(shares, key=lambda each: -round(each[1], 9)))


@remembered
def _assumed(conditions: Conditions, question: Question) -> Member:
    refused: Counter[str] = Counter()
    found = next(_chosen(conditions, question, CONDITIONS, {}, 1.0, refused), None)
    if found is None:
        reason = max(refused, key=lambda text: refused[text])
        raise UserError("the conditions", "", f"allow no run of {question.model} on {question.arch}: {reason}")
    return Member(question, tuple(found[0].items()), 1.0)


@remembered
def _members(conditions: Conditions, question: Question) -> Members:
    refused: Counter[str] = Counter()
    found = list(_chosen(conditions, question, CONDITIONS, {}, 1.0, refused))
    total = sum(weight for _, weight in found)
    members = tuple(Member(question, tuple(values.items()), weight / total) for values, weight in found)
    return Members(members, dict(refused))


def _chosen(
    conditions: Conditions,
    question: Question,
    remaining: tuple[Condition, ...],
    chosen: dict[str, Value],
    weight: float,
    refused: Counter[str],
) -> Iterator[tuple[dict[str, Value], float]]:
    """Every choice of the remaining conditions beside what is chosen, with its weight."""
    if not remaining:
        yield chosen, weight
        return
    first, others = remaining[0], remaining[1:]
    told = getattr(conditions, first.name)
    values = first.values(question, chosen) if told is None else (told,)
    if not values:
        refused[first.none_says] += 1
    for value in values:
        reason = first.refusal(question, chosen, value)
        if reason:
            refused[reason] += 1
            continue
        yield from _chosen(conditions, question, others, {**chosen, first.name: value}, weight / len(values), refused)
