"""Scoring registered predictions against what was measured since."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.lab.files.folder import hand_in
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.files.naming import shipped_arch
from npusim.lab.registered.pack import KEY_SPREAD, cell_key
from npusim.metric_names import resolve, told_as
from npusim.metrics import TABLE_COLUMN
from npusim.workload.model_names import shipped_model

MAIN = "output_tokens_per_s"
_USUAL_PRECISION = "bf16"
_P90 = 90.0


@dataclass(frozen=True)
class Scored:
    """One figure: error = predicted / measured - 1; covered: whether the 90 % interval holds it, None without one."""

    location: str
    metric: str
    measured: float
    predicted: float
    low: float | None
    high: float | None

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1.0

    @property
    def covered(self) -> bool | None:
        return None if self.low is None or self.high is None else self.low <= self.measured <= self.high

    def as_dict(self) -> dict[str, Any]:
        """As in JSON, where the location's key is `place`."""
        fields = asdict(self)
        return {"place": fields.pop("location"), **fields, "error": self.error, "covered": self.covered}


@dataclass(frozen=True)
class PackScore:
    """scored: of all metrics; skipped: (location, reason) of runs that no cell predicts."""

    scored: tuple[Scored, ...]
    skipped: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Errors of the main metric as `validate` gives them, and of every metric."""
        groups: dict[str, list[Scored]] = defaultdict(list)
        for item in self.scored:
            groups[item.metric].append(item)
        return {
            "rows": len({item.location for item in self.scored}),
            **summary(groups.get(MAIN, [])),
            "main_metric": MAIN,
            "by": {"metric": {metric: {"rows": len(items), **summary(items)} for metric, items in groups.items()}},
            "skipped": [{"row": location, "reason": reason} for location, reason in self.skipped],
            "scores": [item.as_dict() for item in self.scored],
        }


def summary(items: Iterable[Scored]) -> dict[str, float | None]:
    """mape, bias, p90, max, coverage90; NaN without items."""
    known = list(items)
    errors = np.array([item.error for item in known])
    held = [item.covered for item in known if item.covered is not None]
    size = np.abs(errors) if known else np.array([math.nan])
    return {
        "mape": float(size.mean()),
        "bias": float(errors.mean()) if known else math.nan,
        "p90": float(np.percentile(size, _P90)),
        "max": float(size.max()),
        "coverage90": float(np.mean(held)) if held else None,
    }


def score_pack(pack: Mapping[str, Any], measured: Path, given: RunConditions) -> PackScore:
    """Score a pack against a file or folder. Raises UserError where nothing in it was predicted."""
    cells = {cell_key(cell): cell for cell in pack["cells"]}
    scored: list[Scored] = []
    handed = hand_in(measured)
    skipped = [(each.location, each.reason) for each in handed.unread if each.broken]
    for run in handed.runs:
        cell = _cell(run, given, cells)
        if isinstance(cell, str):
            skipped.append((run.location, cell))
        else:
            scored += _scored(run, cell)
    if not scored:
        why = skipped[0][1] if skipped else "it holds no run"
        raise UserError(str(measured), "", f"nothing in it was predicted: {why}")
    return PackScore(tuple(scored), tuple(skipped))


def _cell(run: LabRun, given: RunConditions, cells: Mapping[tuple[Any, ...], Any]) -> Any:
    """The cell of a run, or why there is none."""
    setting = given.told_or(run.setting)
    chip = None if setting.device is None else shipped_arch(setting.device) or setting.device
    model = None if setting.model is None else shipped_model(setting.model) or setting.model
    told = {"chip": chip, "model": model, "isl": setting.isl, "osl": setting.osl, "users": setting.users}
    missing = [name for name, value in told.items() if value is None]
    if missing:
        return f"{missing[0]} is not told"
    precision, cards = setting.precision or _USUAL_PRECISION, setting.cards or 1
    key = chip, model, precision, cards, setting.isl, setting.osl, setting.users
    spread = {name: getattr(setting, name) for name in KEY_SPREAD}
    found = [cell for own, cell in cells.items() if own[: len(key)] == key and _agrees(own[len(key) :], spread)]
    if not found or found[0].get(MAIN) is None:
        shape = f"{setting.isl:g}/{setting.osl:g} with {setting.users:g} users"
        beside = "".join(f", {name} {value}" for name, value in spread.items() if value is not None)
        return f"the pack predicts no {model} in {precision} on {cards} x {chip} at {shape}{beside}"
    if len(found) > 1:
        return f"the pack predicts {len(found)} such cells; tell {' and '.join(KEY_SPREAD)}"
    return found[0]


def _agrees(own: tuple[str, ...], told: Mapping[str, str | None]) -> bool:
    """Whether a cell is as a run tells; what the run does not tell may be anything."""
    return all(value is None or value == each for each, value in zip(own, told.values(), strict=True))


def _scored(run: LabRun, cell: Mapping[str, Any]) -> list[Scored]:
    found = []
    for metric, figure in run.figures.items():
        name = resolve(metric)
        if cell.get(name) is not None and figure.value > 0.0:
            low, high = cell.get(f"{name}_low"), cell.get(f"{name}_high")
            found.append(Scored(run.location, told_as(TABLE_COLUMN, name), figure.value, cell[name], low, high))
    return found
