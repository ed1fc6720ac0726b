"""Over how many servers requests are spread, and whether prompts are computed apart from the rest."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.deploying import Deploying, configuration, deployed
from npusim.api.options import Given, Option, Options
from npusim.errors import UserError
from npusim.inputs.limits import MOST_INSTANCES

if TYPE_CHECKING:
    from npusim.answers.pools import Pool
    from npusim.answers.predict import PlainFigures
    from npusim.serving.load import Load

_POOL = re.compile(r"(?P<count>[1-9]\d{0,3})(x(?P<arch>.+?))?(:(?P<plan>((tp|pp|ep|dp)\d+-?)+))?")


@dataclass(frozen=True, kw_only=True)
class Spreading(Options):
    """Over which servers requests are spread."""

    instances: Annotated[
        int, Option("Servers of the same kind that share the requests.", metavar="N", least=1, most=MOST_INSTANCES)
    ] = 1
    routing: Annotated[
        Literal["round_robin", "least_loaded", "prefix_aware"], Option("To which of several servers a request is sent.")
    ] = "round_robin"
    prefill: Annotated[
        str | None,
        Option(
            "Servers that compute prompts alone, of another architecture or under another plan if told: 2xh200:tp2.",
            metavar="N[xARCH][:PLAN]",
            only_with=("decode", Given),
        ),
    ] = None
    decode: Annotated[
        str | None,
        Option("Servers that decode what those compute.", metavar="N[xARCH][:PLAN]", only_with=("prefill", Given)),
    ] = None
    link: Annotated[
        str | None,
        Option(
            "Link over which KV goes from those to these, of arch_configs/links or by its path.",
            metavar="NAME|PATH",
            default="the architecture's network",
            only_with=("prefill", Given),
        ),
    ] = None
    layer_wise: Annotated[
        bool,
        Option("Send KV layer by layer while the prompt is computed, not after it.", only_with=("prefill", Given)),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prefill is not None and self.instances > 1:
            raise UserError("--instances", "", "--prefill and --decode say how many there are; leave it out")
        if self.routing != "round_robin" and self.instances == 1 and self.prefill is None:
            raise UserError("--routing", "", "applies to several servers alone; add --instances N, or leave it out")


def pools_of(
    asked: Deploying, spread: Spreading, arch: str, model: str, isl: int, osl: int
) -> tuple[Pool, Pool] | None:
    """The prefill pool and the decode pool; None where none are asked for. Raises UserError."""
    if spread.prefill is None or spread.decode is None:
        return None
    return (
        _pool_of(asked, "--prefill", spread.prefill, arch, model, isl + 1),
        _pool_of(asked, "--decode", spread.decode, arch, model, isl + osl),
    )


def _pool_of(asked: Deploying, option: str, told: str, arch: str, model: str, tokens: int) -> Pool:
    """The servers that an option tells as N[xARCH][:PLAN].

    Runtime and software are those asked for on the architecture of the command, a server's own on any other.
    """
    from npusim.answers.pools import Pool

    found = _POOL.fullmatch(told.strip())
    if found is None or int(found["count"]) > MOST_INSTANCES:
        raise UserError(option, told, f"tell at most {MOST_INSTANCES} servers as N, NxARCH or NxARCH:PLAN (2xh200:tp2)")
    own, plan = found["arch"] or arch, found["plan"]
    pool = asked if own == arch else replace(asked, runtime=None, software=None)
    if plan is not None:
        pool = replace(pool, plan=plan, cards=None, tensor_parallel=None)
    return Pool(deployed(pool, own, model, tokens), int(found["count"]))


def predict_spread(
    spread: Spreading, prefill: Pool, decode: Pool, load: Load, seed: int, interval: bool = False
) -> PlainFigures:
    """What a prefill pool and a decode pool score. Raises UserError."""
    from npusim.answers.on_device import device_left_out
    from npusim.answers.pools import Transfer, network_between, predict_pools

    runtime = decode.deployment.runtime
    if runtime.connector is None:
        warnings.warn(f"--decode: {runtime.name} describes no connector; KV moves as fast as the link", stacklevel=2)
    network = network_between(prefill.deployment, decode.deployment, spread.link)
    transfer = Transfer(network, spread.layer_wise)
    answer = predict_pools(prefill, decode, transfer, load, spread.routing, seed, interval)
    for name, pool in (("prefill", prefill), ("decode", decode)):
        answer["pools"][name] |= {"configuration": configuration(pool.deployment)}
        answer["pools"][name] |= device_left_out(pool.deployment, "instances")
    return answer
