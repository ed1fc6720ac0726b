"""A load as a file describes it: when sessions come, how many turns they have, and how long prompts and answers are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from npusim.hardware.base import Part, Whole
from npusim.inputs.limits import MOST, MOST_REQUESTS
from npusim.ledger import Duration, Quantity, Tokens, in_unit
from npusim.workload.loads.told import DayCourse, ToldLengths

_MOST_CV = 20.0
"""Of gaps and think times: beyond it a load of a million sessions has a handful of bursts."""
_LEAST_RATE, _MOST_RATE = 1e-4, 1e6
"""Sessions/s: below, hours pass between two, and a clock that counts them in seconds loses milliseconds."""
_MOST_TURNS = 1000.0
"""Of a session, in the mean."""

CoefficientOfVariation = Annotated[Quantity, in_unit("", zero=True, most=_MOST_CV)]
SessionRate = Annotated[Quantity, in_unit("", least=_LEAST_RATE, most=_MOST_RATE)]
MeanTurns = Annotated[Quantity, in_unit("", least=1.0, most=_MOST_TURNS)]


class Arrivals(Part):
    """When sessions come."""

    sessions_per_s: SessionRate
    """Sessions a second, in the mean over a day."""
    gap_cv: CoefficientOfVariation
    """Standard deviation of the gaps between two sessions over their mean, which are gamma distributed: 1 is a Poisson
    process, more comes in bursts, 0 is a clock; where the rate changes over the day, of gaps at an even rate."""
    day: DayCourse | None = None
    """Course of the rate over the day; even if omitted."""


class TurnCounts(Part):
    """How many turns sessions have: `mean` alone, or `counts` with their source."""

    mean: MeanTurns | None = None
    """Mean number of turns, which are geometrically distributed: after each one the session goes on with the same
    probability."""
    counts: tuple[Whole, ...] | None = Field(default=None, min_length=1, max_length=MOST_REQUESTS)
    """Numbers of turns of which a session has each with the same probability."""
    source: str | None = Field(default=None, min_length=1)
    """Where the counts are from."""

    @model_validator(mode="after")
    def _says_one(self) -> TurnCounts:
        if (self.mean is None) == (self.counts is None):
            raise ValueError("give the mean of a geometric distribution, or counts with their source")
        if (self.counts is None) != (self.source is None):
            raise ValueError("counts and source go together; a mean has its own source")
        return self

    @property
    def can_be_several(self) -> bool:
        """Whether some session may have more than one turn."""
        return self.mean.value > 1.0 if self.mean is not None else max(self.counts or ()) > 1


class ThinkTime(Part):
    """How long a user waits between an answer and the next turn."""

    distribution: Literal["fixed", "exponential", "lognormal"]
    """How think times are distributed."""
    mean: Duration
    """Mean think time, in seconds."""
    cv: CoefficientOfVariation | None = None
    """Standard deviation over mean, of a lognormal alone."""

    @model_validator(mode="after")
    def _has_its_numbers(self) -> ThinkTime:
        if (self.distribution == "lognormal") != (self.cv is not None):
            raise ValueError("cv goes with distribution: lognormal, and with no other")
        return self


class LoadDescription(Part):
    """A load: sessions of one or several turns."""

    name: str = Field(min_length=1, max_length=100)
    """Name under which it is looked up and shown."""
    title: str
    """What it stands for, in a line."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    sessions: Annotated[int, Field(gt=0, le=MOST_REQUESTS, strict=True)]
    """Number of sessions that are generated."""
    arrivals: Arrivals
    """When sessions come."""
    turns: TurnCounts
    """How many turns sessions have."""
    think_time: ThinkTime | None = None
    """Wait between an answer and the next turn, which is sent after it; needed where a session may have several."""
    system_prompt: Tokens | None = None
    """Tokens with which the prompts of all sessions begin; none if omitted."""
    prompt: ToldLengths
    """New tokens of the user in each turn, which stand behind all earlier prompts and answers of the session."""
    answer: ToldLengths
    """Output tokens of each turn."""
    longest_context: Annotated[int, Field(gt=1, le=MOST, strict=True)] | None = None
    """Most tokens of prompt and answer together: a session ends before a turn that would have more; no limit if
    omitted."""

    @model_validator(mode="after")
    def _thinks_where_it_matters(self) -> LoadDescription:
        if self.turns.can_be_several != (self.think_time is not None):
            raise ValueError(
                "think_time: is missing; say how long users wait between turns"
                if self.think_time is None
                else "think_time: has no effect, since each session has one turn; leave it out"
            )
        return self
