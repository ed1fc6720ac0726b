"""The products of weights that a model's layers chain, block by block: what writes into the residual stream once."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.workload.attention import Attention, Latent
from npusim.workload.checkpoint import EXPERTS, INPUT, MLP, OUTPUT
from npusim.workload.feeds import Experts
from npusim.workload.layers import Feed, Layer, Mixer
from npusim.workload.model import Model
from npusim.workload.sparse import Compressed


@dataclass(frozen=True)
class ChainedProduct:
    """A product of weights. name: for people; role: its part of the layer (`checkpoint.ROLES`); inputs: elements that
    each result is a sum over; times: products of this kind whose noises all reach the result (gate and up: 2)."""

    name: str
    role: str
    inputs: int
    times: int = 1


@dataclass(frozen=True)
class ResidualBlock:
    """What adds to the residual stream once. cached: it reads keys and values from a cache; formats: schemes of parts
    that the checkpoint stores unlike most weights, by their role."""

    products: tuple[ChainedProduct, ...]
    cached: bool = False
    formats: tuple[tuple[str, str], ...] = ()


def blocks_of(model: Model) -> tuple[ResidualBlock, ...]:
    """The blocks of all layers, in order."""
    return tuple(block for layer in model.layer_kinds for block in _of_layer(layer, model.hidden))


def _of_layer(layer: Layer, hidden: int) -> tuple[ResidualBlock, ...]:
    mixed = [ResidualBlock(_mixing(mixer, hidden), mixer.cached > 0, layer.formats) for mixer in layer.mixers]
    fed = [] if layer.feed is None else [ResidualBlock(_feeding(layer.feed, hidden), formats=layer.formats)]
    return (*mixed, *fed)


def _mixing(mixer: Mixer, hidden: int) -> tuple[ChainedProduct, ...]:
    first = ChainedProduct("input projection", INPUT, hidden)
    if isinstance(mixer, Attention):
        inner = [mixer.query_rank] if mixer.query_rank else []
        width = mixer.result
    elif isinstance(mixer, Latent):
        inner = [rank for rank in (mixer.query_rank, mixer.kv_rank) if rank]
        width = mixer.heads * mixer.value
    elif isinstance(mixer, Compressed):
        inner = [mixer.query_rank]
        width = mixer.heads * mixer.head_dim
    else:
        inner = [inputs for _, inputs in mixer.further]
        width = mixer.result
    further = (ChainedProduct("projection of a latent", INPUT, rank) for rank in inner)
    return (first, *further, ChainedProduct("output projection", OUTPUT, width))


def _feeding(feed: Feed, hidden: int) -> tuple[ChainedProduct, ...]:
    if isinstance(feed, Experts):
        up = ChainedProduct("expert, up", EXPERTS, feed.latent or hidden, feed.inputs)
        return (up, ChainedProduct("expert, down", EXPERTS, feed.width))
    return (ChainedProduct("MLP, up", MLP, hidden, feed.inputs), ChainedProduct("MLP, down", MLP, feed.width))
