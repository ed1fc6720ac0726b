"""The least time of a pass or of one operator: its bytes over the memory's rate, its arithmetic over the dense peak."""

from __future__ import annotations

import numpy as np

from npusim.bounds.arithmetic import NAME as ARITHMETIC
from npusim.bounds.bandwidth import NAME as BANDWIDTH
from npusim.bounds.ceiling import Ceiling
from npusim.bounds.demand import operations, streamed_bytes
from npusim.bounds.finding import Finding
from npusim.bounds.reading import Reading
from npusim.mapping.lower import lower
from npusim.mapping.plan import Plan
from npusim.words import Phrase
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.step import Step

_LEAST = 1e-12
"""Takes the part of zero seconds below a fraction line."""


def step_rows(model: Model, precision: Precision, step: Step) -> np.ndarray:
    """The operators of a pass, as one chip would run them all."""
    return lower(model, precision, Plan(1, 1), step).rows


def least_times(rows: np.ndarray, ceilings: tuple[Ceiling, Ceiling], chips: int, measured_s: Reading) -> list[Finding]:
    """Bounds on the seconds that `rows` take on `chips`; ceilings: the generous and the usual one.

    What fits into the memory on the chips is not counted as read: a loop may find it there again.
    """
    generous = ceilings[0]
    read = [
        max(0.0, streamed_bytes(rows) - each.on_chip_bytes * chips) / (each.bandwidth_bytes_per_s * chips)
        for each in ceilings
    ]
    computed = [each.seconds_of(operations(rows, None)) / chips for each in ceilings]
    told = {
        BANDWIDTH: (read, Phrase("its time for reading its weights and KV ({time} us)", _us(read)), generous.sustained),
        ARITHMETIC: (computed, Phrase("its time for its arithmetic ({time} us at the dense peak)", _us(computed)), 1.0),
    }
    shortest, longest = max(measured_s.high, _LEAST), max(measured_s.low, _LEAST)
    return [
        Finding(name, "", low / shortest, high / longest, says, low, reachable)
        for name, ((low, high), says, reachable) in told.items()
    ]


def _us(seconds: list[float]) -> dict[str, str]:
    """The least of them in words."""
    return {"time": f"{seconds[0] * 1e6:,.4g}"}
