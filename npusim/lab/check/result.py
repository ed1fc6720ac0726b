"""Everything handed in, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from npusim.bounds.finding import VERDICTS
from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system
from npusim.lab.check.across import with_gains
from npusim.lab.check.common import CommonFactor, common_factors
from npusim.lab.check.own_tables import checked_rows
from npusim.lab.check.placing import USUAL, Placed, place_run
from npusim.lab.check.predictions import Predictions
from npusim.lab.check.row import CheckedRow
from npusim.lab.check.weighing import weigh
from npusim.lab.files.folder import HandedIn, Unread, hand_in
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.rules.lint import remarks_on
from npusim.lab.rules.remark import Remark
from npusim.lab.rules.together import remarks_together
from npusim.mapping.plan_file import read_plan
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision


@dataclass(frozen=True)
class CheckResult:
    """files: that were read; archs: that the rows are about; rows in the order of the files; factors: that the rows of
    a chip have in common."""

    files: tuple[Path, ...]
    rows: tuple[CheckedRow, ...]
    unread: tuple[Unread, ...]
    archs: tuple[str, ...]
    models: tuple[str, ...]
    factors: tuple[CommonFactor, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many rows have each verdict."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract, in which the key of a location is `place`."""
        return {
            "rows": [row.as_dict(index) for index, row in enumerate(self.rows)],
            "counts": self.counts(),
            "common_factors": [factor.as_dict() for factor in self.factors],
            "unread": [{"place": each.location, "reason": each.reason} for each in self.unread],
        }


def check_measured(path: Path, given: RunConditions, seed: int, say: Callable[[str], None]) -> CheckResult:
    """Check a file or a folder under what the user gave. Raises UserError."""
    _require_known(given)
    handed: HandedIn = hand_in(path)
    say(f"{len(handed.runs):,} runs in {len(handed.files):,} files")
    predictions, rows = Predictions(seed), []
    all_placed = [place_run(run, given) for run in handed.runs]
    remarks = remarks_together(
        [replace(run, setting=placed.setting) for run, placed in zip(handed.runs, all_placed, strict=True)]
    )
    for place, (run, placed) in enumerate(zip(handed.runs, all_placed, strict=True)):
        rows.append(_row(run, placed, predictions, remarks[place]))
    unread = list(handed.unread)
    for table in handed.tables:
        try:
            rows += checked_rows(table, given.device, seed)
        except UserError as error:
            if table == path:
                raise
            unread.append(Unread(str(table), f"not read: {error}", broken=True))
    archs = dict.fromkeys(placed.arch for placed in all_placed if placed.arch is not None)
    archs |= dict.fromkeys(row.setting.device for row in rows[len(all_placed) :] if row.setting.device is not None)
    models = dict.fromkeys(placed.model.name for placed in all_placed if placed.model is not None)
    found = with_gains(rows)
    factors = tuple(common_factors(found))
    for factor in factors:
        for place in factor.rows:
            found[place] = replace(found[place], remarks=(*found[place].remarks, factor.remark))
    return CheckResult(handed.files, tuple(found), tuple(unread), tuple(archs), tuple(models), factors)


def _require_known(given: RunConditions) -> None:
    """Raises UserError for an architecture, model, format or runtime that the user named and that is not there."""
    if given.device is not None:
        unit = load_system(given.device, uncalibrated=True).chip.unit.kind
        if given.runtime is not None:
            load_runtime(given.runtime, unit)
    if given.model is not None:
        load_model(given.model)
        if given.plan is not None and given.device is not None:
            read_plan(given.plan, load_system(given.device, uncalibrated=True), load_model(given.model))
    if given.precision is not None or given.kv_precision is not None:
        resolve_precision(given.precision or USUAL, given.kv_precision or USUAL)


def _row(run: LabRun, placed: Placed, predictions: Predictions, others: Sequence[Remark]) -> CheckedRow:
    weighed = weigh(run, placed, predictions)
    return CheckedRow(
        run.location,
        run.tool,
        placed.setting,
        run.conduct,
        weighed.figures,
        weighed.whole,
        (*remarks_on(replace(run, setting=placed.setting)), *others),
        weighed.known,
    )
