"""Whether rows were measured as the measuring grid says: device, software, samples, repeats and deviations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from npusim.bounds.reading import Reading
from npusim.inputs import remembered
from npusim.lab.check.row import CheckedRow
from npusim.lab.files.lab_run import Conduct, RunConditions
from npusim.lab.rules.remark import NOTE
from npusim.words import Phrase
from npusim.workload.grid import Grid, load_grid

GRID = "furiosa-perf-32k"
"""The grid that rows are compared with; K-Perf's own is not public."""
REPEATED = "output_tokens_per_s"
COLUMNS = {
    "row": "Row",
    "place": "File and line",
    "tool": "Tool",
    "device": "Device",
    "cards": "Cards",
    "firmware": "Firmware",
    "software": "Driver, SDK or runtime",
    "date": "Date",
    "requests": "Requests",
    "completed": "Completed",
    "failed": "Failed",
    "duration_s": "Duration [s]",
    "power_scope": "Scope of the watts",
    "power_samples": "Power samples",
    "repeats": "Repeats of the setting",
    "spread": "Spread of output throughput (sd / mean)",
    "deviations": "Deviations from the grid",
    "remarks": "Remarks of the linter",
}


def conformity(rows: tuple[CheckedRow, ...]) -> pd.DataFrame:
    """A line a row with the columns of COLUMNS."""
    alike: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in rows:
        rate = _rate(row)
        if rate is not None:
            alike[_key(row)].append(rate.value)
    records = [_record(index, row, alike[_key(row)]) for index, row in enumerate(rows)]
    return pd.DataFrame(records, columns=list(COLUMNS))


def _key(row: CheckedRow) -> tuple[Any, ...]:
    return (row.tool, row.setting)


def _rate(row: CheckedRow) -> Reading | None:
    return next((figure.measured for figure in row.figures if figure.metric == REPEATED), None)


def _record(index: int, row: CheckedRow, repeats: list[float]) -> dict[str, Any]:
    setting, conduct = row.setting, row.conduct
    return {
        "row": index,
        "place": row.location,
        "tool": row.tool,
        "device": setting.device,
        "cards": setting.cards,
        "firmware": conduct.firmware,
        "software": conduct.sdk or setting.runtime,
        "date": conduct.date,
        "requests": conduct.requests,
        "completed": conduct.completed,
        "failed": conduct.failed,
        "duration_s": conduct.duration_s,
        "power_scope": conduct.power_scope,
        "power_samples": conduct.power_samples,
        "repeats": len(repeats) or None,
        "spread": float(np.std(repeats, ddof=1) / np.mean(repeats)) if len(repeats) > 1 and np.mean(repeats) else None,
        "deviations": "; ".join(deviations(row)),
        "remarks": "; ".join(f"{each.rule}: {each.message}" for each in row.remarks if each.severity != NOTE),
    }


@remembered
def _grid() -> Grid:
    return load_grid(GRID)


def deviations(row: CheckedRow) -> Iterator[str]:
    """How a row differs from the grid and its protocol, as far as the files say."""
    return map(str, deviations_of(row.setting, row.conduct, _grid()))


def deviations_of(setting: RunConditions, conduct: Conduct, grid: Grid) -> Iterator[Phrase]:
    """How a run differs from a grid and its protocol, as far as the files say."""
    shape = setting.isl, setting.osl
    users = next((point.users for point in grid.points if (point.isl, point.osl) == shape), None)
    if None not in shape and users is None:
        lengths = f"{shape[0]:g}/{shape[1]:g}"
        yield Phrase("{shape} is no shape of {grid}", {"shape": lengths, "grid": grid.name})
    elif users is not None and setting.users is not None and setting.users not in users:
        yield Phrase("{users} users are not in {grid}", {"users": f"{setting.users:g}", "grid": grid.name})
    if conduct.arrival is not None and conduct.arrival != grid.arrival:
        told = {"arrival": conduct.arrival, "asked": grid.arrival}
        yield Phrase("requests came as {arrival}, not as {asked}", told)
    if conduct.requests is not None and setting.users and conduct.requests != grid.requests_per_user * setting.users:
        sent = {"requests": f"{conduct.requests:,}", "each": grid.requests_per_user}
        yield Phrase("{requests} requests, not {each} a user", sent)
