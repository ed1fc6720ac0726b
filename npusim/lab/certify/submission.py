"""`submission.yaml` beside the raw files: what is declared, what ran, and on which machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field, field_validator

from npusim.errors import UserError
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.lab.cells import Cell
from npusim.lab.check.placing import USUAL
from npusim.lab.environment import Environment, known
from npusim.lab.files.lab_run import RunConditions
from npusim.lab.files.naming import shipped_arch, shipped_runtime
from npusim.metric_names import metric, resolve
from npusim.workload.model_names import shipped_model
from npusim.workload.precision import Precision, resolve_precision

FILE = "submission.yaml"


_UNKNOWN_IS_NONE = BeforeValidator(known)


class DeclaredConditions(Part):
    """Conditions of all runs that the files themselves do not tell; `unknown` is allowed."""

    device: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Chip, by the maker's or a shipped name."""
    model: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Model that was served."""
    precision: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Number format of weights and activations."""
    kv_precision: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Number format of the KV cache."""
    cards: Annotated[Whole | None, _UNKNOWN_IS_NONE] = None
    """Number of cards that worked together."""
    runtime: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Serving runtime with its version."""
    prefix_caching: Annotated[bool | None, _UNKNOWN_IS_NONE] = None
    """Whether the server kept the KV of common prefixes."""
    prompts: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Whether requests shared their prompt: different or alike."""
    power_scope: Annotated[str | None, _UNKNOWN_IS_NONE] = None
    """Scope of the watts: cards, server or wall."""

    @field_validator("prompts")
    @classmethod
    def _prompts(cls, value: str | None) -> str | None:
        return _of(value, ("different", "alike"))

    @field_validator("power_scope")
    @classmethod
    def _scope(cls, value: str | None) -> str | None:
        return _of(value, ("cards", "server", "wall"))

    @field_validator("precision")
    @classmethod
    def _scheme(cls, value: str | None) -> str | None:
        return None if value is None else _formats(value, USUAL).name

    @field_validator("kv_precision")
    @classmethod
    def _kv(cls, value: str | None) -> str | None:
        return None if value is None else _formats(USUAL, value).kv

    def of_run(self) -> RunConditions:
        """As a run has them."""
        return RunConditions(**{name: getattr(self, name) for name in RunConditions.names() if hasattr(self, name)})

    def for_check(self) -> RunConditions:
        """Those that the check knows, in its spelling: a chip that is not described, say, is told and not checked."""
        told = self.of_run()
        return replace(
            told,
            device=None if told.device is None else shipped_arch(told.device),
            model=None if told.model is None else shipped_model(told.model),
            runtime=None if told.runtime is None else shipped_runtime(told.runtime),
        )


def _formats(precision: str, kv_precision: str) -> Precision:
    try:
        return resolve_precision(precision, kv_precision)
    except UserError as mistake:
        raise ValueError(mistake.message) from mistake


def _of(value: str | None, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise ValueError(f"'{value}' is not known; use {', '.join(known)} or unknown")
    return value


class DeclaredCell(Part):
    """What is declared of a cell."""

    isl: Whole
    """Prompt length in tokens."""
    osl: Whole
    """Answer length in tokens."""
    users: Users = Field(validation_alias=AliasChoices("users", "concurrency"))
    """Number of concurrent users, also written `concurrency`."""
    model: str | None = None
    """Model, where the submission has several."""
    precision: str | None = None
    """Number format, where the submission has several."""
    figures: dict[str, float] = Field(min_length=1)
    """Declared figures by npusim's names, in their units."""

    @field_validator("figures")
    @classmethod
    def _known_figures(cls, figures: dict[str, float]) -> dict[str, float]:
        for name, value in figures.items():
            if metric(name) is None:
                raise ValueError(f"'{name}' is no figure of npusim; use one such as output_tokens_per_s or ttft_ms_p99")
            if not value > 0.0:
                raise ValueError(f"{name}: {value} is no figure above zero")
        return {resolve(name): value for name, value in figures.items()}

    def is_of(self, cell: Cell) -> bool:
        """Whether it speaks of that cell."""
        if (self.isl, self.osl, self.users) != (cell.isl, cell.osl, cell.users):
            return False
        model = self.model and (shipped_model(self.model) or self.model)
        return model in (None, cell.model) and self.precision in (None, cell.precision)

    @property
    def text(self) -> str:
        """The cell in a few words."""
        return f"{self.isl}/{self.osl} x {self.users}"


class Submission(Part):
    """What is handed in beside raw files."""

    title: str = ""
    """Title as shown on the certificate."""
    applicant: str = ""
    """Who hands it in."""
    laboratory: str = ""
    """Who measured."""
    notice: str = ""
    """What every reader must know, such as that figures are made up."""
    conditions: DeclaredConditions = DeclaredConditions()
    """Conditions that the files do not tell."""
    environment: Environment = Environment()
    """The machine and its surroundings."""
    declared: tuple[DeclaredCell, ...] = ()
    """Declared figures by cell."""
    uncertainty: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=dict)
    """Relative standard uncertainty of the lab's instruments by figure or quantity, in place of that of the rules."""

    @field_validator("uncertainty")
    @classmethod
    def _known_metrics(cls, told: dict[str, float]) -> dict[str, float]:
        for name in told:
            if metric(name) is None:
                raise ValueError(f"'{name}' is no figure of npusim; use one such as power_w")
        return told


class _DeclaredAlone(Part):
    """A file of declared figures alone."""

    declared: tuple[DeclaredCell, ...] = Field(min_length=1)
    """Declared figures by cell."""


def load_submission(folder: Path) -> Submission:
    """That of the folder; an empty one where there is none. Raises UserError."""
    path = folder / FILE
    return load_yaml(path, Submission) if is_file(path) else Submission()


def load_declared(path: Path) -> tuple[DeclaredCell, ...]:
    """The declared figures of a file: of a submission, or of one that holds `declared` alone. Raises UserError."""
    try:
        return load_yaml(path, _DeclaredAlone).declared
    except UserError:
        declared = load_yaml(path, Submission).declared
    if not declared:
        raise UserError(str(path), "declared", "declares nothing; give a list of cells with their figures")
    return declared
