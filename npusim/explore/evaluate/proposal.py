"""A proposal as its YAML gives it: an architecture with its claimed numbers, its maturity, and its claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.catalog import system_path
from npusim.hardware.states import State
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.metric_row import Shown
from npusim.metrics import resolve, shown

Amount = Annotated[float, Field(gt=0.0, le=1e15, strict=True)]
Text = Annotated[str, Field(min_length=1)]
CLAIMED = tuple(row.name for row in shown(Shown.FOLDED))
"""Metrics that can be claimed; `ttft_ms` and the like mean the mean."""


class Claim(Part):
    """One claim: a metric of a serving run, at least or at most a value."""

    name: Text
    """Name of the claim, unique in its proposal."""
    text: Text
    """Claim in the proposer's own words."""
    model: Text
    """Model, by name or path."""
    precision: Text = "bf16"
    """Precision scheme of the layers."""
    kv_precision: str | None = None
    """Format of the KV cache, the runtime's own if omitted."""
    cards: Whole = 1
    """Number of cards that serve the model."""
    isl: Whole
    """Prompt length, in tokens."""
    osl: Whole
    """Answer length, in tokens."""
    users: Users = 1
    """Number of users, each with one request in flight."""
    software: State | None = None
    """State of the software (`as-labs-ran`, `tuned`, `open`), that of the proposal if omitted."""
    metric: Text
    """Metric of the run, of which latencies are means over requests and power is measured at the cards."""
    at_least: Amount | None = None
    """Claimed lower limit, in the unit of the metric."""
    at_most: Amount | None = None
    """Claimed upper limit, in the unit of the metric."""

    @model_validator(mode="after")
    def _one_side(self) -> Claim:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self

    @model_validator(mode="after")
    def _metric_is_known(self) -> Claim:
        if self.figure not in CLAIMED:
            raise ValueError(f"metric: '{self.metric}' is no metric; known: {', '.join(CLAIMED)}")
        return self

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


class Maturity(Part):
    """How far the proposed technology is."""

    trl: Annotated[int, Field(ge=1, le=9, strict=True)]
    """Technology readiness level, 1 (principle) to 9 (in use)."""
    evidence: Text
    """What shows that level."""


class Milestone(Part):
    """What is to be shown, and when."""

    due: Text
    """Day or quarter by which it is due."""
    target: Text
    """Value to be reached."""
    metric: Text
    """Metric that measures it."""
    procedure: Text
    """How it is tested."""
    evidence: Text
    """Evidence that is handed in."""


class Proposal(Part):
    """A proposal with its claims."""

    name: Text
    """Name of the proposal."""
    title: Text
    """Title as shown in the report."""
    architecture: Text
    """Proposed architecture: a shipped name, or a file beside the proposal."""
    runtime: str | None = None
    """Runtime, by name or path, the architecture's own if omitted."""
    software: State | None = None
    """State of the software of claims that tell none, open if omitted."""
    context_of_use: Text
    """Decision that the evaluation serves."""
    maturity: Maturity
    """Maturity of the technology."""
    claims: tuple[Claim, ...] = Field(min_length=1, max_length=1000)
    """Claims to be evaluated."""
    milestones: tuple[Milestone, ...] = ()
    """Milestones of the project, none if omitted."""

    @model_validator(mode="after")
    def _names_differ(self) -> Proposal:
        names = [claim.name for claim in self.claims]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two claims are named '{twice}'")
        return self


def load_proposal(path: Path) -> Proposal:
    """The proposal in that file. Raises UserError."""
    return load_yaml(path, Proposal)


def architecture_of(proposal: Proposal, path: Path) -> str:
    """The name or path by which the proposed architecture is loaded. Raises UserError."""
    beside = path.parent / proposal.architecture
    if is_file(beside):
        return str(beside)
    try:
        system_path(proposal.architecture)
    except UserError as error:
        raise UserError(str(path), "architecture", error.message) from error
    return proposal.architecture
