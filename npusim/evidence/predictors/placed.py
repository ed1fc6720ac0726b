"""What all predictors of a model on cards share: the chip and the runtime are those of their placement."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.evidence.measured.placement import Placement


@dataclass(frozen=True)
class PlacedPredictor:
    """placement: what was measured ran on."""

    placement: Placement

    @property
    def arch(self) -> str:
        return self.placement.arch

    @property
    def runtime(self) -> str:
        return self.placement.runtime
