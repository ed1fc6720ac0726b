"""CSV files of card sensors over time: three forms that Furiosa's tools write.

furiosa-perf's monitoring log; the device monitor of furiosa-ai/vllm (rows only while a card is at work, a card a row);
`sensor_log_*.csv` of furiosa-server-validation-tool (@0fd8f23), a column a card.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.lab.files.files import Line, csv_lines
from npusim.lab.files.format import CSV, Format
from npusim.lab.files.lab_run import Conduct, LabRun, RunConditions
from npusim.lab.files.monitoring import logged, read_log
from npusim.lab.files.power_log import MONITORING, PowerLog

TOOL = "sensor log"
_DEVICE_MONITOR = ("timestamp", "device_name", "utilize", "power")
_COLUMN = re.compile(r"npu\d+_power")
_CARD = re.compile(r"(?P<chip>[A-Za-z+-]+)\d+")
READ_WITH_SUMMARY = "read with the summary that it belongs to"
"""Why a monitoring log of furiosa-perf is no file by itself."""


def is_sensor_log(text: str) -> bool:
    """Whether CSV text is a sensor log."""
    return _form(text) is not None


def is_monitoring(text: str) -> bool:
    """Whether it is furiosa-perf's, which belongs to the summary beside it."""
    return set(MONITORING) <= _names(text)


def _form(text: str) -> str | None:
    names = _names(text)
    if is_monitoring(text):
        return "monitoring"
    if set(_DEVICE_MONITOR) <= names:
        return "device monitor"
    return "columns" if any(_COLUMN.fullmatch(name) for name in names) else None


def _names(text: str) -> set[str]:
    lines = text.split("\n", 1)
    return {name.strip() for name in lines[0].split(",")}


def runs(path: Path, text: str) -> Iterator[LabRun]:
    """The log as a run of which only watts are known. Raises UserError."""
    form = _form(text)
    if form == "monitoring":
        log = read_log(path)
        conduct = Conduct(power_scope="cards", date=log.times[0], dates=log.times[-1:])
        yield LabRun(str(path), TOOL, RunConditions(), log.figures(), logged(conduct, log))
        return
    header, lines = csv_lines(path, text)
    if not lines:
        raise UserError(str(path), "", "has no samples; give the log of a finished run")
    yield _device_monitor(path, lines) if form == "device monitor" else _columns(path, header, lines)


def _device_monitor(path: Path, lines: list[Line]) -> LabRun:
    watts = defaultdict(list)
    for line in lines:
        watts[line["device_name"]].append(line.reading("power").value)
    mean = sum(float(np.mean(values)) for values in watts.values())
    first = next(iter(watts))
    times = tuple(line["timestamp"] for line in lines if line["device_name"] == first)
    log = _log(list(watts.values()), times)
    named = _CARD.fullmatch(first)
    remark = "holds samples at work only: its mean is above that of a run with pauses"
    return LabRun(
        str(path),
        TOOL,
        RunConditions(device=named["chip"] if named else None, cards=len(watts)),
        {"power_w_active": Reading.exact(mean)},
        Conduct(
            power_scope="cards",
            power_samples=len(lines),
            remarks=(remark,),
            date=times[0],
            dates=times[-1:],
            log=log,
        ),
    )


def _log(cards: list[list[float]], times: tuple[str, ...]) -> PowerLog:
    """The samples of all cards as far as all have some."""
    fewest = min(len(values) for values in cards)
    watts = np.array([values[:fewest] for values in cards]).T
    return PowerLog(watts.sum(axis=1), times[:fewest], watts)


def _columns(path: Path, header: list[str], lines: list[Line]) -> LabRun:
    names = [name for name in header if _COLUMN.fullmatch(name)]
    watts = np.array([[line.reading(name).value for name in names] for line in lines])
    times = tuple(line[header[0]] for line in lines)
    return LabRun(
        str(path),
        TOOL,
        RunConditions(device="rngd", cards=len(names)),
        {"power_w_samples": Reading.exact(float(watts.sum(axis=1).mean()))},
        Conduct(
            power_scope="cards",
            power_samples=len(lines),
            date=times[0],
            dates=times[-1:],
            log=PowerLog(watts.sum(axis=1), times, watts),
        ),
    )


def _left_out(path: Path, text: str) -> str | None:
    belongs = is_monitoring(text) and any(path.parent.parent.glob("summary*.csv"))
    return READ_WITH_SUMMARY if belongs else None


FORMATS = (Format("sensor CSV", CSV, is_sensor_log, runs, _left_out),)
