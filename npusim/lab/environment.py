"""The machine that a lab measured and its surroundings, in the words of the lab; `unknown` is allowed, and said."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from npusim.hardware.base import Part

UNKNOWN = ("unknown", "not known", "미상", "알 수 없음")
"""Words by which a value is said to be unknown: allowed, and as good as untold."""


def known(value: Any) -> Any:
    """A value; None where it is said to be unknown."""
    return None if isinstance(value, str) and value.strip().lower() in UNKNOWN else value


def _as_text(value: Any) -> Any:
    value = known(value)
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


OptionalText = Annotated[str | None, BeforeValidator(_as_text)]


class Environment(Part):
    """The machine and its surroundings, in the words of the lab; `unknown` is allowed, and said."""

    device_serial: OptionalText = None
    """Serial number of the device."""
    firmware: OptionalText = None
    """Version of the firmware."""
    sdk: OptionalText = None
    """Version of SDK and driver."""
    power_limit: OptionalText = None
    """Power limit that was set, with its unit."""
    clocks: OptionalText = None
    """Clocks that were set, with their unit."""
    ambient: OptionalText = None
    """Ambient temperature, with its unit."""

    def told(self) -> dict[str, str]:
        """What is known, by name."""
        return {name: value for name in ENVIRONMENT if (value := getattr(self, name)) is not None}


ENVIRONMENT = tuple(Environment.model_fields)
"""Names of what can be told."""
