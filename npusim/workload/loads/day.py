"""The course of a rate over the day, which stretches time: where it is twice as high, time passes twice as fast."""

from __future__ import annotations

import numpy as np

from npusim.units import S_PER_HOUR
from npusim.workload.loads.told import HOURS, DayCourse

DAY_S = HOURS * S_PER_HOUR
"""Seconds of a day."""


class DayClock:
    """Time at an even rate and time of the clock, of a rate that is piecewise linear over the day and repeats.

    A process whose gaps are drawn at an even rate becomes one of that course when its times are sent through the
    inverse of the rate's integral (time rescaling: Cinlar, Introduction to Stochastic Processes, 1975, chapter 4.7;
    Brown et al., Neural Computation 14, 2002, 325-346, for processes that are not Poisson).
    """

    def __init__(self, course: DayCourse) -> None:
        hourly = np.array(course.hourly.value)
        self._rate = np.append(hourly, hourly[0]) / hourly.mean()
        self._slope = np.diff(self._rate) / S_PER_HOUR
        self._even_s = np.append(0.0, np.cumsum((self._rate[:-1] + self._rate[1:]) / 2.0 * S_PER_HOUR))
        self._begin_s = course.begins_at * S_PER_HOUR

    def even_s(self, clock_s: np.ndarray) -> np.ndarray:
        """Seconds at an even rate from midnight until each time of the clock, both from midnight on."""
        days, rest_s = np.divmod(clock_s, DAY_S)
        hour = np.minimum((rest_s // S_PER_HOUR).astype(int), HOURS - 1)
        since_s = rest_s - hour * S_PER_HOUR
        return days * DAY_S + self._even_s[hour] + since_s * (self._rate[hour] + self._slope[hour] * since_s / 2.0)

    def clock_s(self, even_s: np.ndarray) -> np.ndarray:
        """The times of the clock, from its beginning on, of times at an even rate; both rise from 0."""
        begun_s = self.even_s(np.array([self._begin_s]))
        return self._from_midnight_s(begun_s + even_s) - self._begin_s

    def _from_midnight_s(self, even_s: np.ndarray) -> np.ndarray:
        """The inverse of `even_s`: in each hour the root of a quadratic, in the form that loses no digits."""
        days, rest_s = np.divmod(even_s, self._even_s[-1])
        hour = np.minimum(np.searchsorted(self._even_s, rest_s, side="right") - 1, HOURS - 1)
        left_s, rate, slope = rest_s - self._even_s[hour], self._rate[hour], self._slope[hour]
        below = rate + np.sqrt(np.maximum(0.0, rate**2 + 2.0 * slope * left_s))
        since_s = np.divide(2.0 * left_s, below, out=np.zeros_like(left_s), where=below > 0.0)
        return days * DAY_S + hour * S_PER_HOUR + np.minimum(since_s, S_PER_HOUR)
