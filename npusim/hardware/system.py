"""A chip, the card that carries it, and the server that holds the cards."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from npusim.hardware.address_map import AddressMap
from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates
from npusim.hardware.description import EXTENDS, Description
from npusim.hardware.dram import Dram
from npusim.hardware.fabric import Fabric
from npusim.hardware.link import Link, OnChipReduction
from npusim.hardware.memory import Memory, standard
from npusim.hardware.on_device import Device
from npusim.hardware.pim import PimPart
from npusim.hardware.power import PowerModel
from npusim.hardware.units import ComputeUnit
from npusim.ledger import Efficiency, Few, Positive, Power

_SAME_BANDWIDTH = 0.02
"""Part by which the rate of a memory may differ from that of its channels with PIM units, for rounding."""


class Die(Part):
    """The silicon of one chip's compute dies."""

    node_nm: Positive
    """Node of the process, a number of nm by its name."""
    dies: Few | None = None
    """Number of dies that the compute unit is cut into, 1 if omitted."""
    mm2: Positive | None = None
    """Area of all compute dies as published or measured, in mm2, that of the model if omitted; one that is the same as
    that of `reference` follows the model where the chip differs from it."""


class Chip(Part):
    """A compute unit with its memory and power, and what else the package holds."""

    unit: ComputeUnit
    """Compute unit, of the kind that its key `kind` names."""
    memory: Memory
    """Main memory of the chip."""
    pim: PimPart | None = None
    """Memory with PIM units, by name, by path or described in place; none if omitted."""
    reduction: OnChipReduction | None = None
    """How the PEs of a contraction processor sum partial results, omitted for other units."""
    power: PowerModel
    """Power and energy of the chip."""
    die: Die | None = None
    """The compute dies; one die at the node of the area table if omitted."""
    reference: str | None = None
    """Name of the architecture whose silicon gave energies and area, so that both follow the model where this chip
    differs from it; they hold as they stand if omitted."""

    @property
    def over_nominal(self) -> float:
        """Clock of the unit over the clock at which its energies hold."""
        nominal = self.power.nominal_clock
        return 1.0 if nominal is None else self.unit.clock.value / nominal.value

    @property
    def dram(self) -> Dram | None:
        """The standard of its memory, with the numbers of that which units sit in; None where none is named."""
        if self.memory.dram is None or self.pim is None:
            return None if self.memory.dram is None else standard(self.memory.dram)
        return self.pim.memory

    @model_validator(mode="after")
    def _engines_reduce(self) -> Chip:
        if self.unit.TRAITS.engines and self.reduction is None:
            name = self.unit.kind.replace("_", " ")
            raise ValueError(f"a {name} needs 'reduction': how its PEs sum their partial results")
        return self

    @model_validator(mode="after")
    def _units_sit_in_its_memory(self) -> Chip:
        if self.pim is None:
            return self
        named = self.memory.dram
        if named is not None and standard(named).name != self.pim.memory.name:
            raise ValueError(f"memory.dram is {named}, but pim is on {self.pim.memory.name}; mend one of them")
        units, peak = self.pim.external_bandwidth_bytes_per_s, self.memory.peak_bandwidth_bytes_per_s
        if abs(units / peak - 1.0) > _SAME_BANDWIDTH:
            raise ValueError(f"pim has channels of {units / 1e9:.5g} GB/s in all, but the memory {peak / 1e9:.5g} GB/s")
        return self

    @model_validator(mode="after")
    def _host_streams_from_the_same_memory(self) -> Chip:
        """Numbers that the units' memory gives in place of the standard's hold for the host's streams, too."""
        named = self.memory.dram
        if self.pim is None or named is None or self.pim.memory == standard(named):
            return self
        return self.model_copy(update={"memory": self.memory.of(self.pim.memory)})

    @model_validator(mode="after")
    def _every_rate_has_its_energy(self) -> Chip:
        for name in MacRates.model_fields:
            energies = self.power.mac
            if energies and getattr(self.unit.macs, name) is not None and getattr(energies, name) is None:
                raise ValueError(f"power.mac lacks {name}, which the unit multiplies; add its energy")
        return self


class Card(Part):
    """Chips of one kind on a card, and the card's link to the host."""

    chips: Few
    """Number of chips on a card."""
    host_link: Link
    """Link from the card to the host, over which logits are read for sampling; its `packet` is not used."""


class Housing(Part):
    """What a server draws beside its cards, and the rack that it stands in."""

    host: Power
    """Draw of host processors, memory, network and fans of one server that serves, in watts, by which chips are
    compared alone."""
    supply_efficiency: Efficiency
    """Fraction of the power at the wall that arrives behind the power supplies, by which chips are compared alone."""
    rack: Power | None = None
    """Power at the wall of a rack that such servers fill, in watts, by which chips are compared alone; unknown if
    omitted."""


class ServerCards(Part):
    """The cards of a server that can work on one model, and the fabric that joins their chips."""

    max_cards: Few
    """Largest number of cards that can work on one model."""
    cards: Few | None = None
    """Number of cards that serve unless others are asked for, 1 if omitted."""
    fabric: Fabric
    """Links between the chips and the libraries of collectives on them."""
    network: str | None = None
    """Name in arch_configs/links, or path, of the link by which servers reach each other; unknown if omitted."""


class System(Description):
    """An architecture as its YAML gives it; the calibration of one that it extends holds for it too."""

    FOLDER = ""

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    vendor: str
    """Maker of the chip."""
    silicon: bool
    """True where the chip exists and was measured; False marks every result as a projection."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    aliases: tuple[str, ...] = ()
    """Other names under which it is found, none if omitted."""
    runtime: str
    """Name of the runtime that drives it unless another is asked for."""
    calibration: str | None = None
    """File of its calibration, beside the architecture's own file; none if omitted."""
    chip: Chip
    """The chip, of which all are of one kind."""
    card: Card
    """The card that carries chips."""
    server: ServerCards
    """The server that holds cards."""
    housing: Housing | None = None
    """What the server draws beside its cards and the rack that it stands in, by which chips are compared; unknown if
    omitted."""

    device: Device | None = None
    """The device around one chip: its cooling and its battery, which runs on one chip tell of; in none if omitted."""

    @model_validator(mode="before")
    @classmethod
    def _parts_hold_together_anew(cls, data: Any) -> Any:
        """A chip that was checked before with other numbers is checked again, with all that follows from them."""
        chip = data.get("chip") if isinstance(data, dict) else None
        return {**data, "chip": _unfolded(chip)} if isinstance(chip, Chip) else data

    @model_validator(mode="after")
    def _usual_cards_fit(self) -> System:
        if self.usual_cards > self.max_cards:
            raise ValueError(f"server.cards {self.usual_cards} is more than server.max_cards, {self.max_cards}")
        return self

    @model_validator(mode="after")
    def _the_fabric_joins_all_chips(self) -> System:
        needed = self.chips_per_card * self.max_cards
        joined = self.server.fabric.chips
        if joined < needed:
            raise ValueError(
                f"the levels of server.fabric join {joined} chips, but {self.max_cards} cards have {needed}; "
                "give a level more members, or add one"
            )
        return self

    @property
    def chips_per_card(self) -> int:
        return int(self.card.chips.value)

    @property
    def usual_cards(self) -> int:
        """Cards that serve unless others are asked for."""
        return 1 if self.server.cards is None else int(self.server.cards.value)

    @property
    def max_cards(self) -> int:
        return int(self.server.max_cards.value)


def _unfolded(value: Any) -> Any:
    """A part as a map, down to its quantities, as a file would give it with all that it extends."""
    if isinstance(value, tuple):
        return [_unfolded(item) for item in value]
    if not isinstance(value, Part) or isinstance(value, AddressMap):
        return value
    return {name: _unfolded(getattr(value, name)) for name in type(value).model_fields if name != EXTENDS}
