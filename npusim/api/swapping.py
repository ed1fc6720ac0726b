"""Several models on the same cards: which stay in memory, and what swapping the others in takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Arch, Placing, configuration, deployed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option
from npusim.errors import UserError
from npusim.inputs.limits import MOST

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment

_MOST_READY_S = 1e5
"""More than a day."""


@dataclass(frozen=True)
class SwapOptions(Placing):
    """What `npusim swap` is asked."""

    arch: Arch
    models: Annotated[
        str | Sequence[str],
        Argument("Models, the one that is to stay in memory first: shipped names, aliases or paths.", "MODEL..."),
    ]
    _: KW_ONLY
    tiers: Annotated[
        Sequence[str],
        Option(
            "Memories from which weights are loaded, of arch_configs/tiers or by path, with another size if told.",
            names=("--from",),
            metavar="NAME[=SIZE],...",
            default="host-memory,nvme",
        ),
    ] = ("host-memory", "nvme")
    kv_tokens: Annotated[
        int,
        Option("Tokens of KV cache for which each model that stays has room.", metavar="N", least=1, most=MOST),
    ] = 1
    ready_s: Annotated[
        float | None,
        Option(
            "Seconds from loaded weights to the first step: graphs that are captured, programs that are loaded.",
            names=("--ready-time",),
            metavar="S",
            default="unknown, and left out",
            least=0,
            most=_MOST_READY_S,
        ),
    ] = None

    @property
    def names(self) -> list[str]:
        """The models, in the order in which they are to stay in memory. Raises UserError."""
        names = [self.models] if isinstance(self.models, str) else list(self.models)
        twice = next((name for name in names if names.count(name) > 1), None)
        if not names or twice is not None:
            raise UserError("MODEL", twice or "", "give at least one model, and each once")
        return names


@dataclass(frozen=True)
class SwapResult:
    """deployments: of each model; answer: everything, as the command line's JSON has it."""

    deployments: tuple[Deployment, ...]
    answer: Answer
    asked: SwapOptions

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("swap")


@asked_by(SwapOptions)
def swap(asked: SwapOptions) -> SwapResult:
    """Which models stay in memory together, and the time and rate of swaps of each. Raises UserError."""
    from npusim.answers.swapping import check_alike, pooled_models

    found = tuple(deployed(asked, asked.arch, name, asked.kv_tokens) for name in asked.names)
    check_alike(found)
    answer = pooled_models(found, asked.tiers, asked.kv_tokens, asked.ready_s)
    return SwapResult(found, answer | {"configurations": [configuration(each) for each in found]}, asked)
