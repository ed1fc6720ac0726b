"""A request on its way through the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from npusim.workload.prompts import Prompt


def _nobody() -> None:
    """No client waits."""


@dataclass(slots=True, eq=False)
class Request:
    """prompt: its segments; isl, osl: tokens in and out; times in seconds of simulated time.

    intake_s: for which the front end is busy with it; admitted_s: when it first got KV blocks; generated: tokens put
    out so far; computed: prompt tokens whose KV is there; blocks: KV blocks that it alone holds; load_s: for which KV
    from lower tiers is loaded before its next chunk; path: nodes of the prefix cache that it keeps from eviction;
    goes_on: the prompt that begins with its own and its answer, () for none; done: called when it is answered or
    refused.
    """

    index: int
    prompt: Prompt
    isl: int
    osl: int
    due_s: float = 0.0
    sent_s: float = 0.0
    queued_s: float = 0.0
    intake_s: float = 0.0
    admitted_s: float = -1.0
    first_token_s: float = -1.0
    last_token_s: float = -1.0
    generated: int = 0
    computed: int = 0
    blocks: float = 0
    path: list[Any] = field(default_factory=list)
    preemptions: int = 0
    refusal: str = ""
    load_s: float = 0.0
    goes_on: Prompt = ()
    done: Callable[[], None] = _nobody

    @property
    def to_prefill(self) -> int:
        """Tokens whose KV the next token needs: the prompt, and what was generated before a pre-emption."""
        return self.isl + self.generated

    @property
    def longest(self) -> int:
        """Tokens of KV that it holds at its end: the last token put out is never read back."""
        return self.isl + self.osl - 1
