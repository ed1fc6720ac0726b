"""Writes docs/coverage.md, what the 90 % intervals of calibrated chips hold of what a fit had not seen:
`python docs/make_coverage.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from npusim.hardware.calibration import Calibration
from npusim.hardware.residuals import LeftOut
from npusim.serving.unexplained import shipped_calibrations

PAGE = Path(__file__).with_name("coverage.md")
LOW, HIGH = 0.85, 0.95
FIGURES = (
    ("ttft", "time to the first token"),
    ("power_w", "watts"),
    ("tokens_per_joule", "tokens per joule"),
    ("us", "time of a kernel or a pass"),
    ("ms", "time of a kernel or a pass"),
)
"""What a figure is called by how its column begins; the time of a token decides all others of a run."""
_OF_TOKENS = "time of a token, whole answers, throughput"
_INTRODUCTION = """# What intervals hold of what a fit had not seen

Made by `python docs/make_coverage.py` from the calibrations that are shipped; do not edit. Nominal coverage is 90 %.

Held out together is a **group** of runs (model x format; lab x SDK x model x cards; a range of shapes of a card's
kernels), or all that was measured of a **model**. The interval comes from the posterior of a fit without it and from
what that fit does not explain of the others ([calibrate.md](calibrate.md)). Figures of a group share their errors, so
that the groups count and not the figures: of g groups, a coverage of 90 % has a standard error of about 0.3 / sqrt(g).
What is outside 85 to 95 % is marked. With few groups the interval has a prior as one more group, or holds the worst of
them, so that it is rather too wide. What no fit has seen at all (another H200 under another program, H100, runs that
others published) is in [validation](../validation/README.md), under *calibrated*.
"""


def page() -> str:
    """The page: a table a chip."""
    lines = [_INTRODUCTION]
    for calibration in shipped_calibrations():
        lines += [f"## {calibration.arch}", "", "| figure | regime | held out | groups | figures | coverage | |", _RULE]
        lines += [*_rows(calibration), ""]
    return "\n".join(lines).rstrip() + "\n"


_RULE = "| --- | --- | --- | --- | --- | --- | --- |"


def _rows(calibration: Calibration) -> Iterator[str]:
    alike: dict[tuple[str, str, str], list[LeftOut]] = defaultdict(list)
    for part in calibration.left_out:
        alike[_figure(part.metric), _regime(part.regime), part.unseen].append(part)
    for (figure, regime, unseen), parts in sorted(alike.items()):
        count = sum(part.figures for part in parts)
        held = sum(part.coverage * part.figures for part in parts) / count
        groups = max(part.groups for part in parts)
        apart = "" if LOW <= held <= HIGH else "too wide" if held > HIGH else "too narrow"
        yield f"| {figure} | {regime} | {unseen} | {groups} | {count:,} | {100.0 * held:.0f} % | {apart} |"


def _regime(regime: str) -> str:
    """All operators that are timed alone are one."""
    return "operators" if regime.startswith("operator ") else regime


def _figure(metric: str) -> str:
    return next((name for start, name in FIGURES if metric.startswith(start)), _OF_TOKENS)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
