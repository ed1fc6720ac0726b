"""Rows of a program while it is built, and the operators of which every layer consists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npusim import dtypes
from npusim.hardware.machine import GROUP_TENSOR
from npusim.mapping.optable import (
    ALL_GATHER,
    ALL_REDUCE,
    CAST,
    COLLECTIVE,
    LINEAR,
    OP_DTYPE,
    PER_TOKEN,
    SPLIT_NONE,
    UNIT_NPU,
    UNIT_PIM,
    VECTOR,
)
from npusim.workload.precision import Precision

_HALF = 16.0
"""Bits of a 16-bit format."""
_CAST_TRAFFIC = 1.5
"""Traffic of a cast from 16 to 8 bits in elements of 16 bits: one is read, a half is written."""
NO_ROW = -1


@dataclass
class Rows:
    """Rows in order of execution; a row waits for the one before it in its segment unless stated otherwise.

    last: index of the row that the next one waits for, NO_ROW at the start of a segment.
    """

    made: list[np.ndarray] = field(default_factory=list)
    segment: int = 0
    repeat: int = 1
    last: int = NO_ROW

    def open_segment(self, repeat: int) -> None:
        self.segment += bool(self.made)
        self.repeat = repeat
        self.last = NO_ROW

    def add(self, kind: int, op: int, second: int = NO_ROW, **fields: Any) -> None:
        """Append a row that waits for `last`, and for the row `second` where one is given."""
        row = np.zeros(1, OP_DTYPE)
        row["kind"], row["op"] = kind, op
        row["segment"], row["repeat"] = self.segment, self.repeat
        row["first_input"], row["second_input"] = self.last, second
        row["units"] = UNIT_NPU
        row["fan"] = row["stored"] = 1.0
        row["weight_dtype"] = row["activation_dtype"] = dtypes.BF16
        row["weight_bits"] = row["activation_bits"] = _HALF
        for name, value in fields.items():
            row[name] = value
        self.last = len(self.made)
        self.made.append(row)

    def linear(
        self, op: int, precision: Precision, n: int, k: int, split: int, one_input: bool = False, **fields: Any
    ) -> None:
        """A matrix product in `precision`, after the cast of its input where that is narrower than 16 bits.

        one_input: all rows of a token have the same input.
        """
        activation_bits = precision.activation_bits
        if activation_bits < _HALF:
            told = (
                ("phase", "scales_with", "window") if one_input else ("phase", "scales_with", "window", "fan", "spread")
            )
            self.vector(CAST, k, _CAST_TRAFFIC * k, **{name: fields[name] for name in told if name in fields})
        given = {"scales_with": PER_TOKEN, "units": UNIT_NPU | UNIT_PIM} | fields
        self.add(
            LINEAR,
            op,
            n=n,
            k=k,
            split=split,
            weight_dtype=dtypes.code(precision.weights),
            activation_dtype=dtypes.code(precision.activations),
            weight_bits=precision.weight_bits,
            activation_bits=activation_bits,
            **given,
        )

    def vector(self, op: int, n: int, elements: float, second: int = NO_ROW, **fields: Any) -> None:
        """An operator over `n` columns that moves `elements` elements a row."""
        given = {"scales_with": PER_TOKEN, "split": SPLIT_NONE} | fields
        self.add(VECTOR, op, second, n=n, elements=elements, **given)

    def all_reduce(self, n: int, ranks: int) -> None:
        """Over the chips that share a layer."""
        self.collective(ALL_REDUCE, n, ranks, GROUP_TENSOR)

    def all_gather(self, n: int, ranks: int) -> None:
        """Over the chips that share a layer, `n` elements a token in all."""
        self.collective(ALL_GATHER, n, ranks, GROUP_TENSOR)

    def collective(self, op: int, n: float, ranks: int, group: int) -> None:
        """A collective over a kind of group, `n` elements of 16 bits a token; none over a single rank."""
        if ranks > 1:
            self.add(COLLECTIVE, op, n=n, ranks=ranks, group=group, scales_with=PER_TOKEN)

    def table(self) -> np.ndarray:
        """The rows as one array of OP_DTYPE."""
        return np.concatenate(self.made)
