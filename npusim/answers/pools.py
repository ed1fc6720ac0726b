"""A serving run of a prefill pool and a decode pool, as plain JSON-ready figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npusim.answers.energy import energy_reconciliation
from npusim.answers.instances import instances_figures
from npusim.answers.predict import PlainFigures, run_figures, with_intervals
from npusim.errors import UserError
from npusim.hardware.server_link import ServerLink, drawn_links, load_server_link
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.disaggregated import PoolsRun, kv_bytes_of, simulate_pools
from npusim.serving.instances.pool import Pool
from npusim.serving.instances.rates import answers_per_s, prompts_per_s, transfers_per_s
from npusim.serving.instances.simulate import InstancesRun
from npusim.serving.instances.transfer import Wire
from npusim.serving.instances.uncertainty import drawn_pools, pools_draws
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics, Sample, measure
from npusim.serving.uncertainty import DRAWS, interval
from npusim.units import MS_PER_S, US_PER_S
from npusim.workload.arrivals import Burst, Closed, users_of

_STATISTICS = ("mean", "p50", "p90", "p99")
DEMAND = "demand"
"""What binds where fewer requests come than any part could bear."""


@dataclass(frozen=True)
class Transfer:
    """network: the link between the pools; layer_wise: whether KV is sent while a prompt is computed."""

    network: ServerLink
    layer_wise: bool

    def wire(self, prefill: Pool, decode: Pool) -> Wire:
        """The link of each instance: of unlike ones, that with the fewest cards; with what the connector of the decode
        pool's runtime adds."""
        cards = min(pool.instances[0].plan.cards for pool in (prefill, decode))
        layers = decode.deployment.model.layers if self.layer_wise else 1
        record = decode.deployment.runtime_record[0]
        rate, setup_s = float(record["connector_rate"]), float(record["connector_setup_time"])
        own = self.network.rate_bytes_per_s(cards)
        if math.isnan(rate):
            return Wire(own, self.network.link.latency.value, layers)
        return Wire(min(own, rate * cards), self.network.link.latency.value + setup_s, layers)


def network_between(prefill: Deployment, decode: Deployment, name: str | None) -> ServerLink:
    """The link of that name; by default what joins servers of both kinds, the slower of two. Raises UserError."""
    if name is not None:
        return load_server_link(name)
    found = []
    for each in (prefill, decode):
        if each.system.server.network is None:
            raise UserError("--link", "", f"what joins servers of {each.system.name} is unknown; name a link")
        found.append(load_server_link(each.system.server.network))
    return min(found, key=lambda network: network.rate_bytes_per_s(1))


def predict_pools(
    prefill: Pool,
    decode: Pool,
    transfer: Transfer,
    load: Load,
    routing: str,
    seed: int,
    interval_wanted: bool = False,
) -> dict[str, Any]:
    """The figures of a run over both pools; beside them `transfer_ms` and, under `pools`, what each pool did and could
    do, and which part binds. Figures and `transfer_ms` become {value, low, high} with `interval_wanted`; what stands
    under `pools` is of the given numbers. Raises UserError."""
    wire = transfer.wire(prefill, decode)
    run = simulate_pools(prefill.instances, decode.instances, load, seed, wire, routing)
    metrics = measure(run.whole)
    rates = _rates(prefill, decode, wire, load, seed)
    told = {"energy_reconciliation": energy_reconciliation(decode.deployment)}
    pools = {
        "routing": routing,
        "prefill": _pool(run.prefill, rates.get("prefill")),
        "decode": _pool(run.decode, rates.get("decode")),
        "transfer": {
            "first_token": first_token_of(decode.deployment),
            **_transfer(transfer, wire, run, rates.get("transfer")),
        },
        "binding": min(rates, key=lambda name: rates[name]),
    }
    figures = run_figures(metrics) | {"transfer_ms": _moved_ms(run)}
    if interval_wanted:
        figures = _ranged(prefill, decode, transfer, load, routing, seed, metrics, figures)
    return figures | told | {"pools": pools}


def _moved_ms(run: PoolsRun) -> dict[str, float]:
    return Sample(np.array(run.moved.waited_s) * MS_PER_S).statistics(_STATISTICS)


def _ranged(
    prefill: Pool,
    decode: Pool,
    transfer: Transfer,
    load: Load,
    routing: str,
    seed: int,
    metrics: RunMetrics,
    figures: PlainFigures,
) -> PlainFigures:
    """The figures with their intervals; times of transfers, of which nothing was measured, by the draws alone."""
    wires = (replace(transfer, network=each).wire for each in drawn_links(transfer.network, DRAWS, seed))
    runs = drawn_pools(prefill, decode, wires, load, routing, seed)
    joint = pools_draws(prefill, decode, load, metrics, runs, seed)
    moved, drawn = figures.pop("transfer_ms"), [_moved_ms(run) for run in runs]
    ends = {name: interval(value, [each[name] for each in drawn]) for name, value in moved.items()}
    return with_intervals(figures, joint) | {
        "transfer_ms": {name: {"value": moved[name], "low": low, "high": high} for name, (low, high) in ends.items()}
    }


def first_token_of(decode: Deployment) -> str:
    """Which pool puts out first tokens: prefill, unless the connector of the decode pool's runtime says so."""
    connector = decode.runtime.connector
    return "prefill" if connector is None else connector.first_token


def _rates(prefill: Pool, decode: Pool, wire: Wire, load: Load, seed: int) -> dict[str, float]:
    """Requests a second that each part could bear, and that come."""
    isl, osl = (round(float(each)) for each in load.tokens.mean(axis=0))
    count = len(load.prompts)
    users = users_of(load.arrival) or count
    sources, targets = prefill.instances, decode.instances
    rates = {"prefill": prompts_per_s(sources, isl)}
    if osl > 1:
        rates["decode"] = answers_per_s(targets, isl, osl, users)
        kv_bytes = kv_bytes_of(decode.deployment)(isl)
        rates["transfer"] = transfers_per_s(wire, kv_bytes, len(sources), len(targets))
    if not isinstance(load.arrival, Closed | Burst):
        last_s = float(load.arrival.times_s(count, seed).max())
        rates[DEMAND] = count / last_s if last_s else math.inf
    return rates


def _pool(run: InstancesRun, rate: float | None) -> dict[str, Any]:
    metrics = measure(run.whole)
    return {
        "power_w_mean": metrics["power_w_mean"],
        "kv_peak_fraction": metrics["kv_peak_fraction"],
        "requests_per_s_possible": rate,
        **instances_figures(run),
    }


def _transfer(transfer: Transfer, wire: Wire, run: PoolsRun, rate: float | None) -> dict[str, Any]:
    return {
        "link": transfer.network.name,
        "layer_wise": transfer.layer_wise,
        "bytes_per_s": wire.rate_bytes_per_s,
        "latency_us": wire.latency_s * US_PER_S,
        "kv_bytes": sum(run.moved.kv_bytes),
        "requests_per_s_possible": rate,
    }
