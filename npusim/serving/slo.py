"""Service-level objectives: limits of latencies, and the most users for whom a server keeps them.

The number of users is bracketed by doubling (or halving) from a first guess, then halved between the last two: what is
found is a number that keeps the limits beside a larger one that does not. Latencies need not rise with every user, so
that others beyond it may keep them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.errors import DoesNotFit, UserError
from npusim.hardware.calibration import Calibration
from npusim.inputs.limits import MOST_REQUESTS, MOST_USERS
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.serving.joint import FIRST, TOKEN, drawn_errors
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import simulate
from npusim.serving.uncertainty import drawn_engines, interval
from npusim.serving.unexplained import unexplained
from npusim.units import MS_PER_S, to_si

_FINE = 16
"""Part of itself to which the number of users of a drawn machine is found."""
_ERRORS_EACH = 4
"""Draws of the errors on each drawn machine."""
_LATENCIES = {row.name: row for row in shown(Shown.FOLDED) if row.unit == "ms"}
_ERROR_OF = {row.quantity: FIRST if FIRST.startswith(row.quantity) else TOKEN for row in _LATENCIES.values()}
"""The figure whose unexplained error a latency has: all but the first token's have that of a token."""


@dataclass(frozen=True)
class Slo:
    """limits: the highest value of each figure, in ms."""

    limits: tuple[tuple[str, float], ...]

    def kept(self, run: RunMetrics, errors: Mapping[str, float] | None = None) -> bool:
        """Whether a run keeps every limit and serves every request; errors: factors by `_ERROR_OF`."""
        return run.fits and all(
            run[name] * (1.0 if errors is None else errors[_ERROR_OF[_LATENCIES[name].quantity]]) <= limit
            for name, limit in self.limits
        )

    def as_dict(self) -> dict[str, float]:
        """Limits in ms by figure."""
        return dict(self.limits)


def parse_slo(text: str, option: str = "--slo") -> Slo:
    """Limits written as ttft_p99=2s,tpot_p99=50ms. Raises UserError."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (each.strip() for each in part.partition("="))
        quantity, _, statistic = name.rpartition("_")
        figure = f"{quantity.removesuffix('_ms')}_ms_{statistic}"
        if not sign or figure not in _LATENCIES or figure in limits:
            known = ", ".join(dict.fromkeys(row.quantity.removesuffix("_ms") for row in _LATENCIES.values()))
            raise UserError(option, "", f"'{part.strip()}' is no limit; use {known} and a statistic: ttft_p99=2s")
        try:
            limits[figure] = to_si(value, "s") * MS_PER_S
        except ValueError as error:
            raise UserError(option, name, str(error)) from error
        if limits[figure] <= 0.0:
            raise UserError(option, name, f"{value} must be more than zero")
    return Slo(tuple(limits.items()))


def most_users(keeps: Callable[[int], bool], start: int, most: int, fine: int = 0) -> int:
    """The most users, up to `most`, for whom `keeps` is true, 0 for none; found to 1, or to a part 1/`fine` of itself.

    start: the first guess.
    """
    low = min(start, most)
    high = 2 * low
    if keeps(low):
        while high <= most and keeps(high):
            low, high = high, 2 * high
        high = min(high, most + 1)
    else:
        low, high = low // 2, low
        while low and not keeps(low):
            low, high = low // 2, low
    while high - low > max(1, low // fine if fine else 1):
        middle = (low + high) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class UsersAtSlo:
    """value: the most users who keep the limits; low, high: of its 90 % interval, None without one; least: whether it
    is as many as were tried, so that more may keep them."""

    value: int
    low: float | None = None
    high: float | None = None
    least: bool = False

    @property
    def as_json(self) -> int | dict[str, float]:
        """The number, or {value, low, high} with an interval."""
        if self.low is None or self.high is None:
            return self.value
        return {"value": self.value, "low": self.low, "high": self.high}


def most_of_requests(requests: int, users: int) -> int:
    """Most users that are tried, where `users` of them send so many requests."""
    return min(MOST_USERS, MOST_REQUESTS * users // max(requests, users))


def users_at_slo(
    slo: Slo,
    make: Callable[[int], Load],
    where: Deployment,
    start: int,
    most: int,
    seed: int,
    interval_wanted: bool = False,
) -> UsersAtSlo:
    """The most users on a deployment, with the 90 % interval where it is wanted. Raises DoesNotFit."""
    search = SloSearch(slo, make, most, seed)
    found = search.value(where, start)
    if not interval_wanted:
        return found
    return search.ranged(found, list(drawn_engines(where, seed)), where.calibration)


class SloSearch:
    """Searches on one deployment. make: the load of so many users; most: of them; engines and runs are used again."""

    def __init__(self, slo: Slo, make: Callable[[int], Load], most: int, seed: int) -> None:
        self._slo, self._make, self._most, self._seed = slo, make, most, seed
        self._loads: dict[int, Load] = {}

    def value(self, where: Deployment, start: int, engine: AnalyticEngine | None = None) -> UsersAtSlo:
        """On the given numbers. Raises DoesNotFit where the model has no room at all."""
        run = self._runs(where, engine or analytic_engine(where))
        found = most_users(lambda users: self._slo.kept(run(users)), max(1, start), self._most)
        return UsersAtSlo(found, least=found == self._most)

    def ranged(
        self, own: UsersAtSlo, drawn: list[tuple[Deployment, AnalyticEngine]], calibration: Calibration | None
    ) -> UsersAtSlo:
        """With its interval over drawn machines, and the errors that a calibration left of times to first tokens and
        between tokens."""
        widths = {name: unexplained(calibration, name) for name in (FIRST, TOKEN)}
        errors = drawn_errors(widths, len(drawn), self._seed)
        found: list[float] = []
        for place, (where, engine) in enumerate(drawn):
            run = self._runs(where, engine)
            for each in range(_ERRORS_EACH):
                factors = {name: float(values[place, each]) for name, values in errors.items()}
                try:
                    found.append(self._most_under(run, factors, own.value))
                except DoesNotFit:
                    found.append(0.0)
        low, high = interval(own.value, found)
        return UsersAtSlo(own.value, low, high, own.least)

    def _most_under(self, run: Callable[[int], RunMetrics], errors: Mapping[str, float], near: int) -> float:
        return most_users(lambda users: self._slo.kept(run(users), errors), max(1, near), self._most, _FINE)

    def _runs(self, where: Deployment, engine: AnalyticEngine) -> Callable[[int], RunMetrics]:
        """The run of so many users, made once."""
        known: dict[int, RunMetrics] = {}

        def run(users: int) -> RunMetrics:
            if users not in known:
                load = self._loads.setdefault(users, self._make(users))
                known[users] = measure(simulate(where, load, self._seed, engine))
            return known[users]

        return run
