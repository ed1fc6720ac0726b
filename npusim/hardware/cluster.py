"""By which names clusters count the cards of makers."""

from __future__ import annotations

from pydantic import Field

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered


class DeviceName(Part):
    """The name of one maker's cards in a cluster."""

    vendor: str
    """Maker of the cards."""
    resource: str = Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    """Name of the extended resource that its device plugin offers for each card."""
    chips: tuple[str, ...] = ()
    """Names of the architectures for which it is known, all of the maker's if omitted."""
    source: str
    """Document that says so."""


class DeviceNames(Part):
    """The shipped list of names."""

    name: str
    """Name of the list."""
    devices: tuple[DeviceName, ...]
    """Names by maker."""


@remembered
def device_names() -> DeviceNames:
    """The shipped list."""
    return load_yaml(data_root("arch_configs") / "cluster" / "devices.yaml", DeviceNames)


def device_of(system: System) -> DeviceName | None:
    """What a cluster calls the cards of an architecture, None where that is not known."""
    known = (each for each in device_names().devices if each.vendor == system.vendor)
    return next((each for each in known if not each.chips or system.name in each.chips), None)
