"""What one instance asks of its host at the planned load, as far as descriptions tell; unknown otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from npusim.engine.speculation import analytic_engine
from npusim.hardware.kv_tier import load_kv_tier
from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import RunMetrics
from npusim.units import MS_PER_S

_FRONT_END = "host.request_time holds the client's way to the server too"


@dataclass(frozen=True)
class HostDemand:
    """cores: processor seconds a second by what they are spent on; memory_bytes, link_bytes_per_s (from the cards to
    the host), network_bytes_per_s: None where not told; unknown: why not, by name."""

    cores: Mapping[str, float]
    memory_bytes: float | None = None
    link_bytes_per_s: float | None = None
    network_bytes_per_s: float | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_cores(self) -> float:
        return sum(self.cores.values())


def host_demand(where: Deployment, metrics: RunMetrics, rate_per_s: float, tokens: tuple[float, float]) -> HostDemand:
    """Of an instance under `rate_per_s` requests/s; metrics: its figures; tokens: of prompt and output in the mean."""
    cores = _cores(where, metrics, rate_per_s, tokens)
    unknown = {
        "network_bytes_per_s": "no description tells the bytes of text that a token has",
        "cores": f"a lower limit: processes beside the server's own are not described; {_FRONT_END}",
    }
    memory = _memory(where)
    if memory is None:
        unknown["memory_bytes"] = f"the description of {where.runtime.name} tells no memory of the host"
    link = None
    if where.runtime.host.sampling == "host":
        link = analytic_engine(where).logit_bytes * rate_per_s * tokens[1]
    else:
        unknown["link_bytes_per_s"] = (
            f"{where.runtime.name} samples on the chip; bytes of what goes to the host are not told"
        )
    return HostDemand(cores, memory, link, None, unknown)


def _cores(where: Deployment, metrics: RunMetrics, rate_per_s: float, lengths: tuple[float, float]) -> dict[str, float]:
    """Host times of the runtime, each as often as it happens: a step for every token of a sequence, a sampled token
    (of runtimes that sample on the host), a token that goes to a client, a request that comes in, a token of its
    prompt."""
    isl, osl = lengths
    record, tokens = where.runtime_record[0], rate_per_s * osl
    steps = MS_PER_S / metrics["tpot_ms_mean"] * where.plan.data_parallel / where.tokens_per_step
    sampled = tokens if where.runtime.host.sampling == "host" else 0.0
    often = {
        "host_step_time": steps,
        "host_sampling_time": sampled,
        "host_token_time": tokens,
        "host_intake_time": rate_per_s,
        "host_intake_token_time": rate_per_s * isl,
        "host_request_time": rate_per_s,
    }
    times = {name: float(record[name]) for name in often}
    return {name.removeprefix("host_"): often[name] * each for name, each in times.items() if not math.isnan(each)}


def _memory(where: Deployment) -> float | None:
    """Bytes of the lower tiers of the prefix cache that the host's memory holds; None without any."""
    tiers = [load_kv_tier(each) for each in where.runtime.kv.tiers]
    held = [size for tier, size in tiers if tier.name == "host-memory"]
    return sum(held) if held else None
