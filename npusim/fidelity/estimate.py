"""The numerical fidelity of a model under schemes: signal-to-noise ratios from drawn products of its own shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npusim.fidelity.assumptions import SchemeQuantisers, fidelity_table, kv_quantiser, quantisers_of
from npusim.fidelity.blocks import ChainedProduct, ResidualBlock, blocks_of
from npusim.fidelity.composition import composed_noise
from npusim.fidelity.noise import decibels
from npusim.fidelity.samples import NONE, Noise, ProductNoise, cache_noise, product_noises
from npusim.inputs import remembered
from npusim.ledger import Quantity
from npusim.workload.checkpoint import UNQUANTISED
from npusim.workload.model import Model

_Key = tuple[int, SchemeQuantisers, bool]
"""Of a product: inputs, scheme, whether the checkpoint stores the weights so."""
_DIGITS = 3
"""Of ratios in dB: the last bits of a sum depend on the machine that adds."""


@dataclass(frozen=True)
class PartFidelity:
    """A kind of product. scheme: its quantisers; inputs: elements of a sum; noise: of the product and its tensors."""

    name: str
    scheme: str
    inputs: int
    noise: ProductNoise


@dataclass(frozen=True)
class Fidelity:
    """kv: format of the cache; reference: the checkpoint is stored in this scheme, or in one whose activations are
    narrower; noise: of the logits, the ends of all ranges together; cache: of keys and values; parts: of each kind of
    product."""

    scheme: SchemeQuantisers
    kv: str
    reference: bool
    noise: Noise
    cache: Noise
    parts: tuple[PartFidelity, ...]

    @property
    def sqnr_db(self) -> Noise:
        """Signal-to-quantisation-noise ratio of the logits, in dB."""
        return ratio_db(self.noise)


def ratio_db(noise: Noise) -> Noise:
    """Ratios in dB of shares of noise: the least of the ratio belongs to the most noise."""
    return Noise(*(round(decibels(share), _DIGITS) for share in (noise.value, noise.high, noise.low)))


def own_scheme(model: Model) -> str:
    """The scheme in which the checkpoint is stored."""
    return model.checkpoint.scheme if model.checkpoint else UNQUANTISED


@remembered
def estimate(model: Model, schemes: tuple[SchemeQuantisers, ...], kv: str, seed: int) -> tuple[Fidelity, ...]:
    """The fidelity of each scheme. kv: format of the cache (bf16, fp8, int8); seed: of the drawn products.

    The reference multiplies the weights that the checkpoint stores, and rounds nothing. LM head and embedding stay in
    16 bits.
    """
    blocks = blocks_of(model)
    kinds = tuple(dict.fromkeys(blocks))
    keys = [_key(model, block, each, scheme) for scheme in schemes for block in kinds for each in block.products]
    head = (model.hidden, quantisers_of(UNQUANTISED), True)
    noises = _noises([*keys, head], seed)
    cache = cache_noise(kv_quantiser(kv), max(1, _cached(model)), seed)
    found = []
    for scheme in schemes:
        added = {block: _added(model, block, scheme, noises, cache) for block in kinds}
        noise = _composed([added[block] for block in blocks], model.layers) + noises[head].result
        parts = dict.fromkeys(
            PartFidelity(each.name, key[1].name, key[0], noises[key])
            for block in kinds
            for each in block.products
            for key in [_key(model, block, each, scheme)]
        )
        found.append(Fidelity(scheme, kv, _is_reference(model, scheme), noise, cache, tuple(parts)))
    return tuple(found)


def _cached(model: Model) -> int:
    """Elements that a token leaves in the cache of the layer that keeps most of it."""
    return max((mixer.cached for layer in model.layer_kinds for mixer in layer.mixers), default=0)


def _noises(keys: Sequence[_Key], seed: int) -> Mapping[_Key, ProductNoise]:
    """The noise of every product, each drawn once."""
    found: dict[_Key, ProductNoise] = {}
    for inputs in dict.fromkeys(key[0] for key in keys):
        asked = list(dict.fromkeys((scheme, stored) for length, scheme, stored in keys if length == inputs))
        found |= {(inputs, *key): noise for key, noise in product_noises(inputs, asked, seed).items()}
    return found


def _added(
    model: Model, block: ResidualBlock, scheme: SchemeQuantisers, noises: Mapping[_Key, ProductNoise], cache: Noise
) -> Noise:
    """What the products of a block add to its output, and what it reads from a cache."""
    total = cache if block.cached else NONE
    for each in block.products:
        total += noises[_key(model, block, each, scheme)].result.times(each.times)
    return total


def _composed(blocks: list[Noise], layers: int) -> Noise:
    """The noise of the residual stream behind all blocks, of which a layer has one or more."""
    residual = fidelity_table().residual
    return composed_noise(blocks, _range(residual.growth, layers / len(blocks)), _range(residual.carry))


def _range(quantity: Quantity, power: float = 1.0) -> Noise:
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    return Noise(quantity.value**power, low**power, high**power)


def _key(model: Model, block: ResidualBlock, each: ChainedProduct, scheme: SchemeQuantisers) -> _Key:
    """Its scheme is that of the part where the model runs in the formats of its checkpoint."""
    own = dict(block.formats).get(each.role) if scheme.scheme == own_scheme(model) and not scheme.variant else None
    if own is not None:
        return each.inputs, quantisers_of(own), True
    return each.inputs, scheme, _stores(model, scheme)


def _stores(model: Model, scheme: SchemeQuantisers) -> bool:
    """Whether the weights of the checkpoint lose nothing: they are stored so, or 16 bits hold what is stored."""
    return scheme.weights.format == UNQUANTISED or scheme.weights == quantisers_of(own_scheme(model)).weights


def _is_reference(model: Model, scheme: SchemeQuantisers) -> bool:
    own = quantisers_of(own_scheme(model))
    return _stores(model, scheme) and scheme.activations.format in (UNQUANTISED, own.activations.format)
