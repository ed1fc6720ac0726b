"""What an answer says of the conditions that it stands on: which were told, which are assumed or open, which decide."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from npusim.conditions.conditions import Conditions, Member
from npusim.conditions.table import CONDITIONS
from npusim.hardware.drafting import NONE
from npusim.mapping.deployment import Deployment
from npusim.workload.arrivals import TOGETHER
from npusim.workload.lengths import FIXED

DecidingValues = tuple[tuple[str, tuple[Any, ...]], ...]
"""Conditions with the values that allow an answer."""


@dataclass(frozen=True)
class Known:
    """told, assumed: values by condition; open: names of the conditions that are not told.

    deciding: open conditions of which some values alone allow the answer, with these values.
    """

    told: Mapping[str, Any] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    assumed: Mapping[str, Any] = field(default_factory=dict)
    deciding: DecidingValues = ()

    @classmethod
    def of(cls, conditions: Conditions, assumed: Member | None, deciding: DecidingValues = ()) -> Known:
        """Of conditions and the member that is meant where one is wanted."""
        values = {} if assumed is None else {name: assumed[name] for name in conditions.open}
        return cls(conditions.told, conditions.open, values, deciding)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        deciding = [{"condition": name, "values": list(values)} for name, values in self.deciding]
        return {"told": dict(self.told), "open": list(self.open), "assumed": dict(self.assumed), "deciding": deciding}

    @property
    def needs(self) -> str:
        """What must be true for the answer, "" where nothing open decides: "4 or 8 cards and fp8"."""
        by_name = {each.name: each for each in CONDITIONS}
        return " and ".join(_either([by_name[name].words(each) for each in values]) for name, values in self.deciding)

    @property
    def text(self) -> str:
        """One line: what was told and what was assumed."""
        return in_words({"told": self.told, "assumed": self.assumed})


def told_and_assumed(
    deployment: Deployment,
    told: Collection[str],
    shared_prefix: bool = False,
    lengths: str = FIXED.text,
    start: str = TOGETHER,
    prompts: str | None = None,
) -> dict[str, Any]:
    """Every condition that a prediction was made under: {told, assumed}, values by condition.

    told: names of those that the user gave; a plan tells cards and chips too. shared_prefix: requests have one prompt;
    lengths, start, prompts: as `Conditions` has them, or in a word of a load that tells more than these can say.
    """
    runtime, plan = deployment.runtime, deployment.plan
    values = {
        "runtime": runtime.name,
        "precision": deployment.precision.name,
        "kv_precision": deployment.precision.kv,
        "cards": plan.cards,
        "tensor_parallel": plan.tensor_parallel,
        "plan": plan.name,
        "max_sequences": int(runtime.limits.max_sequences.value),
        "prefix_caching": runtime.kv.prefix_caching,
        "prompts": prompts or ("alike" if shared_prefix else "different"),
        "lengths": lengths,
        "start": start,
        "speculation": NONE if deployment.drafting is None else deployment.drafting.asked,
    }
    given = {*told, *(("cards", "tensor_parallel") if "plan" in told else ())}
    return {
        "told": {name: value for name, value in values.items() if name in given},
        "assumed": {name: value for name, value in values.items() if name not in given},
    }


def in_words(known: Mapping[str, Mapping[str, Any]]) -> str:
    """What `told_and_assumed` gives in one line: "told: fp8; assumed: 1 card, prefix cache on"."""
    return "; ".join(f"{title}: {_listed(known[title])}" for title in ("told", "assumed") if known[title])


def _listed(values: Mapping[str, Any]) -> str:
    """Their words, those that a plan and its chips share once."""
    return ", ".join(dict.fromkeys(each.words(values[each.name]) for each in CONDITIONS if each.name in values))


def _either(words: list[str]) -> str:
    """ "4 or 8 cards": the last word once where all have it."""
    ends = {word.rpartition(" ")[2] for word in words}
    if len(words) > 1 and len(ends) == 1 and all(" " in word for word in words):
        return f"{_either([word.rpartition(' ')[0] for word in words])} {ends.pop()}"
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
