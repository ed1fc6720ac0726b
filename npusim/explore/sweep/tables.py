"""The tables of a sweep on disk: all points as Parquet and CSV, written part by part, so that memory stays flat."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.store import Store
from npusim.explore.sweep.tasks import REFUSAL, TASK_KEYS
from npusim.publish import drafted, publish_file
from npusim.safe_text import spreadsheet_safe

_SAMPLE = 20_000


def write_points(spec: SweepSpec, store: Store, served: pd.DataFrame | None) -> pd.DataFrame:
    """Writes `points.parquet` and `points.csv`; returns a sample of at most about _SAMPLE points (all, where fewer)."""
    sample, writer = [], None
    names = list(store.names("estimate"))
    share = _SAMPLE // max(1, len(names))
    parquet, csv = (drafted(store.out / name) for name in ("points.parquet", "points.csv"))
    # Given a path, pyarrow takes a name such as `a:b` for the address of a file system.
    with (
        parquet as columns,
        columns.open("wb") as binary,
        csv as rows,
        rows.open("w", encoding="utf-8", newline="") as text,
    ):
        for index, name in enumerate(names):
            part = joined(store.get(name), served)
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(binary, table.schema)
            writer.write_table(table.cast(writer.schema))
            spreadsheet_safe(part).to_csv(text, index=False, header=index == 0, lineterminator="\n")
            sample.append(part if len(part) <= share else part.sample(share, random_state=spec.seed))
        assert writer is not None
        writer.close()
    return pd.concat(sample, ignore_index=True)


def joined(points: pd.DataFrame, served: pd.DataFrame | None) -> pd.DataFrame:
    """`points` with the served metrics of those that were served, NaN and an empty refusal for the others."""
    if served is None:
        return points
    both = points.merge(served, on=list(TASK_KEYS), how="left", suffixes=("", "_served"))
    reasons = both[REFUSAL].where(both[REFUSAL] != "", both[f"{REFUSAL}_served"].fillna("").astype(str))
    return both.drop(columns=f"{REFUSAL}_served").assign(**{REFUSAL: reasons})


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write `table`; it appears whole or not at all."""
    publish_file(path, spreadsheet_safe(table).to_csv(index=False, lineterminator="\n"))
