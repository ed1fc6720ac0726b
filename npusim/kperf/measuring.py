"""The sheet of a K-Perf workbook that a lab fills in: what it measured, apart from what was predicted, and how.

Above its table stand the conditions, a line each: their title, the cell to fill in, what may be written there.
"""

from __future__ import annotations

from dataclasses import dataclass

from npusim.conditions.table import CONDITIONS
from npusim.kperf.table import ACCURACY, ACCURACY_COLUMNS, Column, column
from npusim.metric_row import Shown
from npusim.metrics import shown

SHAPE = ("isl", "osl", "users")
MEASURED = "measured_"
"""How the names of columns of measured figures begin."""
YES, NO = "yes", "no"
SCOPES = ("cards", "server", "wall")
ARRIVALS = ("burst", "closed", "rate")


@dataclass(frozen=True)
class AskedLine:
    """A line above the table. name: of the condition, or of what is told of the measurement; title: for people;
    choices: the words that may be written, none where any may; column: of the table of predictions, whose value there
    is shown beside it."""

    name: str
    title: str
    choices: tuple[str, ...] = ()
    column: str = ""


_CHOICES = {"prefix_caching": (YES, NO), "prompts": ("different", "alike")}
_PREDICTED_IN = {"tensor_parallel": "chips"}
_SHOWN = ("runtime", "precision", "kv_precision", "cards", "tensor_parallel", "plan")

ASKED: tuple[AskedLine, ...] = (
    AskedLine("model", "Model", column="model"),
    AskedLine("device", "Chip", column="chip"),
    *(
        AskedLine(
            each.name,
            each.title,
            _CHOICES.get(each.name, ()),
            _PREDICTED_IN.get(each.name, each.name) if each.name in _SHOWN else "",
        )
        for each in CONDITIONS
    ),
    AskedLine("artifact", "Compiled artifact"),
    AskedLine("sdk", "SDK and driver"),
    AskedLine("firmware", "Firmware"),
    AskedLine("dataset", "Dataset of the prompts"),
    AskedLine("dataset_seed", "Seed of the prompts"),
    AskedLine("ignore_eos", "End of sequence ignored", (YES, NO)),
    AskedLine("arrival", "Arrival of the requests", ARRIVALS),
    AskedLine("warm_up", "Warm-up"),
    AskedLine("repeats", "Repeats of each row"),
    AskedLine("power_meter", "Power meter"),
    AskedLine("power_scope", "Scope of the watts", SCOPES),
    AskedLine("date", "Date of the measurement"),
)
"""What a lab is asked of its measurement, every condition of `conditions.table` among it."""

PREFILLED = ("model", "device")
"""What is asked and stands in the sheet already: of what it is."""


def _measured(name: str, heading: str, unit: str, number: str, group: str, width: float) -> Column:
    return Column(f"{MEASURED}{name}", f"{heading}, measured", unit, number, group, max(width, 12))


MEASURING_COLUMNS: tuple[Column, ...] = (
    *(column(name) for name in SHAPE),
    _measured("requests", "Requests", "", "#,##0", "Shape and load", 10),
    *(_measured(row.name, row.label, row.unit, row.number, row.group, row.width) for row in shown(Shown.FOLDED)),
    *ACCURACY_COLUMNS,
    Column("remark", "Remark of the lab", group=ACCURACY, width=30),
)
"""The columns of the table: shape and users stand there, the others are empty."""

HEADINGS = ("Condition", "As measured", "What may be written", "As predicted")
"""Of the lines above the table."""
