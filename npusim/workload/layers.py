"""A decoder layer: what mixes its tokens, what it feeds them through, and the norms between."""

from __future__ import annotations

from typing import NamedTuple

from npusim.workload.attention import Attention, Latent
from npusim.workload.feeds import Experts, Mlp

Mixer = Attention | Latent
Feed = Mlp | Experts


class Layer(NamedTuple):
    """mixer, feed: its two parts, of which some families have one a layer.

    parallel: both parts read the same input, and their results are summed once; norms: norms ahead of (or behind) the
    parts; further_norms: norms of the parts' results beside these; vectors: parameters of all its norms.
    """

    mixer: Mixer | None
    feed: Feed | None
    norms: int = 2
    further_norms: int = 0
    vectors: int = 0
    parallel: bool = False

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
        total = self.vectors
        if self.mixer is not None:
            total += self.mixer.matrices(hidden) + self.mixer.vectors(hidden)
        if isinstance(self.feed, Experts):
            counted = self.feed.computed if chosen else self.feed.count
            total += self.feed.matrices(hidden, counted) + self.feed.vectors(hidden, counted)
        elif self.feed is not None:
            total += self.feed.matrices(hidden) + self.feed.vectors(hidden)
        return total

    def summary(self) -> dict[str, object]:
        """Its mechanisms as plain JSON values."""
        return {
            "mixer": type(self.mixer).__name__.lower() if self.mixer else None,
            "feed": type(self.feed).__name__.lower() if self.feed else None,
            "window": self.window,
            "routed": self.routed,
        }
