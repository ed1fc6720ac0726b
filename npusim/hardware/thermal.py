"""What cooling sustains: heat paths of first order from a source to the air, and when a limit is met.

A path is one thermal resistance R and one heat capacity C (Incropera, DeWitt, Bergman, Lavine 2007, Fundamentals of
Heat and Mass Transfer, 5.1, the lumped capacitance method): at constant power P the temperature approaches ambient +
P R with the time constant R C. Arguments are floats or arrays that broadcast; powers in W, temperature differences in
K, resistances in K/W, capacities in J/K, times in s.
"""

from __future__ import annotations

import numpy as np

NumberOrArray = float | np.ndarray


def sustainable_w(room_k: NumberOrArray, resistance: NumberOrArray) -> np.ndarray:
    """Power that a path carries for ever: `room_k`, limit less ambient, over its resistance."""
    return np.asarray(room_k / np.asarray(resistance, dtype=float))


def seconds_to_limit(
    power_w: NumberOrArray,
    rest_w: NumberOrArray,
    room_k: NumberOrArray,
    resistance: NumberOrArray,
    capacity: NumberOrArray,
) -> np.ndarray:
    """Time from rest at `rest_w` until the limit is met under `power_w`; infinite where it never is, 0 where it is at
    once.

    T(t) = ambient + R (P + (P0 - P) exp(-t / (R C))), solved for T = limit.
    """
    power, rest = np.asarray(power_w, dtype=float), np.asarray(rest_w, dtype=float)
    most = sustainable_w(room_k, resistance)
    with np.errstate(divide="ignore", invalid="ignore"):
        time_s = np.asarray(resistance) * np.asarray(capacity) * np.log((power - rest) / (power - most))
    return np.where(power <= most, np.inf, np.where(rest >= most, 0.0, np.maximum(time_s, 0.0)))


def mean_power_w(work_w: NumberOrArray, rest_w: NumberOrArray, duty: NumberOrArray) -> np.ndarray:
    """Mean over time of `work_w` for the part `duty` of the time and of `rest_w` for the rest."""
    return np.asarray(rest_w + np.asarray(duty) * (np.asarray(work_w) - rest_w))
