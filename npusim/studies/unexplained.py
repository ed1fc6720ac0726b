"""What a calibration leaves unexplained of serving runs that it had not seen, also for chips without a calibration."""

from __future__ import annotations

from functools import cache

from npusim.hardware.catalog import calibrated_systems, calibration_of
from npusim.hardware.overlay import Overlay
from npusim.hardware.residuals import RUN
from npusim.hardware.units import KINDS


def unexplained(overlay: Overlay | None, figure: str) -> float:
    """90 % half-width of log(measured / predicted) for a figure of serving runs.

    Without a calibration, the largest that any shipped one gives: an architecture is no better known uncalibrated
    than another is calibrated.
    """
    if overlay is not None:
        return overlay.half_width(figure, RUN) or 0.0
    return max((other.half_width(figure, RUN) or 0.0 for other in _shipped_calibrations()), default=0.0)


@cache
def _shipped_calibrations() -> tuple[Overlay, ...]:
    names = [name for unit in KINDS for name in calibrated_systems(unit)]
    return tuple(overlay for name in names if (overlay := calibration_of(name)) is not None)
