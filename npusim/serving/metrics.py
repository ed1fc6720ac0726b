"""The figures of a serving run: latencies, throughput, power, as DESIGN's readers measure them.

TTFT: from sending a request to its first token. TPOT: (last - first token time) / (osl - 1), per request. ITL: time
between successive tokens of a request, over all tokens. E2E: from sending to the last token. Power is that of the
cards, without server or wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.serving.request import Request
from npusim.serving.simulate import ServedRun

PERCENTILES = (50, 90, 99)
_MS_PER_S = 1e3


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles of a latency, milliseconds; NaN where there was none."""

    mean: float
    p50: float
    p90: float
    p99: float

    def as_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "p50": self.p50, "p90": self.p90, "p99": self.p99}


@dataclass(frozen=True)
class RunMetrics:
    """What one run scored. Rates per second of simulated time; tokens_per_s_per_user = 1 / mean TPOT."""

    requests: int
    refused: int
    refusal: str
    ttft_ms: Spread
    tpot_ms: Spread
    itl_ms: Spread
    e2e_ms: Spread
    client_queue_ms: Spread
    output_tokens_per_s: float
    total_tokens_per_s: float
    tokens_per_s_per_user: float
    power_w_mean: float
    power_w_p99: float
    tokens_per_joule: float
    kv_peak_fraction: float
    users_in_service: int
    preemptions: int
    prefix_hit_fraction: float
    decode_steps: int
    duration_s: float

    @property
    def fits(self) -> bool:
        """True where every request was served."""
        return self.refused == 0 and self.requests > 0


def measure(run: ServedRun) -> RunMetrics:
    """The figures of a run; latencies and rates are NaN where no request was served."""
    record, served = run.record, run.record.requests
    ttft = np.array([request.first_token_s - request.sent_s for request in served])
    tpot = np.array([_tpot_s(request) for request in served if request.osl > 1])
    e2e = np.array([request.last_token_s - request.sent_s for request in served])
    queue = np.array([request.sent_s - request.due_s for request in served])
    tokens_out = float(sum(request.osl for request in served)) * run.replicas
    tokens_in = float(sum(request.isl for request in served)) * run.replicas
    seconds = run.duration_s if served else np.nan
    mean_w, p99_w, energy_j = _power(run)
    mean_tpot = float(tpot.mean()) if len(tpot) else np.nan
    return RunMetrics(
        requests=round(len(served) * run.replicas),
        refused=round(len(record.refused) * run.replicas),
        refusal=record.refused[0].refusal if record.refused else "",
        ttft_ms=_spread(ttft),
        tpot_ms=_spread(tpot),
        itl_ms=_weighted_spread(record.interval_s, record.interval_weight),
        e2e_ms=_spread(e2e),
        client_queue_ms=_spread(queue),
        output_tokens_per_s=tokens_out / seconds,
        total_tokens_per_s=(tokens_in + tokens_out) / seconds,
        tokens_per_s_per_user=1.0 / mean_tpot,
        power_w_mean=mean_w,
        power_w_p99=p99_w,
        tokens_per_joule=tokens_out / energy_j if served else np.nan,
        kv_peak_fraction=float(run.kv.peak / run.kv.capacity),
        users_in_service=round(record.peak_sequences * run.replicas),
        preemptions=round(record.preemptions * run.replicas),
        prefix_hit_fraction=run.kv.hit_tokens / run.kv.asked_tokens if run.kv.asked_tokens else 0.0,
        decode_steps=record.decode_steps,
        duration_s=run.duration_s,
    )


def _tpot_s(request: Request) -> float:
    return (request.last_token_s - request.first_token_s) / (request.osl - 1)


def _spread(seconds: np.ndarray) -> Spread:
    if not len(seconds):
        return Spread(np.nan, np.nan, np.nan, np.nan)
    p50, p90, p99 = np.percentile(seconds, PERCENTILES)
    return Spread(*(float(value) * _MS_PER_S for value in (seconds.mean(), p50, p90, p99)))


def _weighted_spread(seconds: np.ndarray, weight: np.ndarray) -> Spread:
    if not len(seconds):
        return Spread(np.nan, np.nan, np.nan, np.nan)
    mean = float((seconds * weight).sum() / weight.sum())
    points = weighted_percentiles(seconds, weight, PERCENTILES)
    return Spread(*(float(value) * _MS_PER_S for value in (mean, *points)))


def weighted_percentiles(values: np.ndarray, weight: np.ndarray, percentiles: tuple[int, ...]) -> np.ndarray:
    """The smallest value below which at least each percentage of the weight lies."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    places = np.searchsorted(share, np.array(percentiles) / 100.0 * share[-1])
    return values[order][np.minimum(places, len(values) - 1)]


def _power(run: ServedRun) -> tuple[float, float, float]:
    """Mean watts, 99th percentile over time, and joules, with the time that the server waited at idle power."""
    seconds, joules = run.record.span_s, run.record.span_j
    if not len(seconds) or run.duration_s <= 0.0:
        return np.nan, np.nan, np.nan
    waited = max(0.0, run.duration_s - float(seconds.sum()))
    energy = float(joules.sum()) + waited * run.idle_w
    watts = np.append(joules / seconds, run.idle_w)
    p99 = weighted_percentiles(watts, np.append(seconds, waited), (99,))[0]
    return energy / run.duration_s, float(p99), energy
