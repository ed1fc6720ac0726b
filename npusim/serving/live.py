"""The sequences that decode together, as arrays that the engine's compiled runs read."""

from __future__ import annotations

from itertools import compress

import numpy as np

from npusim.serving.request import Request

_ROOM = 64
"""Sequences for which arrays have room at first: they grow."""


class Live:
    """Requests that decode, in the order in which they joined, and arrays along them.

    held: KV tokens that each holds; remaining: tokens that it still puts out; last_s: when it put out its last one.
    The arrays are the used parts of longer ones, so that joining and leaving copies no more than it must.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._held = np.zeros(_ROOM, np.int64)
        self._remaining = np.zeros(_ROOM, np.int64)
        self._last_s = np.zeros(_ROOM)

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def held(self) -> np.ndarray:
        return self._held[: len(self.requests)]

    @property
    def remaining(self) -> np.ndarray:
        return self._remaining[: len(self.requests)]

    @property
    def last_s(self) -> np.ndarray:
        return self._last_s[: len(self.requests)]

    def join(self, request: Request, held: int, now_s: float) -> None:
        """A request whose prompt is computed, and with it a token."""
        index = len(self.requests)
        if index == len(self._held):
            self._held, self._remaining, self._last_s = (
                np.concatenate([each, np.zeros_like(each)]) for each in (self._held, self._remaining, self._last_s)
            )
        self.requests.append(request)
        self._held[index], self._remaining[index], self._last_s[index] = held, request.osl - request.generated, now_s

    def advance(self, steps: int, now_s: float) -> None:
        """Each put out `steps` tokens, the last of them now."""
        held, remaining, last_s = self.held, self.remaining, self.last_s
        held += steps
        remaining -= steps
        last_s[:] = now_s

    def leave(self, staying: np.ndarray) -> list[tuple[Request, int]]:
        """Requests that are not among `staying` (bool, one each) leave, with the KV tokens that each holds."""
        gone = []
        for index in np.flatnonzero(~staying).tolist():
            request = self.requests[index]
            request.last_token_s = float(self._last_s[index])
            request.generated = request.osl - int(self._remaining[index])
            gone.append((request, int(self._held[index])))
        kept = [each[staying] for each in (self.held, self.remaining, self.last_s)]
        self.requests = list(compress(self.requests, staying.tolist()))
        for room, used in zip((self._held, self._remaining, self._last_s), kept, strict=True):
            room[: len(used)] = used
        return gone

    def leave_last(self) -> tuple[Request, int]:
        """The request that joined last leaves, with the KV tokens that it holds."""
        staying = np.ones(len(self.requests), np.bool_)
        staying[-1] = False
        return self.leave(staying)[0]
