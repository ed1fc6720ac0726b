"""Where the time of the mean decode step of each cell goes: parts of a whole by resource, as a table and as bars."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from npusim.engine.designs import HOST
from npusim.engine.stepcost import RESOURCES
from npusim.kperf.table import of_model, shape_text

SHARE = "share_"
"""How the columns of the parts begin."""
PARTS = (*RESOURCES, HOST)
SHARES = ("model", "isl", "osl", "users", *(f"{SHARE}{name}" for name in PARTS))
"""Columns of the table: a row a cell of the grid, not a number where it was not predicted."""
TITLE = "share of the time of the mean decode step by resource"
NAMES = {
    "contraction": "matrix arithmetic",
    "vector": "vector arithmetic",
    "memory": "memory traffic",
    "pim": "PIM units",
    "link": "links between chips",
    "overhead": "launches and fixed costs",
    HOST: "host",
}
"""What the parts are called."""


def no_shares() -> pd.DataFrame:
    """A table without a row."""
    return pd.DataFrame(columns=list(SHARES))


def known_shares(shares: pd.DataFrame, model: str) -> pd.DataFrame:
    """The rows of a model that were predicted, by shape and users."""
    rows = of_model(shares, model)
    return rows[rows[f"{SHARE}memory"].notna()]


def present_parts(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Column and name of each part that some cell has."""
    for part in PARTS:
        if (rows[f"{SHARE}{part}"] > 0.0).any():
            yield f"{SHARE}{part}", NAMES[part]


def shape_names(rows: pd.DataFrame) -> list[str]:
    """The shape of each row as text."""
    return [shape_text(int(isl), int(osl)) for isl, osl in zip(rows["isl"], rows["osl"], strict=True)]
