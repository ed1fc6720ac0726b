"""Prompts as paths of one tree: a segment behind the same segments is one node, in whichever prompts it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.serving.scheduler.state import NONE
from npusim.workload.prompts import BlockPrompts, Prompt, Segment


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


def tree_of_blocks(prompts: BlockPrompts) -> PromptTree:
    """The tree of prompts of numbered blocks, depth by depth."""
    size, count = prompts.size, -(-prompts.tokens // prompts.size)
    begin = np.cumsum(count) - count
    paths = np.empty(int(count.sum()), np.int64)
    parents, ends, known = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    before = np.full(len(count), NONE, np.int64)
    for depth in range(int(count.max())):
        which = np.flatnonzero(count > depth)
        keys = np.empty((len(which), 3), np.int64)
        keys[:, 0], keys[:, 1] = before[which], prompts.blocks[prompts.first[which] + depth]
        keys[:, 2] = np.minimum(prompts.tokens[which], (depth + 1) * size)
        found, place = np.unique(keys, axis=0, return_inverse=True)
        before[which] = known + place.reshape(-1)
        paths[begin[which] + depth] = before[which]
        parents.append(found[:, 0])
        ends.append(found[:, 2])
        known += len(found)
    return PromptTree(np.concatenate(parents), np.concatenate(ends), paths, begin, count)


def tree_of_own(tokens: np.ndarray) -> PromptTree:
    """The tree of prompts that share nothing; tokens: of each, int64."""
    count = len(tokens)
    places = np.arange(count, dtype=np.int64)
    return PromptTree(np.full(count, NONE, np.int64), tokens.astype(np.int64), places, places, np.ones(count, np.int64))
