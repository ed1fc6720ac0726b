"""Arithmetic: the operations of prompts and outputs take their time at the chip's dense peak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, Terms
from npusim.bounds.reading import LEAST, Reading
from npusim.units import MS_PER_S
from npusim.words import Phrase

NAME = "arithmetic"
_TOKENS_OF_A_REQUEST: dict[str, Callable[[BoundedLoad], float]] = {
    "output_tokens_per_s": lambda load: load.osl,
    "total_tokens_per_s": lambda load: load.isl + load.osl,
}


def arithmetic(load: BoundedLoad, figures: Mapping[str, Reading]) -> Iterator[Finding]:
    """Bounds on throughput and on the time to first token."""
    for metric, figure in figures.items():
        if metric in _TOKENS_OF_A_REQUEST or metric == "requests_per_s":
            yield arithmetic_throughput(load, metric, figure)
        elif metric.startswith("ttft_ms_") and load.prompts_differ:
            low, high = (MS_PER_S * first_token_s(terms, load, metric == "ttft_ms_mean") for terms in load.both)
            says = Phrase(
                "its time for the arithmetic of the prompts ({time} ms at the dense peak)", {"time": f"{low:.4g}"}
            )
            yield Finding(NAME, metric, low / max(figure.high, LEAST), high / max(figure.low, LEAST), says, low)


def arithmetic_throughput(load: BoundedLoad, metric: str, figure: Reading) -> Finding:
    """The bound on a rate of tokens or requests: arithmetic of a request times requests per second."""
    tokens = _TOKENS_OF_A_REQUEST[metric](load) if metric in _TOKENS_OF_A_REQUEST else 1
    low = figure.low / tokens * _request_s(load.generous, load)
    high = figure.high / tokens * _request_s(load.usual, load)
    limit = figure.low / low if low > 0.0 else None
    return Finding(NAME, metric, low, high, Phrase("the dense peak, for prompts and outputs"), limit)


def first_token_s(terms: Terms, load: BoundedLoad, mean: bool) -> float:
    """Least seconds to a first token; for a mean, over requests sent as soon as users are free.

    Of the first `users` requests, all there from the start, the k-th ends no sooner than k prompts take: least when
    they run one after the other.
    """
    own = terms.seconds_of(terms.demand.prompt_ops, load.chips)
    if not mean or load.users is None or load.requests is None:
        return own
    at_once = min(load.users, load.requests)
    return own * (at_once * (at_once + 1.0) / 2.0 + load.requests - at_once) / load.requests


def _request_s(terms: Terms, load: BoundedLoad) -> float:
    prompt = terms.seconds_of(terms.demand.prompt_ops, load.chips) if load.prompts_differ else 0.0
    return prompt + (load.osl - 1) * terms.seconds_of(terms.demand.token_ops, load.chips)
