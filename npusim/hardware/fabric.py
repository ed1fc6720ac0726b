"""The fabric that joins the chips of a server: levels of links from the inside out, and what software sends on them.

A level joins groups of the level below (chips, at the first): `mesh` by a link between every two, `ring` by one to
the next, `switch` by one each to a switch. So a die-to-die link is a mesh of two, an NVSwitch board a switch of
eight, a PCIe tree a switch of switches, two sockets a mesh of two root complexes, a scale-out network a switch to
which each chip (or each node) has its own port.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from npusim.hardware.algorithms import ALGORITHMS
from npusim.hardware.base import Part
from npusim.hardware.link import Link
from npusim.ledger import Bandwidth, Duration, Efficiency, Few, Fraction

if TYPE_CHECKING:
    AlgorithmName = str
else:
    AlgorithmName = Literal[tuple(ALGORITHMS)]


class Level(Part):
    """members: groups of the level below that it joins; port: whether each chip has its own link into this level or
    each group one; reduces: its switch sums and multicasts (NVLink SHARP, for one)."""

    name: str
    shape: Literal["mesh", "ring", "switch"]
    members: Few
    port: Literal["chip", "group"] = "chip"
    reduces: bool = False
    link: Link

    @model_validator(mode="after")
    def _only_switches_reduce(self) -> Level:
        if self.reduces and self.shape != "switch":
            raise ValueError("only a switch can reduce; take 'reduces' out or make the shape a switch")
        return self


class Transport(Part):
    """A way in which a library of collectives moves data: t = launch + steps x step + messages x message + bytes.

    library: to which it belongs; algorithms: for which it serves; launch: once a collective; step: software time of
    each message that waits for the one before; message: of each further one that is sent beside it (LogGP's o,
    Alexandrov et al. 1995); efficiency: part of the links' rate that it reaches; copy_bandwidth: at which the rank's
    own part is copied or summed, left out where it is hidden.
    """

    name: str
    library: str
    algorithms: tuple[AlgorithmName, ...] = Field(min_length=1)
    launch: Duration
    step: Duration
    message: Duration
    efficiency: Efficiency
    copy_bandwidth: Bandwidth | None = None


class Fabric(Part):
    """levels: from the inside out; transports: all that any library offers.

    overlap: part of an operator's arithmetic beside which the collective of its result can already run, piece by
    piece (0: the collective waits for the whole result).
    """

    levels: tuple[Level, ...] = Field(min_length=1)
    transports: tuple[Transport, ...] = Field(min_length=1)
    overlap: Fraction

    @model_validator(mode="after")
    def _names_are_unique(self) -> Fabric:
        for what in (self.levels, self.transports):
            twice = [name for name, count in Counter(part.name for part in what).items() if count > 1]
            if twice:
                raise ValueError(f"'{twice[0]}' is the name of two of them; give each its own")
        return self

    @property
    def chips(self) -> int:
        """Chips that all levels together join."""
        return prod(int(level.members.value) for level in self.levels)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Libraries of its transports, each once, in their order."""
        return tuple(dict.fromkeys(transport.library for transport in self.transports))
