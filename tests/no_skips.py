"""A plug-in of pytest: where NPUSIM_NO_SKIPS is set, a test that is skipped fails and tells why."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("NPUSIM_NO_SKIPS"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report
