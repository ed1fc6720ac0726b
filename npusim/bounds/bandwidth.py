"""Memory bandwidth: every step reads the weights once, and every sequence in it its own keys and values.

Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4), with the bytes of a decode step. What the chip keeps of the
weights in its own memory is not read; prompts that may be the same are read once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from npusim.bounds.capacity import most_in_service
from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, Terms
from npusim.bounds.reading import LEAST, Reading
from npusim.units import MS_PER_S
from npusim.words import Phrase

NAME = "memory bandwidth"
Least = Callable[[Terms, BoundedLoad], float]
_STEP = Phrase("reading the weights and one sequence's KV")
_WEIGHTS = Phrase("reading the weights once")
_ANSWER = Phrase("reading the weights and its KV at every token")


def bandwidth(load: BoundedLoad, figures: Mapping[str, Reading]) -> Iterator[Finding]:
    """Bounds on output throughput, and on the times of first tokens, of further ones, and of whole answers."""
    if "output_tokens_per_s" in figures:
        yield load.of_steps(bandwidth_throughput(load, figures["output_tokens_per_s"]))
    for metric, figure in figures.items():
        if metric.startswith("tpot_ms_") and load.osl > 1:
            yield load.of_steps(_latency(load, metric, figure, _step_s, _STEP))
        elif metric.startswith("ttft_ms_"):
            yield _latency(load, metric, figure, _weights_s, _WEIGHTS)
        elif metric.startswith("e2e_ms_"):
            yield load.of_steps(_latency(load, metric, figure, _answer_s, _ANSWER))


def bandwidth_throughput(load: BoundedLoad, figure: Reading, static: bool = False) -> Finding:
    """The bound on output tokens/s; static: room for each sequence's end is set aside when it starts."""
    low = figure.low * bytes_per_token(load.generous, load, static) / _rate(load.generous, load)
    high = figure.high * bytes_per_token(load.usual, load, static) / _rate(load.usual, load)
    batch = most_in_service(load.generous, load, static) * load.tokens_per_step
    told = {"rate": _rate_text(load), "batch": f"{batch:,.0f}"}
    says = Phrase("{rate} TB/s at {batch} sequences a step", told)
    limit = figure.low / low if low > 0.0 else None
    return Finding(NAME, "output_tokens_per_s", low, high, says, limit, load.generous.ceiling.sustained)


def bytes_per_token(terms: Terms, load: BoundedLoad, static: bool = False) -> float:
    """Least bytes read for one decoded token."""
    batch = most_in_service(terms, load, static)
    own = terms.demand.kv_bytes
    if not load.prompts_differ:
        own -= terms.demand.shared_kv_bytes * (1.0 - 1.0 / batch)
    return (_weights(terms, load) / batch + own) / load.tokens_per_step


def _latency(load: BoundedLoad, metric: str, figure: Reading, least: Least, what: Phrase) -> Finding:
    low, high = least(load.generous, load) * MS_PER_S, least(load.usual, load) * MS_PER_S
    told = {"what": what, "time": f"{low:.4g}", "rate": _rate_text(load)}
    says = Phrase("its time for {what} ({time} ms at {rate} TB/s)", told)
    reached = load.generous.ceiling.sustained
    return Finding(NAME, metric, low / _positive(figure.high), high / _positive(figure.low), says, low, reached)


def _positive(milliseconds: float) -> float:
    return max(milliseconds, LEAST)


def _step_s(terms: Terms, load: BoundedLoad) -> float:
    """Seconds that one token of a sequence alone takes."""
    return (_weights(terms, load) + terms.demand.kv_bytes) / _rate(terms, load) / load.tokens_per_step


def _answer_s(terms: Terms, load: BoundedLoad) -> float:
    """Seconds that a request alone takes: its prompt reads the weights once, and every further token all again."""
    return _weights_s(terms, load) + (load.osl - 1) * _step_s(terms, load)


def _weights_s(terms: Terms, load: BoundedLoad) -> float:
    return _weights(terms, load) / _rate(terms, load)


def _weights(terms: Terms, load: BoundedLoad) -> float:
    return max(0.0, terms.demand.step_bytes - terms.ceiling.on_chip_bytes * load.chips)


def _rate_text(load: BoundedLoad) -> str:
    return f"{_rate(load.generous, load) / 1e12:,.3f}"


def _rate(terms: Terms, load: BoundedLoad) -> float:
    return terms.ceiling.bandwidth_bytes_per_s * load.chips
