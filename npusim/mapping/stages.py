"""Pipeline stages: which layers each has, embedding in the first and head in the last."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.mapping.plan import Plan
from npusim.workload.model import Model
from npusim.workload.segments import LayerRun, segments


@dataclass(frozen=True)
class Stage:
    """segments: its layers as runs that repeat; first, last: whether it embeds, and whether it has the head."""

    segments: tuple[LayerRun, ...]
    first: bool
    last: bool


def stages(model: Model, plan: Plan) -> tuple[Stage, ...]:
    """The stages of `plan`, in order: layers are spread evenly; the remainder goes to the stages before the last."""
    count = plan.pipeline_parallel
    share, rest = divmod(model.layers, count)
    sizes = [share + (index < rest) for index in range(count)]
    ends = [sum(sizes[: index + 1]) for index in range(count)]
    return tuple(
        Stage(segments(model.layer_kinds[end - size : end]), first=end == size, last=end == model.layers)
        for end, size in zip(ends, sizes, strict=True)
    )
