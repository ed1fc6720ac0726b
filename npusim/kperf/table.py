"""The K-Perf measuring table: its columns (heading, unit, number format), context and headlines.

A table is a DataFrame of cells, a row per model, input and output length and users; a metric that could not
be predicted is NaN and the row's `status` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from npusim.hardware.drafting import NONE
from npusim.kperf.on_device import LIMIT
from npusim.metric_names import best_label
from npusim.metric_row import Metric, Shown
from npusim.metrics import DEVICE, METRICS, SEARCHES, SPENT, shown
from npusim.safe_text import printable
from npusim.scales import MOST_MS
from npusim.units import MS_PER_S
from npusim.words import ENGLISH, Say, speaker

PREDICTED = "predicted"
ACCURACY = "Accuracy"
FIDELITY = "Expected fidelity (no accuracy)"


@dataclass(frozen=True)
class Column:
    """A column of a table: `number` is its spreadsheet format ("" for text), `width` is in characters."""

    name: str
    heading: str
    unit: str = ""
    number: str = ""
    group: str = ""
    width: float = 11
    detail: bool = False

    @property
    def label(self) -> str:
        """Heading with its unit, for table heads and axes."""
        return self.label_in(speaker(ENGLISH))

    def label_in(self, say: Say) -> str:
        """The label in the language of `say`; an unknown heading by its parts."""
        heading = say(self.heading)
        if heading == self.heading:
            heading = ", ".join(say(part) for part in heading.split(", "))
        return f"{heading} [{say(self.unit)}]" if self.unit else heading

    @property
    def shown_as(self) -> str:
        """The spreadsheet format, in which long times are read as seconds and stay milliseconds."""
        return f'[>={MOST_MS:.0f}]#,##0.0," s";{self.number}' if self.number and self.unit == "ms" else self.number


@dataclass(frozen=True)
class KPerfContext:
    """What a reader must know beside the numbers: the chip, the grid, the protocol and how far to trust.

    say: translates into the reader's language. Text from files is made printable.
    """

    chip_title: str
    chip_note: str
    silicon: bool
    grid_name: str
    grid_source: str
    arrival_text: str
    interval_text: str
    calibration_text: str
    software_text: str
    say: Say = field(default=speaker(ENGLISH), compare=False)

    def __post_init__(self) -> None:
        for name, text in vars(self).copy().items():
            if isinstance(text, str):
                object.__setattr__(self, name, printable(text))

    @property
    def projection_text(self) -> str:
        """Says that the chip does not exist yet and what its description is based on; empty for one that exists."""
        if self.silicon:
            return ""
        return f"{self.say('PROJECTION of a chip that does not exist in silicon.')} {self.say(self.chip_note.strip())} "


def _figures() -> Iterator[Column]:
    """The columns of the metrics, with the scope of the watts and what the energy is spent on."""
    rows = shown(Shown.FOLDED)
    watts = [row for row in rows if row.unit == "W"]
    for row in rows:
        folded = row.shown == Shown.FOLDED
        yield Column(row.name, row.label, row.unit, row.number, row.group, row.width, folded)
        if row is watts[-1]:
            yield Column("power_scope", "Scope of the watts", group=row.group, width=16)
        if row.unit == "tokens/J":
            yield from (Column(part.name, part.label, part.unit, part.number, row.group, 13, True) for part in SPENT)


COLUMNS: tuple[Column, ...] = (
    Column("chip", "Chip", group="Configuration", width=12),
    Column("cards", "Cards", "", "0", "Configuration", 8),
    Column("chips", "Chips (tensor parallel)", "", "0", "Configuration", 10),
    Column("plan", "Plan", group="Configuration", width=12),
    Column("runtime", "Runtime", group="Configuration", width=22),
    Column("model", "Model", group="Configuration", width=20),
    Column("model_title", "Model name", group="Configuration", width=26),
    Column("precision", "Precision", group="Configuration", width=11),
    Column("kv_precision", "KV precision", group="Configuration", width=11),
    Column("speculation", "Speculative decoding", group="Configuration", width=18, detail=True),
    Column("isl", "Input length", "tokens", "#,##0", "Shape and load", 10),
    Column("osl", "Output length", "tokens", "#,##0", "Shape and load", 10),
    Column("users", "Users", "", "#,##0", "Shape and load", 8),
    Column("requests", "Requests", "", "#,##0", "Shape and load", 10),
    Column("lengths", "Spread of the lengths", group="Shape and load", width=12, detail=True),
    *_figures(),
    Column("fidelity_sqnr_db", "SQNR of the logits", "dB", "0.0", FIDELITY, 12),
    Column("fidelity_recovery", "Published recovery of like models", group=FIDELITY, width=20),
    Column("fidelity_sources", "Sources of the recovery", group=FIDELITY, width=30, detail=True),
    Column("bound", "Bound of the mean decode step", group="Memory and scheduling", width=16),
    Column("status", "Status", group="Status", width=12),
)

ASKED_COLUMNS: tuple[Column, ...] = (
    *(Column(row.name, row.label, row.unit, row.number, row.group, row.width) for row in (*SEARCHES, *DEVICE)),
    Column(LIMIT, "What throttles", group=DEVICE[0].group, width=14),
)
"""Columns of what is sought where it is asked for, and of a device where one is described; tables without do not have
them."""

INTERVAL_METRICS = tuple(row.name for row in METRICS if row.interval)
FIDELITY_METRIC = "fidelity_sqnr_db"
"""Its low and high are those of its assumptions, whether intervals are asked for or not."""
_RANGED = (*INTERVAL_METRICS, FIDELITY_METRIC, *(row.name for row in (*SEARCHES, *DEVICE)))

ACCURACY_COLUMNS: tuple[Column, ...] = (
    Column("accuracy_score", "Accuracy score (measured only)", group=ACCURACY, width=16),
    Column("accuracy_task", "Accuracy task (measured only)", group=ACCURACY, width=16),
)

_BY_NAME = {column.name: column for column in COLUMNS}
_FIRST_GROUPS = ("Shape and load", "Status")
_LAST_GROUPS = (FIDELITY, ACCURACY, "Configuration")


def column(name: str) -> Column:
    """The column of that name."""
    return _BY_NAME[name]


def as_read(rows: pd.DataFrame, name: str) -> tuple[Column, pd.DataFrame]:
    """A column and the rows in the unit in which people read it: seconds where its milliseconds pass 10,000."""
    item, held = column(name), [each for each in (name, f"{name}_low", f"{name}_high") if each in rows]
    if item.unit != "ms" or not (rows[name] >= MOST_MS).any():
        return item, rows
    return replace(item, unit="s"), rows.assign(**{each: rows[each] / MS_PER_S for each in held})


def file_columns(cells: pd.DataFrame) -> list[Column]:
    """Columns that the cells hold, in the order of COLUMNS, low and high beside their metric.

    Raises ValueError where the cells lack a column or hold one that is not known.
    """
    found: list[Column] = []
    asked = [item for item in ASKED_COLUMNS if item.name in cells]
    for known in (*COLUMNS[:-1], *asked, COLUMNS[-1]):
        found.append(known)
        if known.name in _RANGED:
            found += [
                replace(known, name=f"{known.name}_{side}", heading=f"{known.heading}, {side}", detail=True)
                for side in ("low", "high")
                if f"{known.name}_{side}" in cells
            ]
    names = [item.name for item in found]
    if set(names) != set(cells.columns):
        raise ValueError(f"cells lack or do not know {sorted(set(names) ^ set(cells.columns))}")
    return found


def sheet_columns(cells: pd.DataFrame) -> list[Column]:
    """Columns of a model's sheet: shape, load and status first, then metrics, accuracy and configuration.

    Low and high are omitted where no cell has them.
    """
    present = [item for item in file_columns(cells) if item.name in _BY_NAME or cells[item.name].notna().any()] + list(
        ACCURACY_COLUMNS
    )
    first = [item for group in _FIRST_GROUPS for item in present if item.group == group]
    last = [item for group in _LAST_GROUPS for item in present if item.group == group]
    return first + [item for item in present if item not in first and item not in last] + last


def model_names(cells: pd.DataFrame) -> list[str]:
    """Models in the order in which they appear."""
    return [str(name) for name in cells["model"].unique()]


def of_model(cells: pd.DataFrame, model: str) -> pd.DataFrame:
    """The model's rows, shapes in the order in which they appear, users ascending."""
    rows = cells[cells["model"] == model]
    rank = {shape: index for index, shape in enumerate(shapes(rows))}
    order = [rank[shape] for shape in zip(rows["isl"], rows["osl"], strict=True)]
    return (
        rows.assign(_rank=order).sort_values(["_rank", "users"], kind="stable", ignore_index=True).drop(columns="_rank")
    )


def shapes(rows: pd.DataFrame) -> list[tuple[int, int]]:
    """Distinct (input length, output length) in the order in which they appear."""
    return list(dict.fromkeys((int(i), int(o)) for i, o in zip(rows["isl"], rows["osl"], strict=True)))


def shape_text(isl: int, osl: int) -> str:
    return f"{isl:,} / {osl:,}"


def predicted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were predicted."""
    return rows[rows["status"] == PREDICTED]


def rows_configuration_text(rows: pd.DataFrame) -> str:
    """One line: model, precision, cards and runtime of a model's rows."""
    first = rows.iloc[0]
    cards, chips, told = int(first["cards"]), int(first["chips"]), first.get("speculation", NONE)
    drafts = "" if told == NONE or pd.isna(told) else f", speculative decoding {told}"
    return (
        f"{first['model_title']}, {first['precision']} with {first['kv_precision']} KV, "
        f"{cards} card{'s' * (cards > 1)} ({chips} chip{'s' * (chips > 1)}), {first['runtime']}{drafts}"
    )


def unique_names(names: Sequence[str], forbidden: str, limit: int, taken: Iterable[str] = ()) -> list[str]:
    """Names for sheets or files: the forbidden pattern becomes "-", at most `limit` long, none twice."""
    used, made = {name.lower() for name in taken}, []
    for name in names:
        clean = re.sub(forbidden, "-", printable(name)).strip("-.' ") or "model"
        fresh, count = clean[:limit], 1
        while fresh.lower() in used:
            count += 1
            fresh = f"{clean[: limit - len(f'-{count}')]}-{count}"
        used.add(fresh.lower())
        made.append(fresh)
    return made


BEST = tuple(sorted((row for row in METRICS if row.best), key=lambda row: row.best))
"""Metrics whose best cells a summary names, in its order; the first with its interval."""


def _best_columns(row: Metric) -> Iterator[Column]:
    number = row.number if row is not BEST[0] and row.unit != "tokens/s" else "#,##0"
    yield Column(row.name, best_label(row), row.unit, number)
    for side in ("low", "high"):
        yield Column(f"{row.name}_{side}", f"{best_label(row)}, {side}", row.unit, number)
    yield Column(f"{row.name}_at", "at in / out × users", width=21)


HEADLINES: tuple[Column, ...] = (
    Column("model", "Model", width=26),
    Column("precision", "Precision, KV", width=15),
    Column("cards", "Cards", "", "0", width=8),
    Column("count", "Cells predicted"),
    *(column for row in BEST for column in _best_columns(row)),
    Column("fewest", "Fewest users in the grid", "", "0"),
    Column("speed_high", "Speed per user there, fastest shape", "tokens/s/user", "#,##0.0", width=14),
    Column("speed_low", "Speed per user there, slowest shape", "tokens/s/user", "#,##0.0", width=14),
    Column("ttft_low", "TTFT mean there, shortest", "ms", "#,##0.0"),
    Column("ttft_high", "TTFT mean there, longest", "ms", "#,##0.0"),
)


def headlines(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per model with the columns of HEADLINES; models without a predicted cell have blanks."""
    records = [_headline(of_model(cells, model)) for model in model_names(cells)]
    return pd.DataFrame(records).reindex(columns=[item.name for item in HEADLINES])


def _headline(rows: pd.DataFrame) -> dict[str, object]:
    done, first = predicted(rows), rows.iloc[0]
    record: dict[str, object] = {
        "model": first["model_title"],
        "precision": f"{first['precision']}, {first['kv_precision']} KV",
        "cards": int(first["cards"]),
        "count": f"{len(done)} of {len(rows)}",
    }
    if done.empty:
        return record
    for row in BEST:
        if done[row.name].notna().any():
            best = (done.nlargest if row.better == "more" else done.nsmallest)(1, row.name).iloc[0]
            shape = shape_text(int(best["isl"]), int(best["osl"]))
            record |= {row.name: best[row.name], f"{row.name}_at": f"{shape} × {int(best['users'])}"}
            record |= {name: best.get(name) for name in (f"{row.name}_low", f"{row.name}_high")}
    few = done[done["users"] == done["users"].min()]
    return record | {
        "fewest": int(done["users"].min()),
        "speed_high": few["tokens_per_s_per_user"].max(),
        "speed_low": few["tokens_per_s_per_user"].min(),
        "ttft_low": few["ttft_ms_mean"].min(),
        "ttft_high": few["ttft_ms_mean"].max(),
    }


MISSING: tuple[Column, ...] = (
    Column("model", "Model"),
    Column("cells", "Cells", "", "0"),
    Column("where", "Not predicted: in / out × users"),
    Column("reason", "Reason"),
)


def missing(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per model and reason for what was not predicted (columns of MISSING); empty when all was."""
    records = []
    for model in model_names(cells):
        rows = of_model(cells, model)
        for reason, group in rows[rows["status"] != PREDICTED].groupby("status", sort=False):
            named = [
                f"{shape_text(isl, osl)} × {', '.join(str(users) for users in _users(group, isl, osl))}"
                for isl, osl in shapes(group)
            ]
            where = "all cells" if len(group) == len(rows) else "; ".join(named)
            records.append((rows["model_title"].iloc[0], len(group), where, reason))
    return pd.DataFrame(records, columns=[item.name for item in MISSING])


def _users(rows: pd.DataFrame, isl: int, osl: int) -> list[int]:
    return [int(users) for users in rows[(rows["isl"] == isl) & (rows["osl"] == osl)]["users"]]
