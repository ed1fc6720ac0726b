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
from npusim.ledger import Bandwidth, Duration, Efficiency, Few, Fraction, Ratio

if TYPE_CHECKING:
    AlgorithmName = str
else:
    AlgorithmName = Literal[tuple(ALGORITHMS)]


class Level(Part):
    """One level of the fabric, which joins groups of the level below."""

    name: str
    """Name of the level, unique in its fabric."""
    shape: Literal["mesh", "ring", "switch"]
    """How the groups are joined: by a link between every two (`mesh`), in a `ring`, or through a `switch`."""
    members: Few
    """Number of groups of the level below (chips, at the first level) that it joins."""
    port: Literal["chip", "group"] = "chip"
    """Whether each chip has its own link into this level or each group shares one."""
    reduces: bool = False
    """True for a switch that sums and multicasts, as NVLink SHARP does."""
    link: Link
    """Link of each port, in each direction."""

    @property
    def links(self) -> int:
        """Links by which a member is joined to the others: to each of them, to two neighbours, or to the switch."""
        others = int(self.members.value) - 1
        return max(1, {"mesh": others, "ring": min(others, 2), "switch": 1}[self.shape])

    @model_validator(mode="after")
    def _only_switches_reduce(self) -> Level:
        if self.reduces and self.shape != "switch":
            raise ValueError("only a switch can reduce; take 'reduces' out or make the shape a switch")
        return self


class Transport(Part):
    """A way in which a library of collectives moves data.

    t = launch + steps x step + messages x message + the time of the bytes (LogGP, Alexandrov et al. 1995).
    """

    name: str
    """Name of the transport, unique in its fabric."""
    library: str
    """Name of the library of collectives to which it belongs."""
    algorithms: tuple[AlgorithmName, ...] = Field(min_length=1)
    """Names of the algorithms that it runs."""
    launch: Duration
    """Time to start a collective, in seconds."""
    step: Duration
    """Software time of each message that waits for the one before, in seconds."""
    message: Duration | None = None
    """Software time of each further message that is sent beside it (o of LogGP), in seconds; 0 if omitted, as where
    algorithms send one message after the other (such as `ring`)."""
    efficiency: Efficiency
    """Fraction of the links' rate that it reaches, 0 to 1."""
    copy_bandwidth: Bandwidth | None = None
    """Rate at which a rank copies or sums its own share, in bytes/s; hidden if omitted."""
    memory_passes: Ratio | None = None
    """Ratio of the bytes that memory moves at each end of a message to its own, for the event engine alone; 0 if
    omitted, where messages come from and go to SRAM or a cache."""


class Fabric(Part):
    """The levels of links between the chips of a server, and the transports of its libraries of collectives."""

    levels: tuple[Level, ...] = Field(min_length=1)
    """Levels of links, from the inside out."""
    transports: tuple[Transport, ...] = Field(min_length=1)
    """Transports of all libraries of collectives that run on it."""
    overlap: Fraction
    """Fraction of an operator's arithmetic, 0 to 1, during which the collective of its result already runs, piece by
    piece."""

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
