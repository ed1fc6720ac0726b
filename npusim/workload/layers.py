"""A decoder layer: what mixes its tokens, what it feeds them through, and the norms between."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from npusim.workload.attention import Attention, Latent
from npusim.workload.checkpoint import EXPERTS, INPUT, MLP, OUTPUT, SHARED
from npusim.workload.feeds import Experts, Mlp
from npusim.workload.recurrent import Recurrent
from npusim.workload.sparse import Compressed

Mixer = Attention | Latent | Compressed | Recurrent
Feed = Mlp | Experts


class Layer(NamedTuple):
    """mixer, feed: its two parts, of which some families have one a layer.

    beside: a second mixer, which reads the same input as the first; side: columns of a low-rank product beside all
    (LAuReL, per-layer inputs of Gemma); streams: residual streams between which every part mixes (hyper-connections,
    arXiv 2409.19606), 0 for the usual one.
    parallel: both parts read the same input, and their results are summed once; norms: norms ahead of (or behind) the
    parts; further_norms: norms of the parts' results beside these; vectors: parameters of all its norms; formats:
    scheme of the parts that the checkpoint stores unlike most weights, by their role.
    """

    mixer: Mixer | None
    feed: Feed | None
    norms: int = 2
    further_norms: int = 0
    vectors: int = 0
    parallel: bool = False
    beside: Mixer | None = None
    side: int = 0
    streams: int = 0
    formats: tuple[tuple[str, str], ...] = ()

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """Its mixers: none, one, or two beside each other."""
        return tuple(mixer for mixer in (self.mixer, self.beside) if mixer is not None)

    @property
    def window(self) -> int:
        """Tokens that its attention may look back, 0 for all, negative for those of a chunk."""
        return self.mixer.window if self.mixer else 0

    @property
    def routed(self) -> bool:
        """Whether it has experts."""
        return isinstance(self.feed, Experts)

    def parameters(self, hidden: int, chosen: bool = False) -> int:
        """All its parameters; chosen: of the routed experts those that a token is multiplied with."""
        total = self.vectors + 2 * hidden * self.side + self.stream_parameters(hidden)
        for mixer in self.mixers:
            total += mixer.matrices(hidden) + mixer.vectors(hidden)
        if isinstance(self.feed, Experts):
            counted = self.feed.computed if chosen else self.feed.count
            total += self.feed.matrices(hidden, counted) + self.feed.vectors(hidden, counted)
        elif self.feed is not None:
            total += self.feed.matrices(hidden) + self.feed.vectors(hidden)
        return total

    def role_parameters(self, hidden: int) -> dict[str, int]:
        """Parameters of the products of each part (`checkpoint.ROLES`), those of the mixers in equal halves."""
        mixed = sum(mixer.matrices(hidden) for mixer in self.mixers)
        sizes = {INPUT: mixed // 2, OUTPUT: mixed // 2}
        if isinstance(self.feed, Experts):
            beside = replace(self.feed, shared_width=0)
            sizes[SHARED] = self.feed.matrices(hidden, 0) - beside.matrices(hidden, 0)
            sizes[EXPERTS] = beside.matrices(hidden, self.feed.count)
        elif self.feed is not None:
            sizes[MLP] = self.feed.matrices(hidden)
        return sizes

    def stream_parameters(self, hidden: int) -> int:
        """Parameters that mix the residual streams: for each part, weights made of all for all pairs of them."""
        parts = len(self.mixers[:1]) + (self.feed is not None)
        return parts * self.mixed_streams * (self.streams * hidden + 1) + (parts * 3 if self.streams else 0)

    @property
    def mixed_streams(self) -> int:
        """Weights between residual streams: into a part, out of it, and from each to each."""
        return self.streams * (2 + self.streams)

    def summary(self) -> dict[str, object]:
        """Its mechanisms as plain JSON values."""
        return {
            "mixer": " + ".join(_named(mixer) for mixer in self.mixers) or None,
            "feed": type(self.feed).__name__.lower() if self.feed else None,
            "window": self.window,
            "routed": self.routed,
            **({"formats": dict(self.formats)} if self.formats else {}),
        }


def _named(mixer: Mixer) -> str:
    return mixer.kind if isinstance(mixer, Recurrent) else type(mixer).__name__.lower()
