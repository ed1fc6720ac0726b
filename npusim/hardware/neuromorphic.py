"""An event-driven unit: neurons and synapses on cores, the memory of the synapses, the mesh that carries the spikes.

What is left out is unknown, and so is every bound that needs it: nothing is filled in from other chips.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.ledger import (
    Bandwidth,
    Bits,
    Bytes,
    Count,
    EnergyPerOp,
    OpsPerSecond,
    PacketsPerSecond,
    Power,
    PowerOrZero,
    Quantity,
    Ratio,
    Stretch,
    in_unit,
)

Many = Annotated[Quantity, in_unit("", least=1.0, most=1e15, whole=True)]
"""A count of synapses."""


class SynapseMemory(Part):
    """Where the weights of the synapses are kept."""

    place: Literal["in compute", "read"]
    """Whether weights are used where they are kept (a crossbar), or are read for each synaptic operation."""
    capacity: Bytes | None = None
    """Capacity for synapses in bytes, all cores together; unknown if omitted."""
    bandwidth: Bandwidth | None = None
    """Rate at which weights are read, all cores together, in bytes/s; unknown if omitted."""
    operations_per_read: Stretch | None = None
    """Synaptic operations for which one weight is read: 1 where each spike reads it anew, more where spikes are
    collected; unknown if omitted."""

    @model_validator(mode="after")
    def _reads(self) -> SynapseMemory:
        if self.place == "in compute" and (self.bandwidth is not None or self.operations_per_read is not None):
            raise ValueError("place: weights that are used in compute are not read; take bandwidth and reads out")
        return self


class Mesh(Part):
    """The network that carries spikes between cores."""

    links: Count | None = None
    """Number of directed links, of which a link in both directions is two; unknown if omitted."""
    link_rate: PacketsPerSecond | None = None
    """Rate of one link, in packets per second; unknown if omitted."""
    link_bandwidth: Bandwidth | None = None
    """Rate of one link in bytes/s, in place of link_rate; unknown if omitted."""
    packet: Bits | None = None
    """Size of the packet of one spike in bits, which link_bandwidth needs; unknown if omitted."""
    hops: Ratio | None = None
    """Number of links that one spike crosses in the mean, all its copies together; it depends on the placement of
    neurons; unknown if omitted."""

    @model_validator(mode="after")
    def _one_rate(self) -> Mesh:
        if self.link_rate is not None and (self.link_bandwidth is not None or self.packet is not None):
            raise ValueError("link_rate counts packets; take link_bandwidth and packet out, or link_rate")
        return self


class Neuromorphic(Part):
    """An event-driven unit; what is omitted is unknown."""

    name: str
    """Name, as on the command line."""
    title: str
    """Title as shown in tables."""
    silicon: bool
    """Whether it exists as silicon; otherwise it is a projection."""
    note: str = ""
    """What a reader must know of it, nothing if omitted."""
    cores: Count | None = None
    """Number of cores that hold neurons; unknown if omitted."""
    neurons_per_core: Count | None = None
    """Number of neurons of one core; unknown if omitted."""
    synapses: Many | None = None
    """Number of synapses that it holds, all cores together; unknown if omitted."""
    synapse: Bits | None = None
    """Size of one synapse as kept and read, in bits, its address included; unknown if omitted."""
    memory: SynapseMemory | None = None
    """Where the weights of the synapses are kept; unknown if omitted."""
    peak: OpsPerSecond | None = None
    """Stated peak of synaptic operations, one for each synapse that a spike meets, in operations per second; not stated
    if omitted."""
    energy: EnergyPerOp | None = None
    """Energy of one synaptic operation, in joules; unknown if omitted."""
    idle: PowerOrZero | None = None
    """Power without any spike, in watts; unknown if omitted."""
    power_limit: Power | None = None
    """Most power that it may draw, in watts; unknown if omitted."""
    mesh: Mesh | None = None
    """The network that carries spikes; unknown if omitted."""
