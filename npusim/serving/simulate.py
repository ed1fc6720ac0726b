"""A serving run from its description to its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import simpy

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.runtime import BucketShapes, GroupedAttention, HybridPolicy
from npusim.hardware.technology.energy import breakdown
from npusim.mapping.deployment import Deployment
from npusim.mapping.memory_layout import MemoryLayout, layout_of
from npusim.serving.clients import start_clients
from npusim.serving.kvcache import KvCache
from npusim.serving.layout import for_load
from npusim.serving.limits import ServerLimits
from npusim.serving.policies import COMPILED, make_policy, token_budget
from npusim.serving.record import Recorder
from npusim.serving.request import Request
from npusim.serving.scheduler.make import make_state
from npusim.serving.scheduler.serve import CompiledServer
from npusim.serving.scheduler.tree import PromptTree, tree_of
from npusim.serving.served import column_of
from npusim.serving.server import Server, ServingEngine
from npusim.workload.arrivals import Arrival, Burst, Closed
from npusim.workload.prompts import Prompt, random_prompts


@dataclass(frozen=True)
class Load:
    """isl, osl: tokens of every request; prompts: one per request (what they share decides cache hits).

    lengths: (isl, osl) of each request, in place of the common ones; warm: True where the first prompt was served
    before the run, so that a prefix cache holds it.
    """

    isl: int
    osl: int
    arrival: Arrival
    prompts: Sequence[Prompt]
    lengths: Sequence[tuple[int, int]] | None = None
    warm: bool = False

    def __post_init__(self) -> None:
        for option, value in (("--isl", self.isl), ("--osl", self.osl), ("--requests", len(self.prompts))):
            if value < 1:
                raise UserError(option, "", f"{value} must be 1 or more")
        if self.lengths is not None and len(self.lengths) != len(self.prompts):
            raise ValueError(f"{len(self.prompts)} prompts have {len(self.lengths)} lengths; give one for each")

    def of_replica(self, replicas: int) -> Load:
        """What the first of `replicas` gets of it when requests are dealt out in turn."""
        if replicas == 1:
            return self
        lengths = None if self.lengths is None else self.lengths[::replicas]
        return replace(
            self, arrival=self.arrival.of_replica(replicas), prompts=self.prompts[::replicas], lengths=lengths
        )

    @cached_property
    def tree(self) -> PromptTree:
        """What prompts have in common; the same for all runs of this load."""
        return tree_of(self.prompts)

    @cached_property
    def tokens(self) -> np.ndarray:
        """(isl, osl) of each request, int64 (requests, 2)."""
        return np.array(self.lengths or [(self.isl, self.osl)] * len(self.prompts), np.int64)

    def requests(self) -> list[Request]:
        """The requests in the order in which they are sent."""
        lengths = self.lengths or [(self.isl, self.osl)] * len(self.prompts)
        return [Request(index, prompt, *lengths[index]) for index, prompt in enumerate(self.prompts)]


def random_load(isl: int, osl: int, arrival: Arrival, requests: int) -> Load:
    """`requests` requests whose prompts share nothing."""
    return Load(isl, osl, arrival, random_prompts(max(requests, 0), isl))


@dataclass(frozen=True)
class ServedRun:
    """record: what happened; duration_s: until the last answer; kv: the cache at the end; idle_w: all chips at rest.

    replicas: how many servers did the same at the same time, of which this is one (joules are those of all chips); a
    fraction where the requests do not divide. layout: of a memory with PIM units, None without them; breakdown_j:
    joules of all chips by component, at rest included.
    """

    record: Recorder
    duration_s: float
    kv: KvCache
    idle_w: float
    replicas: float = 1.0
    layout: MemoryLayout | None = None
    breakdown_j: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """What serves, whom, and where it is recorded."""

    deployment: Deployment
    engine: ServingEngine
    load: Load
    kv: KvCache
    limits: ServerLimits
    recorder: Recorder
    seed: int


def simulate(
    deployment: Deployment,
    load: Load,
    seed: int,
    engine: ServingEngine | None = None,
    serve: Callable[[Service], None] | None = None,
) -> ServedRun:
    """Serve `load`; the same seed gives the same run. Raises DoesNotFit where not one token of KV has room.

    serve: `serve_compiled` by default, `serve_as_process` where the policy is not compiled; both give the same bits.
    Of several replicas the one with the most requests is served; all run at the same time.
    """
    asked, load = len(load.prompts), load.of_replica(deployment.plan.data_parallel)
    placed = for_load(deployment, load.isl, load.osl, _users(deployment, load))
    if placed is not deployment and isinstance(engine, AnalyticEngine):
        engine = engine.like(placed)
    deployment = placed
    room = deployment.require_fit(1)
    numbers = deployment.runtime_record[0]
    recorder = Recorder()
    capacity = int(room.available_bytes // room.kv_bytes_per_token)
    block, caching = max(1, round(numbers["kv_block"])), deployment.runtime.kv.prefix_caching
    kv = KvCache(capacity, block, caching, room.window_shares)
    service = Service(
        deployment, engine or AnalyticEngine(deployment), load, kv, _limits(deployment, load), recorder, seed
    )
    is_compiled = type(deployment.runtime.policy) in COMPILED
    (serve or (serve_compiled if is_compiled else serve_as_process))(service)
    duration = float(column_of(recorder.requests, "last_token_s").max(initial=0.0))
    idle_w = float(deployment.machine[0]["power_idle"]) * deployment.plan.chips
    layout = None if deployment.system.chip.pim is None else layout_of(deployment.runtime_record)
    return ServedRun(
        recorder, duration, kv, idle_w, asked / len(load.prompts), layout, _spent(deployment, recorder, duration)
    )


def serve_compiled(service: Service) -> None:
    """Serve by the compiled server; under a policy of COMPILED."""
    where, load = service.deployment, service.load
    tree = load.tree if service.kv.caching else None
    state = make_state(load.tokens, tree, load.arrival, service.kv, service.limits, service.seed)
    state.rules["policy"], state.rules["warm"] = COMPILED[type(where.runtime.policy)], load.warm
    if isinstance(where.runtime.policy, HybridPolicy):
        state.rules["token_budget"] = token_budget(where.runtime_record[0])
    server = CompiledServer(state, service.engine, service.limits, service.recorder, service.seed)
    server.run()
    server.leave_in(service.kv, load.requests)


def serve_as_process(service: Service) -> None:
    """Serve by a SimPy process, which serves under any policy and is what the compiled server is compared with."""
    env, load = simpy.Environment(), service.load
    if load.warm:
        _serve_before(service.kv, load.requests()[0])
    policy = make_policy(service.deployment)
    server = Server(env, service.engine, policy, service.kv, service.limits, service.recorder, service.seed)
    start_clients(env, server, load.requests(), load.arrival, service.seed)
    env.run()


def _users(deployment: Deployment, load: Load) -> int:
    """Users of one replica: those of a closed loop or a burst, else as many as the runtime serves."""
    most = int(deployment.runtime_record[0]["limits_max_sequences"])
    return load.arrival.users if isinstance(load.arrival, Closed | Burst) else min(most, len(load.prompts))


def _spent(deployment: Deployment, recorder: Recorder, duration_s: float) -> dict[str, float]:
    """The joules of a run by component; while the server waits, its chips are idle."""
    waited_s = max(0.0, duration_s - float(recorder.span_s.sum()))
    idle_j = waited_s * float(deployment.machine[0]["power_idle"]) * deployment.plan.chips
    parts_j = recorder.parts_j | {"idle": recorder.parts_j["idle"] + idle_j}
    found = breakdown(1, deployment.energy_units, parts_j)
    return {name: float(joules[0]) for name, joules in found.items()}


def _serve_before(kv: KvCache, request: Request) -> None:
    """Leave the prompt of `request` in the prefix cache, without a trace in the cache's own counts."""
    if kv.need(request) <= kv.free:
        kv.admit(request)
        kv.publish(request)
        kv.release(request, request.to_prefill)
        kv.peak = kv.asked_tokens = 0


def _limits(deployment: Deployment, load: Load) -> ServerLimits:
    runtime = deployment.runtime
    longest = deployment.model.max_context
    if isinstance(runtime.attention, GroupedAttention):
        longest = min(longest, runtime.attention.contexts[-1])
    chunk = runtime.prefill_chunk.sizes[-1] if isinstance(runtime.prefill_chunk, BucketShapes) else None
    numbers = deployment.runtime_record[0]
    most = int(numbers["limits_max_sequences"])
    if isinstance(runtime.decode_batch, BucketShapes):
        most = min(most, runtime.decode_batch.sizes[-1])
    waiting = float(numbers["limits_max_waiting"])
    machine, chips = deployment.machine[0], deployment.plan.chips
    users = load.arrival.users if isinstance(load.arrival, Closed | Burst) else most
    return ServerLimits(
        slots=min(users, most),
        max_sequences=most,
        max_waiting=None if np.isnan(waiting) else int(waiting),
        watermark=float(numbers["kv_admission_watermark"]),
        longest_context=longest,
        largest_chunk=chunk,
        request_time_s=float(numbers["host_request_time"]),
        limiter_s=float(machine["power_limiter_time"]),
        sustained_s=float(machine["power_sustained_window"]),
        cap_w=float(machine["power_cap"]) * chips if machine["power_cap_enforced"] else math.inf,
        idle_w=float(machine["power_idle"]) * chips,
        whole_answers=runtime.kv.admission == "answer",
        intake_s=0.0 if np.isnan(numbers["host_intake_time"]) else float(numbers["host_intake_time"]),
        ahead=runtime.host.schedules == "ahead",
    )
