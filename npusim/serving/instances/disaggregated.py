"""A run of a pool of prefill instances and a pool of decode instances, from its description to its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from npusim.errors import UserError
from npusim.mapping.deployment import Deployment
from npusim.mapping.plan import Plan
from npusim.serving.instances.clients import clients_of
from npusim.serving.instances.clock import run_together
from npusim.serving.instances.instance import CompiledInstance
from npusim.serving.instances.pools import Moved, PoolRouter
from npusim.serving.instances.routing import Balancer
from npusim.serving.instances.simulate import InstancesRun, instances_of
from npusim.serving.instances.together import CachesTogether, as_one_run
from npusim.serving.instances.transfer import KvBytes, Wire, Wires
from npusim.serving.load import Load
from npusim.serving.served import ServedRequests
from npusim.serving.simulate import ServedRun


@dataclass(frozen=True)
class PoolsRun:
    """whole: the run of all instances; prefill, decode: of those of each pool; moved: the transfers of KV."""

    whole: ServedRun
    prefill: InstancesRun
    decode: InstancesRun
    moved: Moved


def simulate_pools(
    prefill: Sequence[Deployment],
    decode: Sequence[Deployment],
    load: Load,
    seed: int,
    wire: Wire,
    policy: str,
    growth: float = 0.0,
) -> PoolsRun:
    """Serve `load`: prompts by an instance of each deployment of `prefill`, the other tokens by those of `decode`.

    wire: the link of each instance; policy: the routing in both pools (ROUTING); growth: as for
    `simulate_instances`. The same seed gives the same run. Raises DoesNotFit, UserError.
    """
    require_one_kind_of_kv([*prefill, *decode])
    sources, of_sources = instances_of(prefill, load, seed, prompts_alone=True, growth=growth)
    targets, of_targets = instances_of(decode, load, seed + len(prefill), growth=growth)
    router = PoolRouter(
        clients_of(load.arrival, len(load.prompts), seed),
        Balancer(sources, of_sources, policy),
        Balancer(targets, of_targets, policy),
        Wires(wire, len(sources), len(targets)),
        kv_bytes_of(decode[0]),
        _answered_by_prompts(load, decode),
        wire.layers > 1,
    )
    run_together([*sources, *targets], router)
    duration_s = max(each.last_s for each in [*sources, *targets])
    prompts, answers = ([each.served(duration_s) for each in pool] for pool in (sources, targets))
    _as_clients_saw(answers, prompts)
    whole = as_one_run([*_without(prompts, answers), *answers])
    told = as_one_run(prompts).kv
    counts = told.hit_tokens, told.asked_tokens, told.tiers, told.tier_hit_tokens
    kv = CachesTogether(whole.kv.peak, whole.kv.capacity, *counts)
    whole = replace(whole, kv=kv)
    return PoolsRun(whole, _pool(prompts, sources), _pool(answers, targets), router.moved)


def _answered_by_prompts(load: Load, decode: Sequence[Deployment]) -> list[bool]:
    """Whether each request is answered where its prompt is computed."""
    connectors = {each.runtime.connector for each in decode}
    here = all(each is None or each.first_token == "prefill" for each in connectors)
    return ((load.tokens[:, 1] == 1) & here).tolist()


def _pool(runs: Sequence[ServedRun], instances: Sequence[CompiledInstance]) -> InstancesRun:
    return InstancesRun(as_one_run(runs), tuple(runs), tuple(each.busy_s for each in instances))


def kv_bytes_of(deployment: Deployment) -> KvBytes:
    """Bytes of KV of a prompt, each head's once."""
    return deployment.fitting.footprint(Plan(1, 1)).kv_bytes


def require_one_kind_of_kv(deployments: Sequence[Deployment]) -> None:
    """Raises UserError where keys and values of some have another format than those of others."""
    formats = dict.fromkeys(each.precision.kv for each in deployments)
    if len(formats) > 1:
        first, second = list(formats)[:2]
        raise UserError(
            "--kv-precision", "", f"one pool has {first} and another {second} keys and values; give one for both"
        )


def _as_clients_saw(answers: Sequence[ServedRun], prompts: Sequence[ServedRun]) -> None:
    """Requests were due and sent when their prompts were."""
    sent = np.concatenate([_rows(run) for run in prompts])
    sent = sent[np.argsort(sent["index"])]
    for run in answers:
        rows = _rows(run)
        place = np.searchsorted(sent["index"], rows["index"])
        for name in ("due_s", "sent_s", "queued_s"):
            rows[name] = sent[name][place]


def _without(prompts: Sequence[ServedRun], answers: Sequence[ServedRun]) -> Iterator[ServedRun]:
    """The runs of prompts without the requests that others answered or refused."""
    refused = [request.index for run in answers for request in run.record.refused]
    answered = np.concatenate([*(_rows(run)["index"] for run in answers), np.array(refused, np.int64)])
    for run in prompts:
        alone = ~np.isin(_rows(run)["index"], answered)
        yield replace(run, record=replace(run.record, requests=_chosen(_requests(run), alone)))


def _chosen(requests: ServedRequests, among: np.ndarray) -> ServedRequests:
    return ServedRequests(requests.rows[among], lambda: list(compress(requests, among.tolist())))


def _requests(run: ServedRun) -> ServedRequests:
    assert isinstance(run.record.requests, ServedRequests)
    return run.record.requests


def _rows(run: ServedRun) -> np.ndarray:
    return _requests(run).rows
