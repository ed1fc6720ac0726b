"""A page as headless Chromium sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--enable-logging=stderr",
    "--virtual-time-budget=8000", "--window-size=1200,1600",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """html: the page after its scripts ran; console: lines that it wrote to the console; picture: a screenshot."""

    html: str
    console: list[str]
    picture: Path

    @property
    def charts(self) -> int:
        """Charts that were drawn, each with its marks."""
        return len(re.findall(r'<g class="cartesianlayer"><g class="subplot', self.html))


def browser() -> str:
    """The browser; without one the test is skipped."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found:
        pytest.skip("no Chromium here; install Debian's package chromium to see the reports drawn")
    return found


def see(page: Path, folder: Path) -> Seen:
    """Open `page` and look at it."""
    picture = folder / "picture.png"
    profile = f"--user-data-dir={folder / 'profile'}"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [browser(), *_FLAGS, profile, *more, page.resolve().as_uri()]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=180)

    html = run("--dump-dom")
    run(f"--screenshot={picture}")
    return Seen(html.stdout, [line for line in html.stderr.splitlines() if "CONSOLE" in line], picture)
