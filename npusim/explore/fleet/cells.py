"""Cells of instances, each with a router of its own, and the latencies of the requests that they served."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from npusim.metrics import PER_REQUEST
from npusim.serving.instances.simulate import InstancesRun
from npusim.serving.served import column_of
from npusim.serving.slo import Slo
from npusim.units import MS_PER_S

CELL = 20
"""Most instances of a cell, behind one router."""


@dataclass(frozen=True, eq=False)
class CellRun:
    """rows: a row for each request that was served and counts; refused: requests that were not served."""

    rows: pd.DataFrame
    refused: int


def fleet_cells(instances: int) -> list[int]:
    """Instances of each cell, as equal as can be; of several an even number, so that two processes share them evenly.

    How many there are hangs on the instances alone, never on who simulates them.
    """
    count = math.ceil(instances / CELL)
    count += count % 2 if count > 1 else 0
    return [instances // count + (place < instances % count) for place in range(count)]


def rows_of(run: InstancesRun, warm_up: int) -> pd.DataFrame:
    """Latencies of each request in ms, without the first `warm_up`; tpot is NaN for one token."""
    record: Any = run.whole.record
    columns = ("index", "osl", "sent_s", "first_token_s", "last_token_s")
    index, osl, sent_s, first_s, last_token_s = (column_of(record.requests, name) for name in columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot = np.where(osl > 1, (last_token_s - first_s) / (osl - 1), np.nan)
    found = zip(PER_REQUEST, (first_s - sent_s, tpot, last_token_s - sent_s), strict=True)
    return pd.DataFrame({name: seconds * MS_PER_S for name, seconds in found})[index >= warm_up]


def slo_kept(slo: Slo, rows: pd.DataFrame) -> bool:
    """Whether requests, a row each with latencies in ms, keep every limit."""
    return all(latency_statistic(rows, name) <= limit for name, limit in slo.limits)


def latency_statistic(rows: pd.DataFrame, name: str) -> float:
    """A figure such as ttft_ms_p99 of requests, a row each with latencies in ms."""
    quantity, _, statistic = name.rpartition("_")
    values = rows[quantity].to_numpy(float)
    values = values[np.isfinite(values)]
    return float(values.mean() if statistic == "mean" else np.percentile(values, float(statistic[1:])))
