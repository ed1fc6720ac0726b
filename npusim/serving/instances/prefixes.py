"""The prefix cache of an instance: the nodes of the prompts that were sent to it, of the tree of all prompts."""

from __future__ import annotations

import numpy as np

from npusim.serving.kvcache import KvCache
from npusim.serving.scheduler.serve import CompiledServer
from npusim.serving.scheduler.state import NONE
from npusim.serving.scheduler.tree import PromptTree


class Prefixes:
    """server: whose cache; tree: of the prompts of all requests; kv: what charges its blocks."""

    def __init__(self, server: CompiledServer, tree: PromptTree, kv: KvCache) -> None:
        self._server, self._tree, self._kv = server, tree, kv
        self._own: dict[int, int] = {}
        self._paths = 0

    def path_of(self, index: int) -> tuple[int, int]:
        """Where the path of the prompt of request `index` begins in the server's state, and how many nodes it has."""
        nodes = self._path(index)
        self._server.make_room_for_nodes(len(self._own) + len(nodes), self._paths + len(nodes))
        begin, state = self._paths, self._server.state
        for node in nodes:
            own = self._own.get(node)
            if own is None:
                own = self._own[node] = len(self._own)
                self._describe(state.nodes[own], node)
            state.paths[self._paths] = own
            self._paths += 1
        return begin, len(nodes)

    def _path(self, index: int) -> list[int]:
        first = int(self._tree.first[index])
        return list(self._tree.paths[first : first + int(self._tree.count[index])].tolist())

    def _describe(self, row: np.void, node: int) -> None:
        parent, end, block = int(self._tree.parent[node]), int(self._tree.end[node]), self._kv.block_tokens
        before = 0 if parent == NONE else self._kv.charge(int(self._tree.end[parent]) // block)
        row["parent"] = NONE if parent == NONE else self._own[parent]
        row["end"], row["whole_blocks"] = end, self._kv.charge(end // block)
        row["blocks"] = row["whole_blocks"] - before

    def cached_tokens(self, index: int) -> int:
        """Leading tokens of the prompt of request `index` that are cached."""
        there, tokens = self._server.state.nodes["there"], 0
        for node in self._path(index):
            own = self._own.get(node)
            if own is None or not there[own]:
                break
            tokens = int(self._tree.end[node])
        return tokens
