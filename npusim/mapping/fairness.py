"""Flows that share links: max-min fair rates by progressive filling, found anew when a flow starts or ends.

Bertsekas and Gallager 1992, "Data Networks", section 6.5.2.
"""

from __future__ import annotations

import numpy as np

_CLOSE = np.finfo(float).eps ** 0.5


def max_min_rates(uses: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """Rate of each flow, bytes/s. uses: bool (links, flows); capacity: bytes/s (links,).

    No link is over its capacity, and no flow could be faster without making one slower that is no faster than it. A
    flow that uses no link is infinitely fast.
    """
    flows = uses.shape[1]
    rates = np.full(flows, np.inf)
    rising = uses.any(axis=0)
    left = capacity.astype(float).copy()
    while rising.any():
        sharers = uses[:, rising].sum(axis=1)
        share = np.divide(left, sharers, out=np.full(len(left), np.inf), where=sharers > 0)
        lowest = share.min()
        full = share <= lowest * (1.0 + _CLOSE)
        stopped = rising & uses[full].any(axis=0)
        rates[stopped] = lowest
        left -= uses[:, stopped].sum(axis=1) * lowest
        np.maximum(left, 0.0, out=left)
        rising &= ~stopped
    return rates


def finish_times(starts_s: np.ndarray, sizes: np.ndarray, uses: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """When the last byte of each flow has been sent, seconds (flows,).

    starts_s: seconds (flows,); sizes: bytes (flows,); uses, capacity: as `max_min_rates`.
    """
    finish = starts_s.astype(float).copy()
    left = np.where(uses.any(axis=0), sizes, 0.0).astype(float)
    now = float(starts_s.min(initial=np.inf))
    while (left > 0.0).any():
        active = (left > 0.0) & (starts_s <= now)
        later = starts_s[(left > 0.0) & (starts_s > now)]
        next_start = float(later.min(initial=np.inf))
        if not active.any():
            now = next_start
            continue
        rates = max_min_rates(uses[:, active], capacity)
        ends = now + left[active] / rates
        until = min(float(ends.min()), next_start)
        done = ends <= until * (1.0 + np.finfo(float).eps)
        left[active] = np.where(done, 0.0, left[active] - rates * (until - now))
        finish[np.flatnonzero(active)[done]] = until
        now = until
    return finish
