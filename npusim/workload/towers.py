"""What turns images or sound into tokens: named and counted apart from the model that reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Tower:
    """A tower of `layers` transformer layers; key: of the file; parameters: of its layers, as far as their widths say.

    Per patch of an image it multiplies with its parameters once, a prompt's cost beside the model's own; npusim
    predicts prompts of text.
    """

    key: str
    layers: int
    hidden: int
    parameters: int

    @property
    def flops_per_patch(self) -> float:
        """Flops of products for one patch, attention between patches left out."""
        return 2.0 * self.parameters

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "flops_per_patch": self.flops_per_patch}
