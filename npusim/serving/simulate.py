"""A serving run from its description to its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import simpy

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import SpeculativeEngine, analytic_engine
from npusim.errors import UserError
from npusim.hardware.drafting import OPTION
from npusim.hardware.runtime import BucketShapes, GroupedAttention
from npusim.hardware.technology.energy import breakdown
from npusim.mapping.artifacts import compiled_sizes
from npusim.mapping.deployment import Deployment
from npusim.mapping.memory_layout import MemoryLayout, layout_of
from npusim.serving.clients import start_clients
from npusim.serving.drafts import Drafts
from npusim.serving.intake import intake_of
from npusim.serving.kvcache import KvCache, LowerTier
from npusim.serving.layout import for_load
from npusim.serving.limits import ServerLimits
from npusim.serving.load import Load
from npusim.serving.policies import BUDGETED, COMPILED, make_policy, token_budget
from npusim.serving.record import Recorder
from npusim.serving.request import Request
from npusim.serving.scheduler.make import make_state
from npusim.serving.scheduler.serve import CompiledServer
from npusim.serving.served import column_of
from npusim.serving.server import Server, ServingEngine
from npusim.serving.step_log import StepLog
from npusim.serving.tiers import lower_tiers
from npusim.workload.arrivals import users_of


class CacheUse(Protocol):
    """What a run tells of its KV cache: blocks at the peak and in all, tokens found in it and asked of it; its lower
    tiers, and tokens loaded from each."""

    peak: float
    capacity: int
    hit_tokens: int
    asked_tokens: int
    tiers: tuple[LowerTier, ...]

    @property
    def tier_hit_tokens(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class ServedRun:
    """record: what happened; duration_s: until the last answer; kv: the cache at the end; idle_w: all chips at rest.

    replicas: how many servers did the same at the same time, of which this is one (joules are those of all chips); a
    fraction where the requests do not divide. layout: of a memory with PIM units, None without them; breakdown_j:
    joules of all chips by component, at rest included. warm_up: requests at the beginning whose latencies do not count.
    """

    record: Recorder
    duration_s: float
    kv: CacheUse
    idle_w: float
    replicas: float = 1.0
    layout: MemoryLayout | None = None
    breakdown_j: Mapping[str, float] = field(default_factory=dict)
    warm_up: int = 0


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
    drafts: Drafts | None = None


def simulate(
    deployment: Deployment,
    load: Load,
    seed: int,
    engine: ServingEngine | None = None,
    serve: Callable[[Service], None] | None = None,
    log: StepLog | None = None,
) -> ServedRun:
    """Serve `load`; the same seed gives the same run. Raises DoesNotFit where not one token of KV has room.

    serve: `serve_compiled` by default, `serve_as_process` where the policy is not compiled; both give the same bits.
    log: is given every step. Of several replicas the one with the most requests is served; all run at the same time.
    """
    asked, load = len(load.prompts), load.of_replica(deployment.plan.data_parallel)
    service = service_of(deployment, load, seed, engine, log)
    is_compiled = type(service.deployment.runtime.policy) in COMPILED
    (serve or (serve_compiled if is_compiled else serve_as_process))(service)
    duration = float(column_of(service.recorder.requests, "last_token_s").max(initial=0.0))
    return what_was_served(service, duration, asked / len(load.prompts))


def service_of(
    deployment: Deployment,
    load: Load,
    seed: int,
    engine: ServingEngine | None = None,
    log: StepLog | None = None,
) -> Service:
    """A server of one replica, ready for `load`. Raises DoesNotFit."""
    placed = for_load(deployment, load.isl, load.osl, users_within(deployment, load))
    placed = _with_common(placed, load)
    if placed is not deployment and isinstance(engine, AnalyticEngine):
        engine = engine.like(placed)
    deployment = placed
    room = deployment.require_fit(1)
    numbers = deployment.runtime_record[0]
    recorder = Recorder(log=log)
    block, caching = max(1, round(numbers["kv_block"])), deployment.runtime.kv.prefix_caching
    capacity, windows = room.in_blocks(block)
    engine = engine or analytic_engine(deployment)
    tiers = lower_tiers(deployment, engine, block, load.isl)
    kv = KvCache(capacity, block, caching, windows, tiers, deployment.runtime.kv.keeps_answers)
    limits, drafts = _limits(deployment, load), _drafts(deployment, engine, seed)
    return Service(deployment, engine, load, kv, limits, recorder, seed, drafts)


def _with_common(deployment: Deployment, load: Load) -> Deployment:
    """The deployment that knows which tokens all sequences share in a prefix cache, which a GPU's L2 cache may hold."""
    shares = deployment.runtime.kv.prefix_caching and deployment.system.chip.unit.TRAITS.libraries
    if not shares or load.common == 0:
        return deployment
    runtimes = deployment.runtime_record.copy()
    runtimes["kv_common"] = load.common
    return deployment.with_records(deployment.machine, runtimes)


def what_was_served(service: Service, duration_s: float, replicas: float = 1.0) -> ServedRun:
    """The run of a server until `duration_s`, of `replicas` that did the same."""
    deployment, recorder = service.deployment, service.recorder
    idle_w = float(deployment.machine[0]["power_idle"]) * deployment.plan.chips
    layout = None if deployment.system.chip.pim is None else layout_of(deployment.runtime_record)
    spent_j, warm_up = _spent(deployment, recorder, duration_s), service.load.warm_up
    return ServedRun(recorder, duration_s, service.kv, idle_w, replicas, layout, spent_j, warm_up)


def serve_compiled(service: Service) -> None:
    """Serve by the compiled server; under a policy of COMPILED."""
    where, load = service.deployment, service.load
    tree = load.tree if service.kv.caching else None
    state = make_state(load.tokens, tree, load.arrival, service.kv, service.limits, service.seed)
    state.rules["policy"], state.rules["warm"] = COMPILED[type(where.runtime.policy)], load.warm
    if isinstance(where.runtime.policy, BUDGETED):
        state.rules["token_budget"] = token_budget(where.runtime_record[0])
    server = CompiledServer(state, service.engine, service.limits, service.recorder, service.seed, service.drafts)
    server.go_on()
    server.leave_in(service.kv, load.requests)


def serve_as_process(service: Service) -> None:
    """Serve by a SimPy process, which serves under any policy and is what the compiled server is compared with."""
    env, load = simpy.Environment(), service.load
    if load.warm:
        _serve_before(service.kv, load.requests()[0])
    policy = make_policy(service.deployment)
    server = Server(
        env, service.engine, policy, service.kv, service.limits, service.recorder, service.seed, service.drafts
    )
    requests, intake_s = load.requests(), service.limits.intake.seconds(load.tokens[:, 0])
    for request, seconds in zip(requests, intake_s.tolist(), strict=True):
        request.intake_s = seconds
    start_clients(env, server, requests, load.arrival, service.seed)
    env.run()


def users_within(deployment: Deployment, load: Load) -> int:
    """Users of one replica: those of a closed loop or a burst, else as many as the runtime serves."""
    most = int(deployment.runtime_record[0]["limits_max_sequences"])
    return users_of(load.arrival) or min(most, len(load.prompts))


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


def _drafts(deployment: Deployment, engine: ServingEngine, seed: int) -> Drafts | None:
    """What comes of steps that verify drafts; None where a step makes a token. Raises UserError."""
    if deployment.drafting is None:
        return None
    if not isinstance(engine, SpeculativeEngine):
        raise UserError(OPTION, "", "runs that draft are costed by closed forms; leave --engine event out")
    return Drafts(deployment.drafting.profile, seed, engine)


def _limits(deployment: Deployment, load: Load) -> ServerLimits:
    runtime, drafting = deployment.runtime, deployment.drafting
    longest = deployment.model.max_context
    if isinstance(runtime.attention, GroupedAttention):
        longest = min(longest, compiled_sizes(runtime, "attention")[-1])
    chunks = compiled_sizes(runtime, "prefill_chunk")
    numbers = deployment.runtime_record[0]
    most = int(numbers["limits_max_sequences"])
    if isinstance(runtime.decode_batch, BucketShapes):
        most = min(most, compiled_sizes(runtime, "decode_batch")[-1])
    waiting = float(numbers["limits_max_waiting"])
    machine, chips = deployment.machine[0], deployment.plan.chips
    ahead = runtime.host.schedules == "ahead" and not (drafting is not None and drafting.waits)
    return ServerLimits(
        slots=min(users_of(load.arrival) or most, most),
        max_sequences=most,
        max_waiting=None if np.isnan(waiting) else int(waiting),
        watermark=float(numbers["kv_admission_watermark"]),
        longest_context=longest,
        largest_chunk=chunks[-1] if chunks else None,
        chunk_sizes=compiled_sizes(runtime, "tokenwise"),
        request_time_s=float(numbers["host_request_time"]),
        limiter_s=float(machine["power_limiter_time"]),
        sustained_s=float(machine["power_sustained_window"]),
        cap_w=float(machine["power_cap"]) * chips if machine["power_cap_enforced"] else math.inf,
        idle_w=float(machine["power_idle"]) * chips,
        whole_answers=runtime.kv.admission == "answer",
        intake=intake_of(numbers),
        ahead=ahead,
        holds=ahead and chips == 1,
        drawing_s=math.nan if load.drawing_s is None else load.drawing_s,
        width=1 + deployment.drafted,
    )
