"""Small simulations for tests of the event core: a few resources, commands that one tells it, and when each ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npusim.engine.event.chip import listed, turned
from npusim.engine.event.core import state as core
from npusim.engine.event.core.loop import run_loop


@dataclass
class Scene:
    """capacity: bytes/s of each resource, after two for every port; ports: bytes/s; pools: bytes; depth: of all
    queues."""

    capacity: list[float]
    ports: list[float] = field(default_factory=list)
    pools: list[float] = field(default_factory=list)
    depth: int = 1
    commands: list[dict[str, Any]] = field(default_factory=list)

    def add(self, style: int, **fields: Any) -> int:
        """A command; `uses`: bytes of each resource for one of its own; `inputs`: commands before it."""
        self.commands.append({"style": style, **fields})
        return len(self.commands) - 1

    def after(self, seconds: float, **fields: Any) -> int:
        """A flow of `amount` that begins at `seconds`."""
        return self.add(core.MESSAGE, fixed_s=seconds, **fields)

    def run(self) -> core.LoopState:
        """The state at the end."""
        table = np.zeros(len(self.commands), core.COMMAND_DTYPE)
        for name in ("queue", "pool", "port", "memory", "second_memory"):
            table[name] = core.NONE
        ways: list[dict[int, float]] = []
        for row, told in zip(table, self.commands, strict=True):
            for name, value in told.items():
                if name not in ("uses", "inputs"):
                    row[name] = value
            ways.append(told.get("uses", {}))
        queues = [np.flatnonzero(table["queue"] == queue).tolist() for queue in range(int(table["queue"].max()) + 1)]
        inputs, input_ends = listed([told.get("inputs", ()) for told in self.commands])
        order, order_ends = listed(queues)
        entries, way_ends = listed([list(way) for way in ways])
        shares = np.array([share for way in ways for share in way.values()], float)
        work = core.LoopWork(
            table, inputs, input_ends, *turned(inputs, input_ends), order, order_ends, entries, shares, way_ends
        )
        ports = 2 * len(self.ports)
        capacity = np.array([*np.repeat(self.ports, 2), *self.capacity])
        classes = np.array([core.PORT, core.REGISTERS] * len(self.ports) + [core.LINK] * len(self.capacity))
        plant = core.Plant(
            capacity,
            classes,
            np.zeros(0, core.MEMORY_DTYPE),
            np.array(self.ports),
            np.array(self.pools),
            np.full(len(queues), self.depth),
            ports + np.arange(len(self.capacity)),
        )
        state = core.new_state(plant, work)
        assert run_loop(plant, work, state) == core.RUNNING
        return state

    def ends(self) -> list[float]:
        """When each command ends, in seconds."""
        return list(self.run().end)
