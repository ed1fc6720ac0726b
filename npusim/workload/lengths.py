"""How long prompts and answers are: all alike, or spread about the length that is stated.

A length is written `1024`, `1024±20%` (`1024+-20%`), `1024:80%-100%`, `uniform:512-2048` or
`lognormal:mean=1024,cv=0.6` (`median=732,sigma=1.0,most=4096`); a spread alone, for lengths that are stated elsewhere,
`fixed`, `±20%`, `80%-100%`, `lognormal:cv=0.6` or `lognormal:median,sigma=1.0`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from npusim.errors import UserError
from npusim.inputs.limits import MOST
from npusim.inputs.numbers import plain
from npusim.workload.lognormal import lognormal_lengths

_MOST_SIGMA = 3.0
"""Of the logarithm: 90 % of the lengths lie within a factor of 140."""
_STREAM = 1
"""Lengths are drawn apart from arrivals, so that neither follows the other."""
_MOST_PART = 100.0
"""Of the stated length."""
_PERCENT = 100.0
"""Percent of a whole."""
_ONE_IN_A_THOUSAND = 3.09
"""Standard deviations above the middle of a normal beyond which one in a thousand lies."""
_LONGEST_NUMBER = 12
"""Digits."""
_SAME = 1e-12
"""Parts that differ by less are the same number, rounded."""
_MEDIAN = "median,"
_NUMBER = r"\d+(?:\.\d+)?"
_ABOUT = re.compile(rf"(?:±|\+/-|\+-)\s*({_NUMBER})\s*%")
_PART = re.compile(rf"({_NUMBER})\s*%\s*-\s*({_NUMBER})\s*%")
_USE = "use 1024, 1024±20% (or 1024+-20%), uniform:512-2048 or lognormal:mean=1024,cv=0.6"
_USE_SPREAD = "use fixed, ±20% (or +-20%), 80%-100% or lognormal:cv=0.6, of both or as PROMPTS/OUTPUTS"


class LengthSpread(Protocol):
    """How lengths lie about the stated one. Spreads that compare equal draw the same."""

    @property
    def text(self) -> str:
        """As it is written."""
        ...

    def longest(self, stated: int) -> int:
        """The length that none exceeds, in tokens; of a lognormal without an end that of one in a thousand."""
        ...

    def draw(self, stated: int, count: int, generator: np.random.Generator) -> np.ndarray:
        """`count` lengths in tokens, int64 (count,), at least 1."""
        ...


@dataclass(frozen=True)
class Fixed:
    """All as stated."""

    text: str = "fixed"

    def longest(self, stated: int) -> int:
        return stated

    def draw(self, stated: int, count: int, generator: np.random.Generator) -> np.ndarray:
        return np.full(count, stated, np.int64)


FIXED = Fixed()


@dataclass(frozen=True)
class Even:
    """Every whole number between two parts of the stated length is as likely: ±20 % is from 0.8 to 1.2 of it.

    `vllm bench serve --random-range-ratio 0.2` draws them so, to a token at either end.
    """

    low: float
    high: float

    @property
    def text(self) -> str:
        below, above = 1.0 - self.low, self.high - 1.0
        if math.isclose(below, above, abs_tol=_SAME):
            return f"±{_PERCENT * above:g}%"
        return f"{_PERCENT * self.low:g}%-{_PERCENT * self.high:g}%"

    def ends(self, stated: int) -> tuple[int, int]:
        """Least and most tokens: the whole numbers between the two parts."""
        least, most = (round(stated * part, 6) for part in (self.low, self.high))
        return max(1, min(math.ceil(least), math.floor(most))), max(1, math.floor(most))

    def longest(self, stated: int) -> int:
        return self.ends(stated)[1]

    def draw(self, stated: int, count: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(*self.ends(stated), count, endpoint=True)


@dataclass(frozen=True)
class Between:
    """Every whole number from `least` to `most` tokens is as likely."""

    least: int
    most: int

    @property
    def text(self) -> str:
        return f"{self.least}-{self.most}"

    def longest(self, stated: int) -> int:
        return self.most

    def draw(self, stated: int, count: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(self.least, self.most, count, endpoint=True)


@dataclass(frozen=True)
class LogNormal:
    """Lognormal about the stated mean (or median), at even quantiles in random order.

    sigma: standard deviation of the logarithm; most: tokens at which the distribution is cut off, None for nowhere. A
    mean is that before the cut, a median that of what is left.
    """

    sigma: float
    about_median: bool = False
    most: int | None = None

    @property
    def text(self) -> str:
        cut = "" if self.most is None else f",most={self.most}"
        told = f"median,sigma={self.sigma:g}" if self.about_median else f"cv={_cv(self.sigma):.6g}"
        return f"lognormal:{told}{cut}"

    def longest(self, stated: int) -> int:
        one_in_a_thousand = self._median(stated) * math.exp(_ONE_IN_A_THOUSAND * self.sigma)
        return min(round(one_in_a_thousand), self.most or MOST)

    def draw(self, stated: int, count: int, generator: np.random.Generator) -> np.ndarray:
        longest = math.inf if self.most is None else self.most
        lengths = lognormal_lengths(self._median(stated), self.sigma, count, longest=longest)
        return generator.permutation(np.minimum(lengths, MOST))

    def _median(self, stated: int) -> float:
        return stated if self.about_median else stated * math.exp(-(self.sigma**2) / 2.0)


def _cv(sigma: float) -> float:
    """Standard deviation over mean of a lognormal."""
    return math.sqrt(math.expm1(sigma**2))


@dataclass(frozen=True)
class Lengths:
    """stated: tokens, the mean of those that are drawn (of a lognormal about its median that); spread: about it."""

    stated: int
    spread: LengthSpread = FIXED

    @property
    def longest(self) -> int:
        """Tokens that none exceeds (see `LengthSpread.longest`)."""
        return self.spread.longest(self.stated)

    @property
    def text(self) -> str:
        """As it is written."""
        if self.spread == FIXED:
            return f"{self.stated}"
        if isinstance(self.spread, Between):
            return f"uniform:{self.spread.text}"
        if isinstance(self.spread, LogNormal):
            name, rest = ("median", "median,") if self.spread.about_median else ("mean", "")
            return self.spread.text.replace(f":{rest}", f":{name}={self.stated},")
        return f"{self.stated}{'' if self.spread.text.startswith('±') else ':'}{self.spread.text}"


def draw_lengths(isl: Lengths, osl: Lengths, count: int, seed: int) -> np.ndarray:
    """Tokens in and out of each of `count` requests, int64 (count, 2); the same for the same seed."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    return np.stack([each.spread.draw(each.stated, count, generator) for each in (isl, osl)], axis=1)


def parse_lengths(text: str | int, option: str) -> Lengths:
    """Lengths as they are written. Raises UserError, which names `option`."""
    written = str(text).strip().lower()
    if re.fullmatch(r"[+-]?\d+", written):
        return Lengths(_whole(written, option))
    found = re.fullmatch(r"(\d+)\s*(?::\s*|(?=±|\+))(.*)", written)
    if found is not None:
        spread = _about(found[2], option)
        if spread is not None:
            return Lengths(_whole(found[1], option), spread)
    kind, _, rest = written.partition(":")
    if kind == "uniform":
        return _uniform(rest, text, option)
    if kind == "lognormal":
        return _lognormal(rest, text, option)
    raise _mistake(text, option, _USE)


def parse_spreads(text: str, option: str) -> tuple[LengthSpread, LengthSpread]:
    """The spreads of prompts and outputs, written once for both or as PROMPTS/OUTPUTS. Raises UserError."""
    parts = [part.strip().lower() for part in re.split(r"(?<!\+)/", text)]
    found = [_spread(part, option) for part in parts]
    if len(found) > 2 or None in found:
        raise _mistake(text, option, _USE_SPREAD)
    return found[0], found[-1]  # type: ignore[return-value]


def spreads_text(isl: LengthSpread, osl: LengthSpread) -> str:
    """The spreads of prompts and outputs as `parse_spreads` reads them; one where they are the same."""
    return isl.text if isl == osl else f"{isl.text}/{osl.text}"


def _spread(text: str, option: str) -> LengthSpread | None:
    if text == FIXED.text:
        return FIXED
    if (ends := re.fullmatch(r"(\d+)-(\d+)", text)) is not None:
        return _between(ends[1], ends[2], text, option)
    kind, colon, rest = text.partition(":")
    if kind == "lognormal" and colon:
        about_median = rest.startswith(_MEDIAN)
        told = _told(rest.removeprefix(_MEDIAN), ("cv", "sigma", "most"), text, option)
        return LogNormal(_sigma(told, text, option), about_median, _most(told, text, option))
    return _about(text, option)


def _about(text: str, option: str) -> LengthSpread | None:
    """±20 %, or 80 %-100 % of what is stated; None for anything else."""
    if (found := _ABOUT.fullmatch(text)) is not None:
        part = float(found[1]) / _PERCENT
        low, high = 1.0 - part, 1.0 + part
    elif (found := _PART.fullmatch(text)) is not None:
        low, high = (float(each) / _PERCENT for each in found.groups())
    else:
        return None
    if not 0.0 <= low <= high <= _MOST_PART:
        raise UserError(option, "", f"'{text}' is no spread about a length; give at most ±100%, or parts that rise")
    return Even(low, high) if high > low else FIXED


def _uniform(rest: str, text: str | int, option: str) -> Lengths:
    found = re.fullmatch(r"(\d+)\s*-\s*(\d+)", rest.strip())
    if found is None:
        raise _mistake(text, option, "use uniform:512-2048")
    between = _between(found[1], found[2], text, option)
    middle = round((between.least + between.most) / 2)
    return Lengths(middle, between if between.least < between.most else FIXED)


def _between(least: str, most: str, text: str | int, option: str) -> Between:
    found = Between(_whole(least, option), _whole(most, option))
    if found.least > found.most:
        raise UserError(option, "", f"'{text}' falls; give the least length first, as in 512-2048")
    return found


def _lognormal(rest: str, text: str | int, option: str) -> Lengths:
    told = _told(rest, ("mean", "median", "cv", "sigma", "most"), text, option)
    if ("mean" in told) == ("median" in told):
        raise UserError(option, "", f"'{text}' needs a mean or a median, as in lognormal:mean=1024,cv=0.6")
    about_median = "median" in told
    stated = round(told["median" if about_median else "mean"])
    if not 1 <= stated <= MOST:
        raise UserError(option, "", f"{stated:,} tokens in '{text}' must be 1 to {MOST:,}")
    most, sigma = _most(told, text, option), _sigma(told, text, option)
    if most is not None and stated >= most:
        raise UserError(option, "", f"'{text}' is cut off at {most:,}, which must be more than {stated:,}")
    return Lengths(stated, LogNormal(sigma, about_median, most) if sigma > 0.0 else FIXED)


def _sigma(told: Mapping[str, float], text: str | int, option: str) -> float:
    """Standard deviation of the logarithm, from itself or from the coefficient of variation."""
    if ("cv" in told) == ("sigma" in told):
        raise UserError(option, "", f"'{text}' needs cv (standard deviation / mean) or sigma (of the logarithm)")
    sigma = told["sigma"] if "sigma" in told else math.sqrt(math.log1p(told["cv"] ** 2))
    if not 0.0 <= sigma <= _MOST_SIGMA:
        raise UserError(option, "", f"the spread in '{text}' must be 0 to cv={_cv(_MOST_SIGMA):.0f}")
    return sigma


def _most(told: Mapping[str, float], text: str | int, option: str) -> int | None:
    if "most" not in told:
        return None
    if not 2 <= told["most"] <= MOST:
        raise UserError(option, "", f"most in '{text}' must be 2 to {MOST:,} tokens")
    return round(told["most"])


def _told(rest: str, names: tuple[str, ...], text: str | int, option: str) -> dict[str, float]:
    """The numbers in `name=value,name=value`, each name once. Raises UserError."""
    told: dict[str, float] = {}
    for part in rest.split(","):
        name, sign, value = (each.strip() for each in part.partition("="))
        number = plain(value)
        if not sign or name not in names or name in told or number is None:
            raise UserError(option, "", f"'{part.strip()}' in '{text}' is none of {', '.join(f'{n}=' for n in names)}")
        told[name] = number
    return told


def _whole(text: str, option: str) -> int:
    value = int(text) if len(text) < _LONGEST_NUMBER else MOST + 1
    if not 1 <= value <= MOST:
        raise UserError(option, "", f"{text} must be 1 to {MOST:,} tokens")
    return value


def _mistake(text: str | int, option: str, use: str) -> UserError:
    return UserError(option, "", f"'{text}' is no length; {use}")
