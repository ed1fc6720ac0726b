"""When a run says that it was: not in the future, not before its software, and within its own log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules.remark import DOUBT, FAULT, Remark

NAME = "date"
_DAY = re.compile(r"(?<!\d)(20\d\d)[-./]?(0[1-9]|1[0-2])[-./]?(0[1-9]|[12]\d|3[01])(?!\d{3})")
_ZONES = timedelta(days=1)
"""Days by which zones and midnight part a run from its record."""
_CALENDAR = re.compile(r"(?<!\d)(20\d\d)\.\d+")
"""A version that begins with its year."""


def named_day(text: str | None) -> date | None:
    """The day that a text names, None for none."""
    found = _DAY.search(text or "")
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def today() -> date:
    """The day by this machine's clock."""
    return datetime.now(UTC).date()


def not_in_the_future(run: LabRun) -> Iterator[Remark]:
    """A run that was handed in has been."""
    now = today()
    for text in dict.fromkeys(_told(run)):
        day = named_day(text)
        if day is not None and day > now + _ZONES:
            yield Remark(NAME, FAULT, f"the run is dated {day}, in the future (today is {now})")
            return


def _told(run: LabRun) -> Iterator[str]:
    yield from (text for text in (run.conduct.date, *run.conduct.dates) if text)


def one_day(run: LabRun) -> Iterator[Remark]:
    """Files of one run name one day."""
    days = [day for text in _told(run) if (day := named_day(text)) is not None]
    if days and max(days) - min(days) > _ZONES:
        yield Remark(NAME, DOUBT, f"parts of the run are dated {min(days)} and {max(days)}")


def after_its_software(run: LabRun) -> Iterator[Remark]:
    """Software whose version begins with its year was not run in an earlier one."""
    day = named_day(run.conduct.date)
    for text in (run.conduct.sdk, run.setting.runtime):
        version = _CALENDAR.search(text or "")
        if day is not None and version is not None and day.year < int(version[1]):
            yield Remark(NAME, FAULT, f"the run is dated {day}, before the year of its software {version[0]}")
            return


RULES = (not_in_the_future, one_day, after_its_software)
