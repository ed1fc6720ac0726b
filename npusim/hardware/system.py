"""A chip, the card that carries it, and the server that holds the cards."""

from __future__ import annotations

from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.hardware.compute import ComputeUnit, ContractionProcessor
from npusim.hardware.fabric import Fabric
from npusim.hardware.link import Link, OnChipReduction
from npusim.hardware.memory import Memory
from npusim.hardware.pim import PimPart
from npusim.hardware.power import PowerModel
from npusim.ledger import Few

_SAME_BANDWIDTH = 0.02


class Chip(Part):
    unit: ComputeUnit
    memory: Memory
    pim: PimPart | None = None
    reduction: OnChipReduction | None = None
    power: PowerModel

    @model_validator(mode="after")
    def _contraction_processors_reduce(self) -> Chip:
        if self.unit.kind == "contraction_processor" and self.reduction is None:
            raise ValueError("a contraction processor needs 'reduction': how its PEs sum their partial results")
        return self

    @model_validator(mode="after")
    def _units_sit_in_its_memory(self) -> Chip:
        if self.pim is None:
            return self
        units, peak = self.pim.external_bandwidth_bytes_per_s, self.memory.peak_bandwidth_bytes_per_s
        if abs(units / peak - 1.0) > _SAME_BANDWIDTH:
            raise ValueError(f"pim has channels of {units / 1e9:.5g} GB/s in all, but the memory {peak / 1e9:.5g} GB/s")
        return self

    @model_validator(mode="after")
    def _every_rate_has_its_energy(self) -> Chip:
        rates = self.unit.macs_per_slice if isinstance(self.unit, ContractionProcessor) else self.unit.macs_per_sm
        for name in type(rates).model_fields:
            if getattr(rates, name) is not None and getattr(self.power.mac, name) is None:
                raise ValueError(f"power.mac lacks {name}, which the unit multiplies; add its energy")
        return self


class Card(Part):
    """`chips` of one kind on a card, and the card's link to the host."""

    chips: Few
    host_link: Link


class ServerCards(Part):
    """Up to `max_cards` cards work on one model; `fabric` joins their chips.

    cards: that serve unless others are asked for, 1 where left out.
    """

    max_cards: Few
    cards: Few | None = None
    fabric: Fabric


class System(Part):
    """An architecture as its YAML gives it.

    silicon: True where measured silicon exists; False marks every result as a projection.
    runtime: the name of the runtime that drives it unless another is asked for.
    calibration: file of the calibration of fitted numbers, beside the architecture's own file; None without one.
    extends: the architecture that this one differs from, whose calibration holds for it; None without one.
    """

    name: str
    title: str
    vendor: str
    silicon: bool
    note: str = ""
    aliases: tuple[str, ...] = ()
    runtime: str
    calibration: str | None = None
    extends: str | None = None
    chip: Chip
    card: Card
    server: ServerCards

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
