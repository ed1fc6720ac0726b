"""Every figure that a serving table may hold, from one simulated run."""

from __future__ import annotations

import numpy as np

from npusim.serving.metrics import measure, weighted_percentiles
from npusim.serving.simulate import ServedRun

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
LATENCIES = ("ttft", "tpot", "itl", "e2e")
_STEADY = ("steady_output_tokens_per_s", "steady_power_w", "steady_tokens_per_joule")
_PERCENTILES = (50, 90, 95, 99)
_MS_PER_S = 1e3


def run_figures(run: ServedRun, since: int = 0) -> dict[str, float]:
    """`<latency>_ms_<statistic>`, rates per second, power_w and tokens_per_joule; NaN where nothing was served.

    A user's speed is told three ways: from the mean or the median time per output token of a request
    (`speed_mean`, `speed_p50`), and from the median interval between tokens, which holds no stall (`speed_clean`).
    `steady_...`: while every user had a request to send. since: the first request whose times are told.
    """
    metrics = measure(run)
    served = [request for request in run.record.requests if request.index >= since]
    latencies = {
        "ttft": _spread(np.array([request.first_token_s - request.sent_s for request in served])),
        "tpot": _spread(
            np.array(
                [
                    (request.last_token_s - request.first_token_s) / (request.osl - 1)
                    for request in served
                    if request.osl > 1
                ]
            )
        ),
        "itl": _spread(run.record.interval_s, run.record.interval_weight),
        "e2e": _spread(np.array([request.last_token_s - request.sent_s for request in served])),
    }
    figures = {
        f"{name}_ms_{part}": value * _MS_PER_S for name, parts in latencies.items() for part, value in parts.items()
    }
    return (
        figures
        | _steady(run)
        | {
            "speed_mean": 1.0 / latencies["tpot"]["mean"],
            "speed_p50": 1.0 / latencies["tpot"]["p50"],
            "speed_clean": 1.0 / latencies["itl"]["p50"],
            "output_tokens_per_s": metrics.output_tokens_per_s,
            "total_tokens_per_s": metrics.total_tokens_per_s,
            "power_w": metrics.power_w_mean,
            "tokens_per_joule": metrics.tokens_per_joule,
        }
    )


def _steady(run: ServedRun) -> dict[str, float]:
    """Rates and watts until the last request was sent: after it users leave, and fewer are in service.

    Output tokens per second are those of the mean number of users in service then, by Little's law.
    """
    served = run.record.requests
    if not served:
        return dict.fromkeys(_STEADY, float("nan"))
    ends = np.cumsum(run.record.span_s)
    until = max(request.sent_s for request in served) or ends[-1]
    within = np.clip((until - (ends - run.record.span_s)) / run.record.span_s, 0.0, 1.0)
    watts = float((run.record.span_j * within).sum() / (run.record.span_s * within).sum())
    in_service = sum(max(0.0, min(request.last_token_s, until) - request.sent_s) for request in served) / until
    stay = sum(request.last_token_s - request.sent_s for request in served)
    rate = run.replicas * in_service * sum(request.osl for request in served) / stay
    return dict(zip(_STEADY, (rate, watts, rate / watts), strict=True))


def _spread(seconds: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    """Mean and percentiles, seconds; percentiles of intervals are weighted, of requests interpolated."""
    if not len(seconds):
        return dict.fromkeys(STATISTICS, float("nan"))
    if weight is None:
        mean, points = seconds.mean(), np.percentile(seconds, _PERCENTILES)
    else:
        mean, points = (seconds * weight).sum() / weight.sum(), weighted_percentiles(seconds, weight, _PERCENTILES)
    return dict(zip(STATISTICS, (float(value) for value in (mean, *points)), strict=True))
