"""A step through pipeline stages: its micro-batches, and how long the stages wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from typing import TypeVar

import numpy as np

from npusim.mapping.plan import Plan
from npusim.workload.step import Step

Seconds = TypeVar("Seconds", float, np.ndarray)


def micro_steps(step: Step, parts: int) -> list[Step]:
    """`step` in at most `parts` parts: its sequences spread evenly, or the chunk of a single prompt cut into pieces."""
    sequences = len(step.query)
    if parts == 1:
        return [step]
    if sequences == 1 and not step.decoding[0]:
        return _cut(step, parts)
    count = min(parts, sequences)
    edges = [part * sequences // count for part in range(count + 1)]
    return [
        Step(step.query[start:end], step.context[start:end], step.decoding[start:end], -(-step.slots // count))
        for start, end in pairwise(edges)
    ]


def _cut(step: Step, parts: int) -> list[Step]:
    query, context = int(step.query[0]), int(step.context[0])
    before = context - query
    ends = np.unique([query * part // parts for part in range(1, parts + 1)])
    sizes = np.diff(ends, prepend=0)
    return [
        Step(np.array([size]), np.array([before + end]), step.decoding, step.slots)
        for size, end in zip(sizes, ends, strict=True)
        if size > 0
    ]


def bubble_s(times_s: Sequence[Seconds], plan: Plan, decoding: bool) -> Seconds:
    """Seconds that a stage waits in a step whose parts keep it busy for `times_s` (a number, or one a design, each).

    A prompt fills and drains the pipeline: stages - 1 parts more (Huang et al. 2019, GPipe, arXiv 1811.06965). Decoding
    keeps it full, but a sequence's next token waits for the last stage: without as many parts as stages, they wait.
    """
    stages, parts = plan.pipeline_parallel, len(times_s)
    waits = max(stages, parts) / parts - 1.0 if decoding else stages - 1.0
    whole = reduce(add if decoding else np.maximum, times_s)
    if waits == 0.0:  # also of a step under a cap that leaves no work, which lasts for ever
        return 0.0 if isinstance(whole, float) else np.zeros_like(whole)
    return whole * waits
