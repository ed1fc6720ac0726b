"""What the device around a chip makes of a cell, as columns of the measuring table."""

from __future__ import annotations

import math
from typing import Any

from npusim.mapping.deployment import Deployment
from npusim.serving.on_device import OnDevice

SIDES = ("low", "high")
LIMIT = "device_limit"
"""Column of what throttles."""
SEVERAL = "not told: of one chip alone"
"""What stands there where several chips work on a cell: the device's cooling and battery are described for one."""


def device_columns(found: OnDevice | None, deployment: Deployment) -> dict[str, Any]:
    """The figures of a device, with low and high where they were drawn; nothing of a chip that is in none, and only
    that they are not told of a plan with further chips.

    What is endless (the time until a limit that is never met) is blank, as in every cell of a sheet.
    """
    if found is None:
        return {} if deployment.system.device is None else {LIMIT: SEVERAL}
    ends = {f"{name}_{side}": end for name, pair in found.ends.items() for side, end in zip(SIDES, pair, strict=True)}
    numbers = {**found.value, **ends}
    return {LIMIT: found.limit} | {name: each if math.isfinite(each) else math.nan for name, each in numbers.items()}
