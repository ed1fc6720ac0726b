"""A Parquet table that npusim itself wrote, whole or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from npusim.errors import UserError
from npusim.inputs.files import read_bytes
from npusim.inputs.record import aside

if TYPE_CHECKING:
    import pandas as pd

_MOST_BYTES = 2**30


def read_parquet(path: Path) -> pd.DataFrame:
    """The table of a part that a run kept for later; it is not an input. Raises UserError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with aside():
        content = read_bytes(path, _MOST_BYTES)
    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(content)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise UserError(str(path), "", f"is no whole Parquet file ({error}); remove it, and it is made anew") from error
    return frame
