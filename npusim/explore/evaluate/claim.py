"""A claim as its YAML gives it: a figure of a serving run or of the chip itself, at least or at most a value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from npusim.explore.evaluate.peaks import PEAKS
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.states import State
from npusim.mapping.deployment import AUTO
from npusim.metric_names import resolve
from npusim.metric_row import Shown
from npusim.metrics import SEARCHES, shown
from npusim.workload.lengths import FIXED, parse_spreads, spreads_text

Amount = Annotated[float, Field(gt=0.0, le=1e15, strict=True)]
FilledText = Annotated[str, Field(min_length=1)]
CLAIMED = tuple(row.name for row in shown(Shown.FOLDED))
"""Metrics that can be claimed; `ttft_ms` and the like mean the mean."""
LATENCIES = tuple(row.name for row in shown(Shown.FOLDED) if row.unit == "ms")
DIFFERENT, ALIKE = "different", "alike"
USERS_AT_SLO = SEARCHES[0].name
"""The most users at which every latency of `slo` keeps its limit."""


class Baseline(Part):
    """What a ratio is to: the same run but for what is given here."""

    architecture: str | None = None
    """Architecture of the baseline, the proposed one if omitted."""
    runtime: str | None = None
    """Runtime of the baseline, its architecture's own if omitted."""
    model: str | None = None
    """Model, that of the claim if omitted."""
    precision: str | None = None
    """Precision scheme, that of the claim if omitted."""
    kv_precision: str | None = None
    """Format of the KV cache, that of the claim if omitted."""
    cards: Whole | None = None
    """Number of cards, that of the claim if omitted."""
    plan: str | None = None
    """Degrees of parallelism (tp4-dp2), the best plan on those cards if omitted."""
    users: Users | None = None
    """Number of users, that of the claim if omitted."""


class Claim(Part):
    """One claim: a figure of a serving run or of the chip itself, at least or at most a value.

    What a claim leaves out (cards, formats, lengths, users of a total rate) is open: it is judged over what it can be.
    """

    name: FilledText
    """Name of the claim, unique in its proposal."""
    text: FilledText
    """Claim in the proposer's own words."""
    model: FilledText | None = None
    """Model, by name, path or size (`dense 20B`), needed for every figure of a run."""
    precision: FilledText | None = None
    """Precision scheme of the layers, open if omitted."""
    kv_precision: str | None = None
    """Format of the KV cache, open if omitted."""
    cards: Whole | None = None
    """Number of cards that serve the model, open if omitted."""
    plan: str | None = None
    """Degrees of parallelism (tp4-dp2), the plan that is best for the claim if omitted or `auto`."""
    runtime: str | None = None
    """Runtime, by name or path, that of the proposal if omitted."""
    isl: Whole | None = None
    """Prompt length, in tokens, open if omitted."""
    osl: Whole | None = None
    """Answer length, in tokens, open if omitted."""
    lengths: str = FIXED.text
    """Spread of the lengths about isl and osl (`fixed`, `±20%`, `80%-100%`, `lognormal:cv=0.6`), of prompts and answers
    or as PROMPTS/ANSWERS."""
    prompts: Literal["different", "alike"] | None = None
    """Whether every request has a prompt of its own (`different`) or all have the same, which a prefix cache holds
    (`alike`); open if omitted, where the runtime has such a cache."""
    users: Users | None = None
    """Number of users, each with one request in flight; open for a rate of all users, a power or an energy, else 1, if
    omitted."""
    software: State | None = None
    """State of the software (`as-labs-ran`, `tuned`, `open`), that of the proposal if omitted."""
    metric: FilledText
    """Metric of the run, of which latencies are means over requests unless a percentile is named (`ttft_ms_p99`) and
    power is measured at the cards; or `users_at_slo`, or a figure of the chip itself."""
    slo: tuple[tuple[str, Amount], ...] = ()
    """Highest value of each latency, by metric, within which `users_at_slo` counts users."""
    baseline: Baseline | None = None
    """What at_least is a ratio to: how many times better than the baseline the figure is, none if omitted."""
    at_least: Amount | None = None
    """Claimed lower limit, in the unit of the metric, or as a ratio to the baseline."""
    at_most: Amount | None = None
    """Claimed upper limit, in the unit of the metric."""

    @field_validator("slo", mode="before")
    @classmethod
    def _limits_by_metric(cls, given: object) -> object:
        return tuple(given.items()) if isinstance(given, dict) else given

    @field_validator("lengths")
    @classmethod
    def _is_spread(cls, text: str) -> str:
        return spreads_text(*parse_spreads(text, "lengths"))

    @model_validator(mode="after")
    def _one_side(self) -> Claim:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        if self.baseline is not None and self.at_least is None:
            raise ValueError("at_most: a ratio to a baseline says how many times better; give at_least")
        return self

    @model_validator(mode="after")
    def _metric_is_known(self) -> Claim:
        if self.figure not in (*CLAIMED, USERS_AT_SLO, *PEAKS):
            known = ", ".join((*CLAIMED, USERS_AT_SLO, *PEAKS))
            raise ValueError(f"metric: '{self.metric}' is no metric; known: {known}")
        if self.model is None and not self.is_peak:
            raise ValueError("model: is missing; give the model that is served")
        if (self.figure == USERS_AT_SLO) != bool(self.slo):
            raise ValueError(f"slo: gives the limits of {USERS_AT_SLO}; give it with that metric, and only there")
        unknown = next((name for name, _ in self.slo if resolve(name) not in LATENCIES), None)
        if unknown is not None:
            raise ValueError(f"slo: '{unknown}' is no latency; known: {', '.join(LATENCIES)}")
        return self

    @property
    def is_peak(self) -> bool:
        """True for a figure of the chip itself, which no run is needed for."""
        return self.figure in PEAKS

    @property
    def usable(self) -> str:
        """The plan that is asked for, "" where the best one is."""
        return "" if self.plan is None or self.plan == AUTO else self.plan

    @property
    def served_model(self) -> str:
        assert self.model is not None, self.name
        return self.model

    @property
    def load(self) -> tuple[int, int, int]:
        """isl, osl, users of a claim in which all are told."""
        assert self.isl is not None and self.osl is not None and self.users is not None, self.name
        return self.isl, self.osl, self.users

    @property
    def figure(self) -> str:
        """The metric by its one spelling."""
        return resolve(self.metric)

    @property
    def value(self) -> float:
        value = self.at_most if self.at_least is None else self.at_least
        assert value is not None
        return value

    @property
    def wants_more(self) -> bool:
        return self.at_least is not None

    def holds(self, figure: float) -> bool:
        """Whether a figure is as claimed; one that is not known is not."""
        return figure >= self.value if self.wants_more else figure <= self.value
