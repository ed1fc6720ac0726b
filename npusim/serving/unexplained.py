"""What a calibration leaves unexplained of figures that it had not seen, also for chips without a calibration."""

from __future__ import annotations

import math

from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibrated_systems, calibration_of
from npusim.hardware.units import KINDS
from npusim.inputs import remembered
from npusim.metrics import RUN


def unexplained(calibration: Calibration | None, metric: str, regime: str = RUN) -> float:
    """90 % half-width of log(measured / predicted) for a figure of a pass or a run.

    Where nothing was measured of it, without a calibration or with one that another chip lends, the largest that any of
    the n shipped calibrations gives, times the root of 1 + 1/n: the chip is one more beside the n that were seen (the
    variance of a prediction, Gelman et al. 2013, "Bayesian Data Analysis", 3rd ed., 3.2), and never better known than
    one that was measured.
    """
    own = None if calibration is None or calibration.of_another else calibration.half_width(metric, regime)
    if own is not None:
        return own
    others = (other.half_width(metric, regime) for other in shipped_calibrations())
    known = [width for width in others if width is not None]
    return max(known) * math.sqrt(1.0 + 1.0 / len(known)) if known else 0.0


@remembered
def shipped_calibrations() -> tuple[Calibration, ...]:
    """Each of them once: several architectures may be the same card."""
    names = [name for unit in KINDS for name in calibrated_systems(unit)]
    known = (calibration_of(name) for name in names)
    return tuple({each.name: each for each in known if each is not None and not each.of_another}.values())
