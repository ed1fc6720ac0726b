"""The measurement linter: whether a run was measured as it should be, and agrees with itself."""

from __future__ import annotations

from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules import dates, latencies, power, rates, requests
from npusim.lab.rules.remark import Remark, Rule

RULES: tuple[Rule, ...] = (*requests.RULES, *latencies.RULES, *rates.RULES, *power.RULES, *dates.RULES)


def remarks_on(run: LabRun) -> tuple[Remark, ...]:
    """Every remark on a run, whose setting holds what the user gave too."""
    return tuple(remark for rule in RULES for remark in rule(run))
