"""How weights and KV cache lie in a memory with PIM units: for the chip, for the units, or weights for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from npusim.mapping.deployment import Deployment

Reader = Literal["chip", "units", "both"]
FOR_CHIP: Reader = "chip"
FOR_UNITS: Reader = "units"
FOR_BOTH: Reader = "both"


@dataclass(frozen=True)
class MemoryLayout:
    """For whom the only copy of weights and of KV lies in memory as it is read best; `both`: a copy each, of weights
    alone."""

    weights: Reader
    kv: Reader

    def put(self, runtimes: np.ndarray) -> np.ndarray:
        """Runtime records (RUNTIME_DTYPE) under this layout."""
        laid = runtimes.copy()
        laid["offload_linear"] = self.weights != FOR_CHIP
        laid["offload_copies"] = self.weights == FOR_BOTH
        laid["offload_attention"] = self.kv == FOR_UNITS
        laid["offload_open"] = False
        return laid


def is_open(runtimes: np.ndarray) -> bool:
    """Whether these records leave the layout to what is the fastest for a load."""
    return bool(runtimes[0]["offload_open"])


def layouts(runtimes: np.ndarray) -> list[MemoryLayout]:
    """The layouts among which these records leave the choice, that for the chip alone first."""
    weights = (FOR_CHIP, FOR_UNITS, FOR_BOTH) if runtimes[0]["offload_linear"] else (FOR_CHIP,)
    heads = (FOR_CHIP, FOR_UNITS) if runtimes[0]["offload_attention"] else (FOR_CHIP,)
    return [MemoryLayout(one, other) for one in weights for other in heads]


def layout_of(runtimes: np.ndarray) -> MemoryLayout | None:
    """The layout that these records fix; None where it is open."""
    record = runtimes[0]
    if record["offload_open"]:
        return None
    weights = (FOR_BOTH if record["offload_copies"] else FOR_UNITS) if record["offload_linear"] else FOR_CHIP
    return MemoryLayout(weights, FOR_UNITS if record["offload_attention"] else FOR_CHIP)


def laid_out(deployment: Deployment, layout: MemoryLayout) -> Deployment:
    """The deployment under this layout."""
    return deployment.with_records(deployment.machine, layout.put(deployment.runtime_record))
