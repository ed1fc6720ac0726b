"""What is asked of which chip and model, before any condition is known."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.hardware.catalog import load_system
from npusim.hardware.system import System
from npusim.inputs import remembered
from npusim.workload.catalog import load_model
from npusim.workload.model import Model


@dataclass(frozen=True)
class Question:
    """arch, model: shipped names or paths; tokens: of the longest request, for which there must be room; users: most
    requests in flight, None where that is not known."""

    arch: str
    model: str
    tokens: int = 1
    users: int | None = None

    @property
    def system(self) -> System:
        """The architecture, uncalibrated. Raises UserError."""
        return load_system(self.arch, uncalibrated=True)

    @property
    def shape(self) -> Model:
        """The model. Raises UserError."""
        return _shape(self.model)


@remembered
def _shape(model: str) -> Model:
    return load_model(model)
