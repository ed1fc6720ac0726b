"""How tokens are drafted that a model then verifies together: by whom, how many, how often they are accepted, at what
cost of software (Leviathan, Kalman, Matias 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part, Whole
from npusim.hardware.data import data_root
from npusim.hardware.description import Description, part_file
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Duration, Fraction

OPTION = "--speculate"
NONE = "none"
"""Asks for a token a step."""
MOST_DRAFTED = 64
"""Most tokens that are drafted for a step."""
_LEAST = 1e-9
"""Smallest chance above zero that is told from none."""
_FORM = "NAME[:MODEL][:k=N][:a=P[,P...]]"
_TOLD = f"told with {OPTION}"

Drafted = Annotated[int, Field(ge=0, le=MOST_DRAFTED, strict=True)]


class DraftHead(Part):
    """A head that predicts further tokens: a projection of joined vectors, one layer as the model's last one, logits.

    Li et al., EAGLE, arXiv 2401.15077, and EAGLE-3, arXiv 2503.01840; DeepSeek-AI, DeepSeek-V3, arXiv 2412.19437,
    section 2.2.
    """

    features: Whole
    """Number of vectors of the model's width that a projection joins before the layer, of which 1 needs none."""
    vocabulary: Whole | None = None
    """Number of tokens among which the head chooses by logits of its own; the model's LM head if omitted."""
    source: str
    """Document or measurement that says so."""


class Drafting(Description):
    """How tokens are drafted, how often they are accepted, and what software needs for it."""

    FOLDER = "drafting"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    kind: Literal["ngram", "draft", "eagle", "mtp"]
    """Whether tokens are found again in the text (`ngram`), or come from a smaller model (`draft`), from a head trained
    on the model (`eagle`), or from a head trained with it (`mtp`)."""
    tokens: Drafted
    """Number of tokens drafted for each sequence and step; 0 is no drafting."""
    acceptance: tuple[Fraction, ...] = Field(min_length=1, max_length=MOST_DRAFTED)
    """Fraction of the drafted tokens, 0 to 1, that are accepted once those before them are, by their position; the last
    one holds for all further positions."""
    model: str | None = None
    """Model that drafts, by its name or path, for `draft` alone."""
    precision: str | None = None
    """Number format of the weights that draft; that of the model if omitted."""
    head: DraftHead | None = None
    """Head that drafts, for `eagle` and `mtp` alone."""
    waits: bool
    """True where the host schedules no step before the drafts of the one before it are there."""
    turn_time: Duration
    """Time of a step between its passes, in seconds: the host sees how many drafts were accepted, and launches small
    kernels that compare, draw and prepare; where it waits for drafts, the chip is at rest meanwhile."""
    token_time: Duration
    """Further such time for each token that is drafted for a sequence, in seconds."""
    pass_time: Duration
    """Least time of each pass of a model or head that drafts, which the host launches, in seconds."""
    source: str
    """Document or measurement that says how the software does it."""

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Drafting:
        if self.model is not None and self.kind != "draft":
            raise ValueError(f"'model' is for kind draft; take it out of kind {self.kind}")
        if (self.head is not None) != (self.kind in ("eagle", "mtp")):
            raise ValueError("'head' is for kinds eagle and mtp, which need it")
        return self

    @property
    def profile(self) -> np.ndarray:
        """Chance of each drafted token, given those before it: float64 (tokens,)."""
        given = [each.value for each in self.acceptance]
        return np.array([given[min(position, len(given) - 1)] for position in range(self.tokens)])

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens that a step puts out: one, and each drafted one that is accepted with all before it.

        For one chance a at all positions it is (1 - a^(k+1)) / (1 - a) (Leviathan et al. 2023, equation 1).
        """
        return 1.0 + float(np.cumprod(self.profile).sum())

    @property
    def turn_s(self) -> float:
        """Seconds of a step between its passes."""
        return self.turn_time.value + self.tokens * self.token_time.value

    @property
    def passes(self) -> int:
        """Passes of a model or head that drafts, in a step."""
        return 0 if self.kind == "ngram" else self.tokens

    @property
    def asked(self) -> str:
        """What asks for it in the words of `--speculate`."""
        model = "" if self.model is None else f":{self.model}"
        return f"{self.name}{model}:k={self.tokens}:a={','.join(f'{each:.4g}' for each in self.profile)}"

    @property
    def text(self) -> str:
        """One line: "3 tokens drafted by llama-3.2-1b, 2.3 a step"."""
        who = {"ngram": "n-gram matches", "draft": self.model, "eagle": "an EAGLE head", "mtp": "an MTP head"}
        return f"{self.tokens} tokens drafted by {who[self.kind]}, {self.tokens_per_step:.3g} tokens a step"


@cache
def shipped_drafting() -> dict[str, Path]:
    """File of each shipped way of drafting by its name."""
    return {path.stem: path for path in sorted((data_root("arch_configs") / Drafting.FOLDER).glob("*.yaml"))}


@dataclass(frozen=True)
class _Told:
    """What the words after a name change."""

    model: str | None = None
    tokens: int | None = None
    acceptance: tuple[float, ...] | None = None


def load_drafting(name: str) -> Drafting:
    """The shipped way of drafting of that name."""
    return _read(name)


def read_drafting(text: str) -> Drafting | None:
    """The way of drafting that `--speculate` asks for: a file, or a shipped name with what is put in its place.

    None where nothing is drafted (`none`, k=0). Raises UserError.
    """
    if text.strip().lower() == NONE:
        return None
    found = _read(text)
    if found.tokens and found.kind == "draft" and found.model is None:
        raise UserError(OPTION, text, "which model drafts? write draft:MODEL:k=5, or give 'model' in the file")
    return found if found.tokens else None


@remembered
def _read(text: str) -> Drafting:
    name, *words = text.strip().split(":")
    try:
        file = part_file(Drafting.FOLDER, name)
    except UserError as error:
        raise UserError(OPTION, text, f"'{name}': {error.message}; the form is FILE or {_FORM}") from error
    told = _told(text, words)
    changes: dict[str, Any] = {
        **({} if told.model is None else {"model": told.model}),
        **({} if told.tokens is None else {"tokens": told.tokens}),
        **({} if told.acceptance is None else {"acceptance": [_as_told(each) for each in told.acceptance]}),
    }
    described = load_yaml(file, Drafting)
    if not changes:
        return described
    if "model" in changes and described.kind != "draft":
        raise UserError(OPTION, text, f"'{told.model}': only kind draft takes a model; the form is {_FORM}")
    return Drafting.model_validate(dict(described) | changes)


def _told(text: str, words: list[str]) -> _Told:
    model, tokens, acceptance = None, None, None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and model is None and word:
            model = word
        elif key == "k" and tokens is None:
            tokens = _count(text, value)
        elif key == "a" and acceptance is None:
            acceptance = tuple(_chance(text, each) for each in value.split(","))
        else:
            raise UserError(OPTION, text, f"'{word}' cannot be read; the form is FILE or {_FORM}")
    return _Told(model, tokens, acceptance)


def _count(text: str, value: str) -> int:
    if not value.isdecimal() or int(value) > MOST_DRAFTED:
        raise UserError(OPTION, text, f"k={value} is no number of drafted tokens; give 0 to {MOST_DRAFTED}")
    return int(value)


def _chance(text: str, value: str) -> float:
    try:
        chance = float(value)
    except ValueError:
        chance = -1.0
    if not (chance == 0.0 or _LEAST <= chance <= 1.0):
        raise UserError(OPTION, text, f"a={value} is no chance of acceptance; give 0 to 1")
    return chance


def _as_told(chance: float) -> dict[str, Any]:
    return {"value": chance, "kind": "assumed", "source": _TOLD, "low": chance, "high": chance}
