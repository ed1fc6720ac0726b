"""The loop that a compiler writes for the tiles of an operator: load ahead, compute, store, in turn."""

from __future__ import annotations

from npusim.engine.event.command import DMA, MAIN, MEMORY, SUB, Command, Position, Program, Queue
from npusim.engine.event.memory import Access
from npusim.engine.event.operators import Compute, Tile, Work
from npusim.engine.event.setting import StepSetting


class Pipeline:
    """Emits the commands of one cluster of a chip.

    Loads are issued as many tiles ahead of their use as the DMA queue is deep, across the borders of operators where
    one graph holds them: a load waits until the tile that far before it is used up.
    """

    def __init__(self, program: Program, cluster: int, chip: int, setting: StepSetting) -> None:
        self._program, self.cluster, self.chip, self._set = program, cluster, chip, setting
        self._loaded = 0
        self._used: list[int] = []
        self._begin: tuple[int, ...] = ()

    def begin(self, start: int) -> None:
        """Nothing is loaded before the command `start` is done."""
        self._begin = (start,)

    def run(self, work: Work, position: Position, launched: int) -> list[tuple[int, ...]]:
        """Emit the tiles of an operator that `launched` starts; returns the commands that end each of them."""
        loads: list[int] = []
        taken: dict[int, int] = {}
        ends = []
        before: tuple[int, ...] = (launched,)
        for number, tile in enumerate(work.tiles):
            while len(loads) < min(number + self._set.depth, len(work.tiles)):
                ahead = position._replace(tile=len(loads))
                if work.tiles[len(loads)].taken > 0.0:
                    amount = work.tiles[len(loads)].taken
                    taken[len(loads)] = self._move(ahead, (launched,), amount, "load activations")
                turn = loads[-1:] or list(taken.values())
                loads.append(self._load(work.tiles[len(loads)], len(work.tiles), ahead, launched, turn))
            here = position._replace(tile=number)
            if number in taken:
                before = (launched, taken[number])
            if tile.filled is not None:
                before = (*before, self._execute(SUB, here, before, tile.filled, "fill registers"))
            ends.append(self._use(tile, here, (*before, loads[number])))
        if work.kept > 0.0:
            self.store_kv(position, launched, work)
        return ends

    def store_kv(self, position: Position, launched: int, work: Work) -> int:
        """Store the new keys and values of an attention."""
        return self._move(position, (launched,), work.kept, "store KV", work.kept_asked)

    def _load(self, tile: Tile, tiles: int, position: Position, launched: int, turn: list[int]) -> int:
        """What a tile needs from memory. Weights and KV are fetched before their operator starts, where they can be;
        turn: what a transfer waits for that can be commanded only then.

        The parts of a tile for the clusters lie side by side, so that together they are one stream.
        """
        if tile.asked == 0.0:
            return launched
        early = self._set.fetches_ahead and not tile.late
        inputs = list(self._begin) if early else [launched]
        inputs += turn if tile.in_turn else []
        ahead = self._loaded - self._set.depth
        if ahead >= 0:
            inputs.append(self._used[ahead])
        self._loaded += 1
        return self._program.add(
            Command(
                Queue(DMA, self.cluster, self.chip),
                MEMORY,
                position,
                tuple(inputs),
                fixed_s=tile.startup_s,
                wanted=tile.wanted,
                asked=tile.asked,
                streams=self._set.pes_per_cluster,
                access=self._access(position, "read", tile.asked, tiles, tile.run),
                claim=tile.wanted,
                what="load",
            )
        )

    def _use(self, tile: Tile, position: Position, before: tuple[int, ...]) -> tuple[int, ...]:
        """Fill the registers from a tile, compute it, store its results."""
        if tile.fill is not None:
            before = (*before, self._execute(SUB, position, before, tile.fill, "fill registers"))
        for compute in tile.computes:
            done = self._execute(MAIN, position, before, compute, compute.kind)
            before = (done,)
        if tile.asked > 0.0:
            self._used.append(before[-1])
            self._program.commands[before[-1]].release = tile.wanted
        if tile.stored > 0.0:
            before = (self._move(position, before, tile.stored, "store results"),)
        return before

    def _execute(self, engine: str, position: Position, inputs: tuple[int, ...], compute: Compute, what: str) -> int:
        return self._program.add(
            Command(
                Queue(engine, self.cluster, self.chip),
                compute.kind,
                position,
                inputs,
                work_s=compute.work_s,
                fixed_s=compute.fixed_s,
                touched=compute.touched,
                what=what,
            )
        )

    def _move(self, position: Position, inputs: tuple[int, ...], amount: float, what: str, asked: float = 0.0) -> int:
        """Move activations or new KV between SRAM and memory, which moves `asked` bytes for them."""
        command = Command(
            Queue(DMA, self.cluster, self.chip),
            MEMORY,
            position,
            inputs,
            access=self._access(position, what, amount, 1, 0),
            fixed_s=self._set.cycles_s("dma_startup"),
            wanted=amount,
            asked=max(amount, asked),
            streams=self._set.pes_per_cluster,
            what=what,
        )
        return self._program.add(command)

    def _access(self, position: Position, what: str, amount: float, tiles: int, run: int) -> Access:
        """Where a transfer's bytes lie: tile after tile, in each those of the clusters side by side."""
        clusters = self._set.clusters
        first = self._program.region(position.row, what, amount * tiles * clusters)
        number = position.tile % tiles * clusters + self.cluster
        return Access(first + int(number * amount), run, what.startswith("store"), self.chip % self._set.sharers)
