"""Brings instances through time together: whatever happens first happens first, in whichever of them it does.

At one time, steps end and answers are heard of, then requests are sent, and only then do turns begin: as in a server
that waits for all that happens at a time before it chooses its next step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from npusim.serving.instances.instance import Instance


class Sender(Protocol):
    """Sends requests to instances and hears of their answers. next_s: when it next does so by itself, or never (inf).

    reacts: whether it may send something when it hears of an answer, at that time.
    """

    @property
    def next_s(self) -> float: ...
    @property
    def reacts(self) -> bool: ...
    def hear(self, instance: int, ended: Sequence[int], now_s: float) -> None:
        """Requests of an instance were answered or refused; `now_s` is known to who reacts alone."""

    def send(self, now_s: float) -> Iterable[int]:
        """Send what is due now; the instances to which something was sent."""


def run_together(instances: Sequence[Instance], sender: Sender) -> None:
    """Let everything happen until nothing is left to."""
    clock = _Clock(instances, sender)
    while clock.go_on():
        pass


class _Clock:
    """next_s: when something next happens in each instance, float64 (instances,)."""

    def __init__(self, instances: Sequence[Instance], sender: Sender) -> None:
        self._instances, self._sender = instances, sender
        self._next_s = np.array([instance.next_s for instance in instances])

    def go_on(self) -> bool:
        """Let what is next happen. False where nothing is left."""
        sender, soonest_s = self._sender, float(self._next_s.min())
        now_s = min(sender.next_s, soonest_s)
        if now_s == math.inf:
            return False
        if not sender.reacts:
            self._advance(sender.next_s, True)
            self._send(sender.next_s)
            return True
        while self._advance(now_s, False) | self._send(now_s):
            pass
        self._advance(now_s, True)
        return True

    def _advance(self, until_s: float, may_begin: bool) -> bool:
        """Let every instance go on until then. Whether any answer was heard of."""
        heard = False
        for place in np.flatnonzero(self._next_s <= until_s).tolist():
            instance = self._instances[place]
            ended = instance.advance(until_s, may_begin)
            self._next_s[place] = instance.next_s
            if ended:
                heard = True
                self._sender.hear(place, ended, until_s)
        return heard

    def _send(self, now_s: float) -> bool:
        """Whether anything was sent."""
        sent = False
        for place in self._sender.send(now_s):
            sent = True
            self._next_s[place] = self._instances[place].next_s
        return sent
