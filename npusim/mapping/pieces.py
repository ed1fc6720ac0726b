"""A step that fits no compiled graph runs as several: prompts chunk by chunk, decode batches part by part."""

from __future__ import annotations

import numpy as np

from npusim.hardware.runtime import BucketShapes, HybridPolicy, Runtime
from npusim.workload.step import Step


def compiled_pieces(step: Step, runtime: Runtime) -> list[Step]:
    """The steps, in order, in which `runtime` runs `step`.

    Compiled prompt chunks run one prompt at a time; a decode batch beyond the largest compiled one runs in parts. Under
    a hybrid policy one graph holds a chunk and a part of the decode batch, which share its weights, while there are
    both; under others decoding runs apart.
    """
    chunk, batch = largest_size(runtime.prefill_chunk), largest_size(runtime.decode_batch)
    decoding = int(step.decoding.sum())
    if chunk is None and (batch is None or decoding <= batch):
        return [step]
    prompts = ~step.decoding
    if chunk is None:
        pieces = [_part(step, prompts)] if prompts.any() else []
    else:
        pieces = _chunks(step.query[prompts], step.context[prompts], chunk)
    sequences = np.flatnonzero(step.decoding)
    size = batch or max(decoding, 1)
    parts = [_part(step, sequences[start : start + size]) for start in range(0, decoding, size)]
    return _shared(pieces, parts) if isinstance(runtime.policy, HybridPolicy) else pieces + parts


def _shared(chunks: list[Step], parts: list[Step]) -> list[Step]:
    """Each chunk with one part of the decode batch, then what is left of either."""
    both = min(len(chunks), len(parts))
    joined = [_joined(chunk, part) for chunk, part in zip(chunks[:both], parts[:both], strict=True)]
    return joined + chunks[both:] + parts[both:]


def _joined(chunk: Step, part: Step) -> Step:
    return Step(
        np.concatenate((chunk.query, part.query)),
        np.concatenate((chunk.context, part.context)),
        np.concatenate((chunk.decoding, part.decoding)),
        part.slots,
    )


def largest_size(shapes: object) -> int | None:
    """The largest compiled size, None where every size runs as it is."""
    return shapes.sizes[-1] if isinstance(shapes, BucketShapes) else None


def _part(step: Step, which: np.ndarray) -> Step:
    return Step(step.query[which], step.context[which], step.decoding[which], step.slots)


def _chunks(query: np.ndarray, context: np.ndarray, largest: int) -> list[Step]:
    chunks = []
    for new, total in zip(query.tolist(), context.tolist(), strict=True):
        for done in range(total - new, total, largest):
            end = min(done + largest, total)
            chunks.append(Step(np.array([end - done]), np.array([end]), np.zeros(1, np.bool_), 1))
    return chunks
