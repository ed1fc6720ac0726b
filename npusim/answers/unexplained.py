"""What a calibration leaves unexplained of serving runs that it had not seen, also for chips without a calibration."""

from __future__ import annotations

from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibrated_systems, calibration_of
from npusim.hardware.units import KINDS
from npusim.inputs import remembered
from npusim.metrics import RUN


def unexplained(calibration: Calibration | None, figure: str) -> float:
    """90 % half-width of log(measured / predicted) for a figure of serving runs.

    Without a calibration, the largest that any shipped one gives: an architecture is no better known uncalibrated
    than another is calibrated.
    """
    if calibration is not None:
        return calibration.half_width(figure, RUN) or 0.0
    return max((other.half_width(figure, RUN) or 0.0 for other in _shipped_calibrations()), default=0.0)


@remembered
def _shipped_calibrations() -> tuple[Calibration, ...]:
    names = [name for unit in KINDS for name in calibrated_systems(unit)]
    return tuple(calibration for name in names if (calibration := calibration_of(name)) is not None)
