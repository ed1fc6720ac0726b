"""Drawn rows of weights and activations, and the noise of their products under a scheme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.fidelity.assumptions import Accumulation, KvQuantiser, SchemeQuantisers, SignalSpread, ends, signal_spreads
from npusim.fidelity.noise import noise_share, summed_product
from npusim.fidelity.quantiser import quantised

_ELEMENTS = 2**16
"""Elements of each drawn matrix: whole rows, so that what shares a scale is of its true length."""
_FEWEST, _MOST = 8, 32
"""Rows that are drawn."""

Draw = tuple[np.ndarray, np.ndarray]
"""Activations (tokens x inputs) and weights (outputs x inputs), float64."""


def drawn(inputs: int, spread: SignalSpread, seed: int) -> Draw:
    """Activations and weights of a product over `inputs` elements; the same seed draws alike for every scheme."""
    rows = min(_MOST, max(_FEWEST, _ELEMENTS // inputs))
    # One seed for all corners of the ranges, so that differences between them are no chance.
    generator = np.random.default_rng([seed, inputs])
    tail, share, scale = spread
    weights = generator.standard_normal((rows, inputs))
    channels = generator.permutation(inputs)[: max(1, round(share * inputs))]
    activations = generator.standard_t(tail, (rows, inputs))
    activations[:, channels] *= scale
    return activations, weights


@dataclass(frozen=True)
class Noise:
    """Shares of noise (noise power / signal power) at the assumed values, and the least and the most of the ranges."""

    value: float
    low: float
    high: float

    @classmethod
    def over(cls, found: Iterable[float]) -> Noise:
        """Of shares at the values, then at other places of the ranges."""
        first, *others = found
        return cls(first, min(first, *others), max(first, *others))

    def __add__(self, other: Noise) -> Noise:
        return Noise(self.value + other.value, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Noise:
        return Noise(self.value * factor, self.low * factor, self.high * factor)


NONE = Noise(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ProductNoise:
    """Noise of a product, and of the tensors that are multiplied."""

    result: Noise
    weights: Noise
    activations: Noise


def product_noises(
    inputs: int, asked: Sequence[tuple[SchemeQuantisers, bool]], seed: int
) -> dict[tuple[SchemeQuantisers, bool], ProductNoise]:
    """The noise of a product over `inputs` elements, by scheme and whether its weights are stored as it has them."""
    found: dict[tuple[SchemeQuantisers, bool], list[tuple[list[float], float, float]]] = {}
    for spread in signal_spreads():
        draw = drawn(inputs, spread, seed)
        for scheme, stored in asked:
            found.setdefault((scheme, stored), []).append(_noise_of(draw, scheme, stored))
    return {
        key: ProductNoise(
            Noise.over(share for shares, _, _ in each for share in shares),
            Noise.over(weights for _, weights, _ in each),
            Noise.over(activations for _, _, activations in each),
        )
        for key, each in found.items()
    }


def _noise_of(draw: Draw, scheme: SchemeQuantisers, stored: bool) -> tuple[list[float], float, float]:
    """Shares of noise of the result, of the weights and of the activations.

    Of the result at each number of terms that are summed exactly, the assumed one first.
    """
    activations, weights = draw
    # Weights that the checkpoint stores in this format are what the reference multiplies, too.
    kept = quantised(weights, scheme.weights)
    reference = kept if stored else weights
    exact = summed_product(activations, reference)
    multiplied = quantised(activations, scheme.activations)
    results = [
        noise_share(exact, summed_product(multiplied, kept, accumulator, terms))
        for accumulator, terms in _sums(scheme.accumulation)
    ]
    return results, noise_share(reference, kept), noise_share(activations, multiplied)


def _sums(accumulation: Accumulation | None) -> list[tuple[str | None, int]]:
    if accumulation is None:
        return [(None, 1)]
    return [(accumulation.format, int(terms)) for terms in ends(accumulation.terms)]


def cache_noise(how: KvQuantiser, elements: int, seed: int) -> Noise:
    """The noise of keys and values; elements: those of one token in a layer's cache."""
    tokens = (drawn(elements, spread, seed)[0] for spread in signal_spreads())
    return Noise.over(noise_share(each, quantised(each, how)) for each in tokens)
