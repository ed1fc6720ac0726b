"""What a calibration leaves unexplained of figures that it had not seen, also for chips without a calibration."""

from __future__ import annotations

from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibrated_systems, calibration_of
from npusim.hardware.units import KINDS
from npusim.inputs import remembered
from npusim.metrics import RUN


def unexplained(calibration: Calibration | None, metric: str, regime: str = RUN) -> float:
    """90 % half-width of log(measured / predicted) for a figure of a pass or a run.

    Where nothing was measured of it, or without a calibration, the largest that any shipped calibration gives: without
    measurements a chip is no better known than another with them.
    """
    own = None if calibration is None else calibration.half_width(metric, regime)
    if own is not None:
        return own
    return max((other.half_width(metric, regime) or 0.0 for other in _shipped_calibrations()), default=0.0)


@remembered
def _shipped_calibrations() -> tuple[Calibration, ...]:
    names = [name for unit in KINDS for name in calibrated_systems(unit)]
    return tuple(calibration for name in names if (calibration := calibration_of(name)) is not None)
