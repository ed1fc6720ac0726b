"""A proposal as its YAML gives it: an architecture with its claimed numbers, its maturity, claims and targets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from npusim.errors import UserError
from npusim.explore.evaluate.claim import Claim, FilledText
from npusim.explore.evaluate.curve import CurveClaim
from npusim.explore.evaluate.target_table import Target, require_whole
from npusim.explore.evaluate.target_units import require_claims
from npusim.explore.evaluate.told_plan import Risk, ToldResources
from npusim.hardware.base import Part
from npusim.hardware.catalog import system_path
from npusim.hardware.states import State
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file


class Maturity(Part):
    """How far the proposed technology is."""

    trl: Annotated[int, Field(ge=1, le=9, strict=True)]
    """Technology readiness level, 1 (principle) to 9 (in use)."""
    evidence: FilledText
    """What shows that level."""
    target_trl: Annotated[int, Field(ge=1, le=9, strict=True)] | None = None
    """Technology readiness level that the project is to reach, not told if omitted."""

    @model_validator(mode="after")
    def _rises(self) -> Maturity:
        if self.target_trl is not None and self.target_trl < self.trl:
            raise ValueError(f"target_trl: {self.target_trl} is below the level at entry, trl {self.trl}")
        return self


class Milestone(Part):
    """What is to be shown, and when."""

    due: FilledText
    """Day or quarter by which it is due."""
    target: FilledText
    """Value to be reached."""
    metric: FilledText
    """Metric that measures it."""
    procedure: FilledText
    """How it is tested."""
    evidence: FilledText
    """Evidence that is handed in."""


class Proposal(Part):
    """A proposal with its claims."""

    name: FilledText
    """Name of the proposal."""
    title: FilledText
    """Title as shown in the report."""
    architecture: FilledText
    """Proposed architecture: a shipped name, or a file beside the proposal."""
    runtime: str | None = None
    """Runtime, by name or path, the architecture's own if omitted."""
    software: State | None = None
    """State of the software of claims that tell none, open if omitted."""
    context_of_use: FilledText
    """Decision that the evaluation serves."""
    maturity: Maturity
    """Maturity of the technology."""
    claims: tuple[Claim, ...] = Field(default=(), max_length=1000)
    """Claims of runs and of the chip itself, none if omitted, where curves are claimed."""
    curves: tuple[CurveClaim, ...] = Field(default=(), max_length=100)
    """Claimed scaling curves of collectives, none if omitted."""
    milestones: tuple[Milestone, ...] = ()
    """Milestones of the project, none if omitted."""
    targets: tuple[Target, ...] = Field(default=(), max_length=100)
    """Table of quantitative targets, whose weights sum to 100 %, none if omitted."""
    risks: tuple[Risk, ...] = Field(default=(), max_length=100)
    """Risks that the proposal names, none if omitted."""
    resources: ToldResources | None = None
    """Cost and schedule, which are shown and never judged, not told if omitted."""

    @field_validator("targets")
    @classmethod
    def _weights_are_whole(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        require_whole(targets)
        return targets

    @model_validator(mode="after")
    def _targets_are_of_claims(self) -> Proposal:
        require_claims(self.targets, self.claims)
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Proposal:
        names = [*(claim.name for claim in self.claims), *(curve.name for curve in self.curves)]
        if not names:
            raise ValueError("claims: there is nothing to judge; give a claim, or a curve under curves")
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
