"""Prompts as paths of one tree: a segment behind the same segments is one node, in whichever prompts it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.serving.scheduler.state import NONE
from npusim.workload.prompts import Prompt, Segment


@dataclass(frozen=True)
class PromptTree:
    """parent, end: of each node, its parent (NONE at the front of a prompt) and the tokens up to its end; paths: nodes
    of all prompts; first, count: where those of each prompt are."""

    parent: np.ndarray
    end: np.ndarray
    paths: np.ndarray
    first: np.ndarray
    count: np.ndarray


def tree_of(prompts: Sequence[Prompt]) -> PromptTree:
    """The tree of all prompts."""
    known: dict[tuple[int, Segment], int] = {}
    parents: list[int] = []
    ends: list[int] = []
    paths: list[int] = []
    for prompt in prompts:
        node, end = NONE, 0
        for segment in prompt:
            end += segment.tokens
            place = known.setdefault((node, segment), len(parents))
            if place == len(parents):
                parents.append(node)
                ends.append(end)
            paths.append(place)
            node = place
    count = np.array([len(prompt) for prompt in prompts], np.int64)
    return PromptTree(
        np.array(parents, np.int64),
        np.array(ends, np.int64),
        np.array(paths, np.int64),
        np.cumsum(count) - count,
        count,
    )
