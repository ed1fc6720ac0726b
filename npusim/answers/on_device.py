"""What the device around a chip makes of a run, as the answer of `npusim run` tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import RunMetrics
from npusim.serving.on_device import NEVER, UNKNOWN, OnDevice

_LACKING = {
    "sustainable_w": "device.thermal, or device.beside where that warms a path, is not told: what cooling sustains and "
    "for how long is unknown, and hours of a charge are those of the burst",
    "device_j_per_answer": "device.beside is not told: what the device draws besides is unknown",
    "answers_per_charge": "device.battery or device.beside is not told: how long a charge lasts is unknown",
    "battery_h_at_duty": "device.duty, device.battery or device.beside is not told: hours of everyday use are unknown",
}
"""What follows from a part of a description that may be left out, and the sentence where it is."""


_LEFT_OUT = {
    "chips": "cooling, battery and what the device draws besides are those of a device with one chip; "
    "this plan has more",
    "instances": "cooling, battery and what the device draws besides are those of a device with one chip; several "
    "instances are on as many devices, each with its own part of the requests",
    "nothing": "no request was served",
}
"""Why a chip that is in a device has no figures of it, by what the run was."""


def device_left_out(deployment: Deployment, why: str) -> dict[str, Any]:
    """`device` with the reason (chips, instances or nothing) in place of figures; nothing of a chip that is in none."""
    return {} if deployment.system.device is None else {"device": {"reason": _LEFT_OUT[why]}}


@dataclass(frozen=True)
class _Speed:
    """How fast a run is and what it draws."""

    tpot_ms: Any
    output_tokens_per_s: Any
    power_w: Any


def device_told(found: OnDevice | None, metrics: RunMetrics) -> dict[str, Any]:
    """`device`, with null for what is unknown or endless; nothing of a chip that is in none.

    Figures are {value, low, high} where they were drawn.
    """
    if found is None:
        return {}
    told = {name: _ranged(found, name) for name in found.value}
    throttles = None if found.limit == UNKNOWN else found.limit != NEVER
    return {
        "device": {
            "throttles": throttles,
            "limited_by": found.limit if throttles else None,
            "burst": vars(_Speed(metrics["tpot_ms_mean"], metrics["output_tokens_per_s"], metrics["power_w_mean"])),
            "sustained": vars(_Speed(told["sustained_tpot_ms"], told["sustained_tokens_per_s"], told["sustained_w"])),
            "sustainable_power_w": told["sustainable_w"],
            "throttles_after_s": told["throttles_after_s"],
            "joules_per_answer": {"card": told["card_j_per_answer"], "device": told["device_j_per_answer"]},
            "answers_per_charge": told["answers_per_charge"],
            "battery_hours": {"continuous": told["battery_h_continuous"], "at_duty": told["battery_h_at_duty"]},
            "unknown": [text for name, text in _LACKING.items() if math.isnan(found.value[name])],
        }
    }


def _ranged(found: OnDevice, name: str) -> Any:
    value = _finite(found.value[name])
    if name not in found.ends:
        return value
    low, high = found.ends[name]
    return {"value": value, "low": _finite(low), "high": _finite(high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
