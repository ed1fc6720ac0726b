"""Every remark on runs by what they say of each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules.copies import copies, scaled, twins
from npusim.lab.rules.remark import Remark
from npusim.lab.rules.sweep import out_of_order

_RULES = (out_of_order, copies, scaled, twins)


def remarks_together(runs: Sequence[LabRun]) -> Mapping[int, list[Remark]]:
    """Remarks by the place of their run, whose setting holds what the user gave too."""
    found: dict[int, list[Remark]] = defaultdict(list)
    for rule in _RULES:
        for place, remark in rule(runs):
            if remark not in found[place]:
                found[place].append(remark)
    return found
