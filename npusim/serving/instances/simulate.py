"""A run of several instances behind a router, from its description to its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.engine.speculation import analytic_engine
from npusim.hardware.runtime import SlotShapes
from npusim.mapping.deployment import Deployment
from npusim.mapping.plan import Plan
from npusim.serving.instances.clients import clients_of
from npusim.serving.instances.clock import run_together
from npusim.serving.instances.instance import CompiledInstance
from npusim.serving.instances.routing import Balancer, Router
from npusim.serving.instances.together import as_one_run
from npusim.serving.load import Load
from npusim.serving.scheduler.make import progress_of
from npusim.serving.simulate import ServedRun, Service, service_of


@dataclass(frozen=True)
class InstancesRun:
    """each: the run of every instance; whole: of all together; busy_s: seconds of the steps of each."""

    whole: ServedRun
    each: tuple[ServedRun, ...]
    busy_s: tuple[float, ...]


def simulate_instances(
    deployments: Sequence[Deployment], load: Load, seed: int, policy: str = "round_robin", growth: float = 0.0
) -> InstancesRun:
    """Serve `load` by an instance of each deployment, requests sent as the policy of that name (ROUTING) says.

    growth: of contexts within which decode steps are not costed anew, as engines take it. The same seed gives the same
    run. Raises DoesNotFit, UserError.
    """
    instances, loads = instances_of(deployments, load, seed, growth=growth)
    clients = clients_of(load.arrival, len(load.prompts), seed)
    run_together(instances, Router(clients, Balancer(instances, loads, policy)))
    return finished(instances)


def replicas_of(deployment: Deployment, count: int) -> list[Deployment]:
    """`count` times each replica of a deployment, as a deployment of its own."""
    plan = deployment.plan
    if plan.data_parallel > 1:
        deployment = deployment.under(_without_replicas(plan))
    return [deployment] * (count * plan.data_parallel)


def _without_replicas(plan: Plan) -> Plan:
    return replace(plan, cards=-(-plan.cards // plan.data_parallel), data_parallel=1)


def instances_of(
    deployments: Sequence[Deployment], load: Load, seed: int, prompts_alone: bool = False, growth: float = 0.0
) -> tuple[list[CompiledInstance], np.ndarray]:
    """An instance of each deployment, and what they tell of their loads, a row each.

    Those of one deployment share its engine. Stalls of each are its own.
    """
    engines = {id(each): analytic_engine(each, growth=growth) for each in deployments}
    share = load.of_replica(len(deployments))
    services = [service_of(each, share, seed + place, engines[id(each)]) for place, each in enumerate(deployments)]
    at = progress_of(len(services))
    instances = [
        CompiledInstance(_within_slots(each), load, at[place : place + 1], prompts_alone)
        for place, each in enumerate(services)
    ]
    return instances, at


def _within_slots(service: Service) -> Service:
    """A server of fixed slots has as many as it takes users when all share them alike, and serves no more at once."""
    if not isinstance(service.deployment.runtime.decode_batch, SlotShapes):
        return service
    return replace(service, limits=replace(service.limits, max_sequences=service.limits.slots))


def finished(instances: Sequence[CompiledInstance]) -> InstancesRun:
    """What instances did until the last answer of any."""
    duration_s = max(each.last_s for each in instances)
    runs = tuple(each.served(duration_s) for each in instances)
    return InstancesRun(as_one_run(runs), runs, tuple(each.busy_s for each in instances))
