"""A DRAM standard as the scheduler reads it: one flat record of integers, times in ticks.

A tick is the shortest distance between two command edges: one clock, half of one for HBM3 and HBM4.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import record_type
from npusim.hardware.dram import Dram, Timing
from npusim.ledger import Quantity

REFRESH_OFF, REFRESH_ALL_BANK, REFRESH_PER_BANK = 0, 1, 2
REFRESH_MODES = {"off": REFRESH_OFF, "ab": REFRESH_ALL_BANK, "pb": REFRESH_PER_BANK}

_CLOCKS = tuple(Timing.model_fields)
_STRUCTURE = (
    "pseudo_channels", "ranks", "groups", "banks_per_group", "rows", "columns", "tBL", "activate", "command",
    "column_step", "separate_row_bus", "two_phase", "write_clock", "refresh",
)  # fmt: skip

TIMING_DTYPE = record_type([(name, np.int64) for name in (*_CLOCKS, *_STRUCTURE)])


def build_timing(dram: Dram, refresh: int, pseudo_channels: int = 1) -> np.void:
    """The record of one channel of `dram` with that refresh mode and number of pseudo-channels on its command buses.

    A limit that the standard does not have is that of the nearest command: all-bank precharge as a single one, another
    rank as another bank group.
    """
    record = np.zeros(1, TIMING_DTYPE)[0]
    ticks = int(dram.ticks_per_clock.value)
    timing, shape = dram.timing, dram.organisation
    fallback = {"tRPab": timing.tRP, "tCCD_R": timing.tCCD_S}
    for name in _CLOCKS:
        quantity: Quantity | None = getattr(timing, name) or fallback.get(name)
        record[name] = 0 if quantity is None else math.ceil(quantity.value * ticks)
    record["tBL"] = math.ceil(dram.burst_clocks * ticks)
    record["activate"] = math.ceil(dram.commands.activate.value * ticks)
    record["command"] = math.ceil(dram.commands.other.value * ticks)
    record["column_step"] = ticks
    record["separate_row_bus"] = dram.commands.row_bus == "separate"
    record["two_phase"] = timing.tAAD is not None
    record["write_clock"] = timing.tWCKPST is not None
    record["pseudo_channels"] = pseudo_channels
    record["ranks"] = int(shape.ranks.value)
    record["groups"] = int(shape.bank_groups.value)
    record["banks_per_group"] = int(shape.banks_per_group.value)
    record["rows"] = int(shape.rows.value)
    record["columns"] = int(shape.row.value / shape.access.value)
    record["refresh"] = refresh
    return record


def tick_s(dram: Dram) -> float:
    """Seconds of one tick."""
    return dram.clock_period_s / dram.ticks_per_clock.value
