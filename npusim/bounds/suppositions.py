"""What a claim leaves unsaid: how keys and values are kept, and how requests are batched.

A claim that is implausible under one supposition and plausible under another implies the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from npusim.bounds import bandwidth
from npusim.bounds.finding import PLAUSIBLE, Finding
from npusim.bounds.load import load_of
from npusim.bounds.reading import Reading
from npusim.workload.model import Model
from npusim.workload.precision import resolve_precision

_BATCHINGS = {"a static batch": True, "continuous batching": False}


@dataclass(frozen=True)
class Supposition:
    """kv: format of keys and values; batching: how requests share a step; finding: what the claim then needs."""

    kv: str
    batching: str
    finding: Finding

    @property
    def told(self) -> str:
        return f"{self.kv} KV with {self.batching}"


def throughput_suppositions(
    arch: str, model: Model, precision: str, chips: int, isl: int, osl: int, claimed: Reading, kv_formats: Sequence[str]
) -> list[Supposition]:
    """A claimed output throughput whose batch and KV format are not known, under each supposition."""

    def each() -> Iterator[Supposition]:
        for kv in kv_formats:
            scheme = resolve_precision(precision, kv)
            load = load_of(arch, model, (scheme, scheme), chips, isl, osl)
            for name, static in _BATCHINGS.items():
                yield Supposition(kv, name, bandwidth.bandwidth_throughput(load, claimed, static))

    return list(each())


def implied(suppositions: Sequence[Supposition]) -> list[str]:
    """What must be true for the claim: each supposition that leaves it plausible, with the part that it needs."""
    return [
        f"{each.told}, at {each.finding.need} of the memory bandwidth"
        for each in suppositions
        if each.finding.verdict == PLAUSIBLE
    ]
