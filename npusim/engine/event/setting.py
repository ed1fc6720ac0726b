"""The setting in which rows run: machine, runtime and path, and what follows from them for every row."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from npusim.engine.event.memory import MemoryModel
from npusim.hardware.runtime_record import GRAPH_LAYER, GRAPH_OPERATOR
from npusim.kernels.memory import stream_limit
from npusim.kernels.pim import refresh_interval, refresh_loss
from npusim.kernels.pim_offload import beside_host
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work

if TYPE_CHECKING:
    from npusim.engine.event.network import Network


@dataclass(frozen=True)
class StepSetting:
    """machine, runtime: records of a `machine_dtype` and RUNTIME_DTYPE; path: index of the step's path; pes: PEs of the
    chip that work on it; clock: fraction of the full clock that the power cap allows for arithmetic; memory: at its
    depth; chips: that run the step together; network: that joins them, None for a chip alone; sharers: dies
    that share one memory; costs: OPERATOR_COST_DTYPE of each row, where units in memory may run some of them;
    second: first row of the second sub-batch, None for one batch.
    """

    machine: Any
    runtime: Any
    path: int
    pes: int
    clock: float = 1.0
    memory: MemoryModel = field(default_factory=MemoryModel)
    chips: int = 1
    network: Network | None = None
    sharers: int = 1
    costs: np.ndarray | None = None
    second: int | None = None

    def sub_batch(self, index: int) -> int:
        """Which of two sub-batches the row at that index is of; 0 where there is one batch."""
        return int(self.second is not None and index >= self.second)

    @cached_property
    def is_tiled(self) -> bool:
        """Whether the unit is a contraction processor, whose tiles and queues are known."""
        return self._has("tcp_dma_queue")

    @cached_property
    def clusters(self) -> int:
        if not self.is_tiled:
            return 1
        return int(clusters_at_work(float(self.pes), self.machine))

    @cached_property
    def pes_per_cluster(self) -> float:
        """PEs of a cluster that work as one."""
        return self.pes / self.clusters

    @cached_property
    def sram(self) -> float:
        """Bytes of SRAM of the working PEs of one cluster."""
        return self.slices * float(self.machine["tcp_sram_per_slice"])

    @cached_property
    def slices(self) -> float:
        """Slices of the working PEs of one cluster."""
        return self.pes_per_cluster * float(self.machine["tcp_slices_per_pe"])

    @cached_property
    def sram_bytes_per_s(self) -> float:
        """What the SRAM of the working PEs of one cluster passes, to all engines together."""
        return self.slices * float(self.machine["tcp_sram_bandwidth_per_slice"] * self.machine["tcp_clock"])

    @cached_property
    def joining_bytes_per_s(self) -> float:
        """What the chip's own network moves of the messages of a reduction; endless without one."""
        return float(self.machine["reduction_bandwidth"]) if self.is_tiled else inf

    @cached_property
    def memories(self) -> int:
        """Memories of all chips."""
        return ceil(self.chips / self.sharers)

    @cached_property
    def memory_bytes_per_s(self) -> float:
        """What the memory delivers in long streams."""
        return float(stream_limit(self.machine))

    @cached_property
    def engine_bytes_per_s(self) -> float:
        """What the DMA engine of a PE moves; endless where a unit has none."""
        if not self.is_tiled:
            return inf
        machine = self.machine
        return float(machine["tcp_dma_bandwidth_per_pe"] * machine["tcp_clock"] * machine["tcp_dma_efficiency"])

    @cached_property
    def engines_bytes_per_s(self) -> float:
        """What the DMA engines of the working PEs move together."""
        return self.pes * self.engine_bytes_per_s

    def on_units(self, index: int) -> bool:
        """Whether units in memory run the row at that index."""
        return self.costs is not None and bool(self.costs[index]["pim_s"] > 0.0)

    @cached_property
    def has_units(self) -> bool:
        """Whether units in memory run any row, so that the memory's banks are shared with them."""
        return self.costs is not None and bool(self.costs["pim_s"].any())

    @cached_property
    def banks_beside_units(self) -> float:
        """Fraction of the banks' time that is left to the host while units compute."""
        return float(beside_host(self.machine))

    @cached_property
    def refresh_of_units(self) -> float:
        """Factor on the time of units where memory refreshes more often than at normal temperature."""
        lost = float(refresh_loss(self.machine) / refresh_interval(self.machine))
        return (1.0 - lost) / (1.0 - self.memory.refresh_rate * lost)

    def _has(self, name: str) -> bool:
        return name in self.machine.dtype.names

    @cached_property
    def fetches_ahead(self) -> bool:
        """Whether one graph holds a layer or the step, so that transfers need not wait for their operator's launch."""
        return bool(self.runtime["path_graph"][self.path] != GRAPH_OPERATOR)

    @cached_property
    def attends_apart(self) -> bool:
        """Whether attention is a graph of its own, so that its transfers wait for its launch all the same."""
        return bool(self.runtime["path_graph"][self.path] == GRAPH_LAYER)

    @cached_property
    def depth(self) -> int:
        """Transfers of a cluster that are under way, waiting, or not yet used up."""
        return int(self.machine["tcp_dma_queue"]) if self.is_tiled else 1

    @cached_property
    def command_s(self) -> float:
        """Start-up of a transfer of weights."""
        return float(clocked(self.machine["tcp_dma_command"], self.machine))

    @cached_property
    def program_s(self) -> float:
        return float(clocked(self.machine["tcp_program_time"], self.machine))

    def launch_s(self, name: str) -> float:
        """A fixed time of the path: `paths_<name>`."""
        return float(self.runtime[f"paths_{name}"][self.path])

    def cycles_s(self, name: str) -> float:
        """A number of cycles of the machine in seconds: `tcp_<name>`."""
        return float(self.machine[f"tcp_{name}"] / self.machine["tcp_clock"])

    def spilled(self, row: Any) -> float:
        """The fraction of a row's activations that passes through memory."""
        return float(row["spilled"] / row["activation_bytes"]) if row["spilled"] > 0.0 else 0.0
