"""How many drafted tokens of each step are accepted, drawn by the place of each in its answer."""

from __future__ import annotations

from npusim.compilation import entry
from npusim.engine.host import uniform

_PLACES = 1 << 32
"""More places than an answer has."""


@entry
def draw_tokens(profile, seed, requests, generated, remaining, out):
    """Fill `out` (steps, sequences) as `serving.drafts.Drafts.tokens` says."""
    for sequence in range(len(requests)):
        place, left = generated[sequence], remaining[sequence]
        for step in range(len(out)):
            accepted = 0
            while accepted < len(profile):
                if uniform(seed, requests[sequence] * _PLACES + place + accepted) >= profile[accepted]:
                    break
                accepted += 1
            out[step, sequence] = min(1 + accepted, left)
            place += out[step, sequence]
            left -= out[step, sequence]
