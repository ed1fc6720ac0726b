"""What several instances did, as the run of one server: requests together, power added up over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.kernels.power import ENERGY_PARTS
from npusim.serving.kvcache import LowerTier
from npusim.serving.record import Recorder
from npusim.serving.request import Request
from npusim.serving.served import ServedRequests
from npusim.serving.simulate import ServedRun

_COUNTS = ("preemptions", "decode_steps", "prefill_tokens", "mixed_steps", "peak_sequences")


@dataclass
class CachesTogether:
    """KV caches of several instances: used and capacity of the fullest at its peak, tokens of all."""

    peak: float
    capacity: int
    hit_tokens: int
    asked_tokens: int
    tiers: tuple[LowerTier, ...] = ()
    tier_hit_tokens: Sequence[int] = ()


def as_one_run(runs: Sequence[ServedRun]) -> ServedRun:
    """The runs, which lasted equally long, as one. Most sequences in service are the sum over instances."""
    if len(runs) == 1:
        return runs[0]
    first, record = runs[0], Recorder()
    record.requests = _requests([run.record for run in runs])
    record.refused = sorted((each for run in runs for each in run.record.refused), key=lambda each: each.sent_s)
    for name in _COUNTS:
        setattr(record, name, sum(getattr(run.record, name) for run in runs))
    for run in runs:
        record.intervals(run.record.interval_s, run.record.interval_weight)
        record.spend(np.array([run.record.parts_j[name] for name in ENERGY_PARTS]))
    record.spans(*_power(runs))
    fullest = max((run.kv for run in runs), key=lambda kv: kv.peak / kv.capacity)
    hits, asked = (sum(getattr(run.kv, name) for run in runs) for name in ("hit_tokens", "asked_tokens"))
    parts = {name: sum(run.breakdown_j.get(name, 0.0) for run in runs) for name in first.breakdown_j}
    return ServedRun(
        record,
        first.duration_s,
        CachesTogether(fullest.peak, fullest.capacity, hits, asked, first.kv.tiers, _tier_hits(runs)),
        sum(run.idle_w for run in runs),
        first.replicas,
        first.layout,
        parts,
        first.warm_up,
    )


def _tier_hits(runs: Sequence[ServedRun]) -> list[int]:
    """Tokens loaded from each tier; of instances with unlike tiers, from those of the first."""
    tiers = runs[0].kv.tiers
    return [sum(run.kv.tier_hit_tokens[place] for run in runs if run.kv.tiers == tiers) for place in range(len(tiers))]


def _requests(records: Sequence[Recorder]) -> ServedRequests:
    """Those of all, in the order in which they ended."""
    found = [record.requests for record in records]
    rows = np.concatenate([each.rows for each in found if isinstance(each, ServedRequests)])
    order = np.argsort(rows["last_token_s"], kind="stable")

    def make() -> list[Request]:
        requests = [request for each in found for request in each]
        return [requests[place] for place in order.tolist()]

    return ServedRequests(rows[order], make)


def _power(runs: Sequence[ServedRun]) -> tuple[np.ndarray, np.ndarray]:
    """Spans between any two changes of any instance's power, over the whole run, and the joules of all in each."""
    changes = [_changes(run) for run in runs]
    times_s, watts = (np.concatenate(each) for each in zip(*changes, strict=True))
    order = np.argsort(times_s, kind="stable")
    seconds = np.diff(np.append(times_s[order], runs[0].duration_s))
    lasting = seconds > 0.0
    return seconds[lasting], (seconds * np.cumsum(watts[order]))[lasting]


def _changes(run: ServedRun) -> tuple[np.ndarray, np.ndarray]:
    """When the power of an instance changes, and by how much; its spans follow each other, then it is idle."""
    seconds, joules = run.record.span_s, run.record.span_j
    times_s = np.minimum(np.append(0.0, np.cumsum(seconds)), run.duration_s)
    return times_s, np.diff(np.concatenate([[0.0], joules / seconds, [run.idle_w]]))
