"""Targets of event-driven units and of hybrids: judged by bounds alone, since nothing of them is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from npusim.answers.hybrid import layered_answer
from npusim.answers.neuromorphic import Claimed, judged_claim
from npusim.bounds.event_driven import IMPOSSIBLE, NOT_DECIDABLE, WITHIN, bounds_of, lowest
from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.catalog import load_neuromorphic, load_system
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.inputs import is_file
from npusim.units import readable, to_si
from npusim.words import Phrase
from npusim.workload.layered import LayeredNetwork

_Above = Annotated[float, Field(gt=0.0, le=1e15, strict=True)]
_Activity = Annotated[float, Field(gt=0.0, le=1.0, strict=True)]
_RATE, _TIME = "op/s", "s"


class EventDriven(Part):
    """What a target of an event-driven unit tells of itself; what is omitted is read in every way."""

    event_unit: str
    """Event-driven unit: a shipped name, or a file beside the proposal."""
    counted: Literal["spikes", "synapses"] | None = None
    """Whether operations are counted for each synapse that a spike meets, or for every synapse of a step; both are read
    if omitted."""
    operations: Annotated[int, Field(ge=1, le=2, strict=True)] | None = None
    """Operations that are counted for one synapse, 1 or 2; both are read if omitted."""
    activity: _Activity | None = None
    """Part of the neurons that spike in a step, 0 to 1; not told if omitted."""
    width_bits: _Above | None = None
    """Bits of a synapse, address included; the unit's if omitted."""
    fan_in: _Above | None = None
    """Synapses that a spike meets in the mean; not told if omitted."""
    power_limit_w: _Above | None = None
    """Most power, in watts; the unit's if omitted."""
    dense: str | None = None
    """Architecture whose chip runs the dense layers of a hybrid: a shipped name, or a file beside the proposal; the
    target is of the event-driven unit alone if omitted."""
    network: LayeredNetwork | None = None
    """Layers of a hybrid, whose least time of an answer is held against the target; none if omitted."""

    @model_validator(mode="after")
    def _is_whole(self) -> EventDriven:
        if (self.dense is None) != (self.network is None):
            raise ValueError("dense and network go together: a hybrid needs both; add the one that is missing")
        own = {"counted": self.counted, "operations": self.operations, "activity": self.activity, "fan_in": self.fan_in}
        told = [name for name, value in own.items() if value is not None]
        if self.network is not None and told:
            raise ValueError(f"{told[0]}: the layers of network tell this of a hybrid; take it out")
        return self

    @property
    def measures(self) -> str:
        """SI unit of the target: operations/s, or the time of an answer of a hybrid."""
        return _RATE if self.network is None else _TIME

    def require(self, unit: str, wants_more: bool) -> None:
        """Raises ValueError unless the target has a unit and a side that can be judged."""
        try:
            to_si(f"1 {unit}", self.measures)
        except ValueError as error:
            known = "POPS, TOPS or GSOPS" if self.measures == _RATE else "ms or s"
            raise ValueError(f"unit: '{unit}' does not measure an event-driven target; use {known}") from error
        if wants_more != (self.measures == _RATE):
            raise ValueError(f"years: a target in {unit} is {'at_least' if self.measures == _RATE else 'at_most'}")


@dataclass(frozen=True)
class EventVerdict:
    """verdict: impossible, not decidable or within bounds; reason: why; answer: readings or layers, as in JSON."""

    verdict: str
    reason: Phrase
    answer: Mapping[str, Any]


def judged_event(told: EventDriven, value: float, unit: str, path: Path) -> EventVerdict:
    """One target against the bounds. value, unit: as the table tells them; path: the proposal's. Raises UserError."""
    try:
        described = load_neuromorphic(_beside(told.event_unit, path))
        wanted = value * to_si(f"1 {unit}", told.measures)
        if told.network is None:
            return _of_rate(told, wanted, described)
        return _of_hybrid(told, told.network, wanted, described, path)
    except UserError as error:
        raise UserError(str(path), "event_driven", str(error)) from error


def _beside(name: str, path: Path) -> str:
    beside = path.parent / name
    return str(beside) if is_file(beside) else name


def _of_rate(told: EventDriven, wanted: float, unit: Neuromorphic) -> EventVerdict:
    bounds = bounds_of(unit, told.width_bits, told.fan_in, told.power_limit_w)
    claim = judged_claim(Claimed(wanted, told.counted, told.operations, told.activity), bounds)
    left = lowest(bounds)
    values: dict[str, Any] = {
        "most": "-" if left is None else readable(left.high, _RATE),
        "bounds": ", ".join(claim["broken"]),
        "needs": ", ".join([*claim["needs"], *claim["ranges"]]),
    }
    if claim["verdict"] == IMPOSSIBLE:
        text = "every reading breaks {bounds} at the favourable end of every range: at most {most} are left"
        return EventVerdict(IMPOSSIBLE, Phrase(text, values), claim)
    if claim["verdict"] == WITHIN:
        return EventVerdict(WITHIN, Phrase("every bound leaves it, at the worse end of every range"), claim)
    dead = [each for each in claim["readings"] if each["verdict"] == IMPOSSIBLE]
    values |= {"dead": len(dead), "readings": len(claim["readings"])}
    ends = [each["holds_to_activity"]["high"] for each in claim["readings"] if each["holds_to_activity"]]
    text = "{dead} of {readings} readings are impossible; bounds leave at most {most}; open: {needs}"
    if ends:
        values["activity"] = f"{max(ends):.3g}"
        text += "; counted for every synapse it holds up to an activity of {activity} at best"
    return EventVerdict(NOT_DECIDABLE, Phrase(text, values), claim)


def _of_hybrid(
    told: EventDriven, network: LayeredNetwork, wanted: float, unit: Neuromorphic, path: Path
) -> EventVerdict:
    system = load_system(_beside(str(told.dense), path))
    found = layered_answer(network, unit, system, told.width_bits, told.power_limit_w)
    if found["least_s"] is None:
        needs = {"needs": ", ".join(found["needs"])}
        return EventVerdict(NOT_DECIDABLE, Phrase("no least time without: {needs}", needs), found)
    least = found["least_s"]
    values = {"low": readable(least["low"], _TIME), "high": readable(least["high"], _TIME), "part": found["binding"]}
    values["needs"] = ", ".join(found["needs"]) or "-"
    if least["low"] > wanted:
        text = "an answer takes {low} or more at the favourable end of every range, most of it on the {part} unit"
        return EventVerdict(IMPOSSIBLE, Phrase(text, values), found)
    if least["high"] <= wanted and not found["needs"]:
        text = "the least time of an answer, {low} to {high}, leaves it; what a run takes beside is not predicted"
        return EventVerdict(WITHIN, Phrase(text, values), found)
    text = "the least time of an answer is {low} to {high}, most of it on the {part} unit; not told: {needs}"
    return EventVerdict(NOT_DECIDABLE, Phrase(text, values), found)
