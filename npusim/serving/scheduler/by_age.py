"""Nodes of the prefix tree in the order in which they came: doubly linked through `older` and `newer`.

`ends` is a record with the fields `oldest` and `newest`: that of the server for nodes that nobody uses, that of a lower
tier for those that it holds. A node is in one such list at most.
"""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.state import NONE


@inner_part
def append(ends, nodes, index):
    """Put a node at the newest end."""
    nodes[index].older, nodes[index].newer = ends.newest, NONE
    if ends.newest == NONE:
        ends.oldest = index
    else:
        nodes[ends.newest].newer = index
    ends.newest = index


@inner_part
def take_out(ends, nodes, index):
    """Take a node out, wherever it stands."""
    node = nodes[index]
    if node.older == NONE:
        ends.oldest = node.newer
    else:
        nodes[node.older].newer = node.newer
    if node.newer == NONE:
        ends.newest = node.older
    else:
        nodes[node.newer].older = node.older
