"""Times forward passes of whole models on one NVIDIA GPU: python passes.py OUT_FOLDER MODEL:DTYPE ...

Writes steps.csv and mixed_steps.csv. Weights and inputs are random. A pass that does not fit is named on standard error
and left out. Needs PyTorch (2.11 was used).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from decoder import Caches, Decoder, Sequences
from timing import Spread, Sustained, graph_of, timed_burst, timed_sustained
from torch.nn.attention import SDPBackend, sdpa_kernel

DECODE = [(1, 1024), (8, 1024), (32, 1024), (64, 2048), (128, 512), (16, 4096)]
PREFILL = [(1, 128), (1, 512), (1, 2048), (4, 1024)]
SUSTAINED_DECODE = [(1, 1024), (32, 1024), (128, 512)]
SUSTAINED_PREFILL = [(1, 512), (1, 2048)]
MIXED = [
    (8, 1024, 512, 512),
    (32, 1024, 512, 512),
    (32, 2048, 512, 2048),
    (64, 1024, 256, 1024),
    (64, 2048, 1024, 1024),
    (16, 4096, 512, 4096),
    (128, 512, 512, 512),
    (0, 0, 512, 2048),
    (32, 1024, 0, 0),
    (32, 1024, 2048, 2048),
]
STEP_COLUMNS = "regime phase model dtype tp batch q_len ctx us us_p5 us_p95 power_w sm_clock_mhz"
MIXED_COLUMNS = "model dtype tp decode_batch ctx chunk chunk_ctx us us_p5 us_p95"


def captured(decoder: Decoder, sequences: list[Sequences]) -> tuple[torch.cuda.CUDAGraph, list[Caches]]:
    """The graph of one pass over `sequences`, and the caches that it reads and writes."""
    caches = [decoder.caches(part) for part in sequences]
    inputs = decoder.inputs(sequences)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return graph_of([lambda: decoder.forward(sequences, caches, inputs)]), caches


def time_pass(
    decoder: Decoder,
    sequences: list[Sequences],
    timed: Callable[[torch.cuda.CUDAGraph], Spread | Sustained],
    label: dict[str, object],
    writer: csv.DictWriter[str],
) -> None:
    """A row of `label` and the times of one pass over `sequences`."""
    try:
        graph, caches = captured(decoder, sequences)
        told = timed(graph)
    except torch.cuda.OutOfMemoryError:
        print(f"left out, no room: {label}", file=sys.stderr)
        return
    writer.writerow(label | {name: f"{value:.1f}" for name, value in asdict(told).items()})
    del graph, caches
    torch.cuda.empty_cache()


def step_cases() -> list[tuple[str, str, Sequences]]:
    return [
        *(("burst", "decode", Sequences(batch, 1, context)) for batch, context in DECODE),
        *(("burst", "prefill", Sequences(batch, query, query)) for batch, query in PREFILL),
        *(("sustained", "decode", Sequences(batch, 1, context)) for batch, context in SUSTAINED_DECODE),
        *(("sustained", "prefill", Sequences(batch, query, query)) for batch, query in SUSTAINED_PREFILL),
    ]


def time_steps(decoder: Decoder, writer: csv.DictWriter[str]) -> None:
    for regime, phase, sequences in step_cases():
        shape = {"batch": sequences.count, "q_len": sequences.query, "ctx": sequences.context}
        label = {"regime": regime, "phase": phase, "model": decoder.name, "dtype": decoder.dtype, "tp": 1, **shape}
        time_pass(decoder, [sequences], timed_burst if regime == "burst" else timed_sustained, label, writer)


def time_mixed(decoder: Decoder, writer: csv.DictWriter[str]) -> None:
    for batch, context, chunk, chunk_context in MIXED:
        parts = [Sequences(batch, 1, context), Sequences(1, chunk, chunk_context)]
        shape = {"decode_batch": batch, "ctx": context, "chunk": chunk, "chunk_ctx": chunk_context}
        label = {"model": decoder.name, "dtype": decoder.dtype, "tp": 1, **shape}
        time_pass(decoder, [part for part in parts if part.count * part.query], timed_burst, label, writer)


def main(folder: Path, models: list[str]) -> None:
    with (
        (folder / "steps.csv").open("w", newline="") as steps,
        (folder / "mixed_steps.csv").open("w", newline="") as mixed,
    ):
        step_writer = csv.DictWriter(steps, STEP_COLUMNS.split(), lineterminator="\n")
        mixed_writer = csv.DictWriter(mixed, MIXED_COLUMNS.split(), lineterminator="\n")
        step_writer.writeheader()
        mixed_writer.writeheader()
        for model in models:
            name, _, dtype = model.partition(":")
            decoder = Decoder(name, dtype)
            time_steps(decoder, step_writer)
            time_mixed(decoder, mixed_writer)
            del decoder
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
