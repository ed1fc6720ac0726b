"""What rows say of each other: the same run on more cards can gain only so much (Amdahl's law)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from npusim.bounds.amdahl import NAME, gain, serial_part
from npusim.bounds.finding import PLAUSIBLE
from npusim.bounds.reading import Reading
from npusim.lab.check.row import CheckedRow
from npusim.lab.files.lab_run import RunConditions
from npusim.lab.rules.remark import FAULT, NOTE, Remark

LATENCY = "tpot_ms_mean"
_SPREAD = ("cards", "tensor_parallel", "plan")
"""What tells how many cards a run was spread over."""


def with_gains(rows: list[CheckedRow]) -> list[CheckedRow]:
    """The rows; those of more cards than the same run was measured on, with what their gain implies."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.setting.cards and row.setting.device and row.setting.users and _latency(row) is not None:
            groups[row.tool, _same_run(row)].append(index)
    found = list(rows)
    for indices in groups.values():
        few = min(indices, key=lambda index: rows[index].setting.cards or 0)
        for index in indices:
            remark = _remark(rows[few], rows[index])
            if remark is not None:
                found[index] = replace(found[index], remarks=(*found[index].remarks, remark))
    return found


def _same_run(row: CheckedRow) -> RunConditions:
    """What was run, on however many cards."""
    return replace(row.setting, **dict.fromkeys(_SPREAD))


def _latency(row: CheckedRow) -> Reading | None:
    return next((figure.measured for figure in row.figures if figure.metric == LATENCY), None)


def _remark(few: CheckedRow, many: CheckedRow) -> Remark | None:
    cards, latencies = (few.setting.cards or 0, many.setting.cards or 0), (_latency(few), _latency(many))
    if cards[1] <= cards[0] or latencies[0] is None or latencies[1] is None or latencies[1].value <= 0.0:
        return None
    speed_up = latencies[0].value / latencies[1].value
    ratio = cards[1] / cards[0]
    finding = gain(LATENCY, (cards[0], latencies[0]), (cards[1], latencies[1]))
    if finding.verdict != PLAUSIBLE:
        return Remark(NAME, FAULT, f"{speed_up:.3g} times as fast on {ratio:g} times the cards: {finding.reason}")
    part = serial_part(ratio, speed_up)
    told = f"{speed_up:.3g} times as fast as on {cards[0]}: {part:.0%} of the time does not spread over cards"
    return Remark(NAME, NOTE, told)
