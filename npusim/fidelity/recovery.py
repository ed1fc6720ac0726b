"""Published recovery of quantised models: what was measured of like models in the same scheme, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from npusim.fidelity.estimate import Fidelity
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity, Stretch, in_unit
from npusim.workload.catalog import load_model
from npusim.workload.checkpoint import UNQUANTISED
from npusim.workload.model import Model

_Share = Annotated[Quantity, in_unit("", most=2.0)]
_REFERENCE = "the reference itself: the checkpoint is stored so, and keys and values stay in 16 bits"
Standing = Literal["published", "reference", "unknown"]


class Published(Part):
    """A published recovery."""

    models: tuple[str, ...]
    """Models that it belongs to, by their shipped names."""
    scheme: str
    """Scheme, or variant of one, that was measured."""
    method: str
    """How it was quantised."""
    tests: str
    """What was scored."""
    recovery: _Share
    """Score over that of the 16-bit original: 1 is no loss, and chance takes it above."""

    @property
    def told(self) -> str:
        """What it is and where it stands, in one line."""
        kind = self.recovery.kind
        return f"{self.recovery.source} [{kind}]; {', '.join(self.models)}; {self.method}; {self.tests}"


class RecoveryTable(Part):
    """The shipped table."""

    name: str
    """Name under which it is looked up and shown."""
    likeness: Stretch
    """Times as many parameters, or as few, as a published model of the same family may have to count as like."""
    published: tuple[Published, ...]
    """What was published."""


@dataclass(frozen=True)
class Recovery:
    """standing: what the band is of; low, high: of what was published of like models, None where nothing was; sources:
    what was, and where."""

    standing: Standing
    low: float | None = None
    high: float | None = None
    sources: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The band, or why there is none."""
        if self.low is None or self.high is None or self.standing == "reference":
            return self.standing
        return f"{self.low:.1%} to {self.high:.1%}"


@remembered
def recovery_table() -> RecoveryTable:
    """The shipped table with its provenances."""
    return load_yaml(data_root("workloads") / "recovery.yaml", RecoveryTable)


def recovery_of(model: Model, fidelity: Fidelity) -> Recovery:
    """What was published of like models in the same scheme; of a checkpoint as it is stored, that it is the reference.

    Figures are of caches in 16 bits: with a narrower one nothing is known.
    """
    if fidelity.kv != UNQUANTISED:
        return Recovery("unknown")
    if fidelity.reference:
        return Recovery("reference", 1.0, 1.0, (_REFERENCE,))
    table = recovery_table()
    like = [
        each
        for each in table.published
        if each.scheme == fidelity.scheme.name and any(_like(model, name, table.likeness.value) for name in each.models)
    ]
    if not like:
        return Recovery("unknown")
    return Recovery(
        "published",
        min(_end(each.recovery, "low") for each in like),
        max(_end(each.recovery, "high") for each in like),
        tuple(each.told for each in like),
    )


def _end(share: Quantity, end: str) -> float:
    found: float | None = getattr(share, end)
    return share.value if found is None else found


def _like(model: Model, name: str, most: float) -> bool:
    """Whether a model is of the family of the shipped one of that name, and of about its size."""
    other = load_model(name)
    ratio = model.parameters / other.parameters
    return model.family == other.family and 1.0 / most <= ratio <= most
