"""What can be told of a run and of where it ran, one table for rules, submissions and certificates."""

from __future__ import annotations

from npusim.lab.files.lab_run import RunConditions

OF_CONDUCT = ("arrival", "power_scope", "warm_up", "date")
"""Of how a run was measured, by the fields of Conduct."""
CONDITIONS = (
    *(name for name in RunConditions.names() if name not in ("isl", "osl", "users")),
    *OF_CONDUCT,
)
"""Conditions of a run that rules may ask for; lengths and users are the cell itself."""
TITLES = {
    "device": "Chip",
    "model": "Model",
    "device_serial": "Serial number of the device",
    "firmware": "Firmware",
    "sdk": "SDK and driver",
    "power_limit": "Power limit",
    "clocks": "Clocks",
    "ambient": "Ambient temperature",
    "arrival": "Arrival of the requests",
    "power_scope": "Scope of the watts",
    "warm_up": "Warm-up",
    "date": "Date of the measurement",
}
"""Titles for people, beside those of `conditions.table`."""
