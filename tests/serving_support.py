"""Deployments altered in one respect, for the tests of serving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from npusim.hardware.drafting import read_drafting
from npusim.hardware.runtime import AlternatePolicy, ExclusivePolicy, HybridPolicy, InterleavedPolicy, Policy
from npusim.mapping.deployment import Deployment
from npusim.serving.intake import intake_of
from npusim.serving.metrics import RunMetrics
from npusim.serving.simulate import ServedRun

MODEL = "llama-3.1-8b"
RNGD_26_2 = ("rngd", "furiosa-llm-2026.2")
RNGD_26_3 = ("rngd", "furiosa-llm-2026.3")
H200_VLLM = ("h200", "vllm")
H200_GRAPHS = ("h200", "cuda-graph-engine")
SYSTEMS = (RNGD_26_2, RNGD_26_3, H200_VLLM, H200_GRAPHS)


AT_ONCE = {"host_intake_token_time": 0.0}
"""A front end to which the length of a prompt makes no difference."""


def travel_s(deployment: Deployment, isl: int) -> float:
    """Seconds from a request's sending to the queue, alone: its intake by the front end, and the way."""
    record = deployment.runtime_record[0]
    return float(intake_of(record).seconds(isl)) + float(record["host_request_time"])


def with_numbers(deployment: Deployment, **values: float) -> Deployment:
    """The deployment with other numbers in its flat records."""
    machine, runtime = deployment.machine.copy(), deployment.runtime_record.copy()
    for name, value in values.items():
        record = machine if name in (machine.dtype.names or ()) else runtime
        record[name] = value
    return deployment.with_records(machine, runtime)


def scheduled(deployment: Deployment, schedules: str) -> Deployment:
    """The deployment under a host that schedules `ahead` or `after`."""
    host = deployment.runtime.host.model_copy(update={"schedules": schedules})
    return replace(deployment, runtime=deployment.runtime.model_copy(update={"host": host}))


def with_kv_room(deployment: Deployment, tokens: int) -> Deployment:
    """The deployment with just so much memory held back that `tokens` of KV fit."""
    room = deployment.require_fit(1)
    spare = room.available_bytes - (tokens + 0.5) * room.kv_bytes_per_token
    held_back = float(deployment.runtime_record[0]["kv_reserved"])
    altered = with_numbers(deployment, kv_reserved=held_back + spare)
    assert altered.require_fit(1).kv_tokens == tokens
    return altered


def drafting(deployment: Deployment, text: str) -> Deployment:
    """The deployment with tokens drafted as `--speculate` says."""
    return replace(deployment, drafting=read_drafting(text))


def with_policy(deployment: Deployment, policy: Policy) -> Deployment:
    return replace(deployment, runtime=deployment.runtime.model_copy(update={"policy": policy}))


def exclusive(deployment: Deployment) -> Deployment:
    return with_policy(deployment, ExclusivePolicy(kind="exclusive", source="the test"))


def alternating(deployment: Deployment) -> Deployment:
    return with_policy(deployment, AlternatePolicy(kind="alternate", source="the test"))


def with_token_budget(deployment: Deployment, tokens: int) -> Deployment:
    """A hybrid deployment whose steps hold at most `tokens`."""
    policy = HybridPolicy.model_validate({"kind": "hybrid", **_budget(tokens)})
    return with_numbers(with_policy(deployment, policy), policy_token_budget=tokens)


def interleaving(deployment: Deployment, tokens: int = 1024) -> Deployment:
    """The deployment with at most `tokens` of prompts between two decode steps."""
    policy = InterleavedPolicy.model_validate({"kind": "interleaved", **_budget(tokens)})
    return with_numbers(with_policy(deployment, policy), policy_token_budget=tokens)


def _budget(tokens: int) -> dict[str, object]:
    budget = {"value": f"{tokens} token", "kind": "derived", "source": "the test"}
    return {"token_budget": budget, "source": "the test"}


def with_caching(deployment: Deployment, caching: bool) -> Deployment:
    """The deployment with the prefix cache on or off."""
    kv = deployment.runtime.kv.model_copy(update={"prefix_caching": caching})
    return replace(deployment, runtime=deployment.runtime.model_copy(update={"kv": kv}))


def figures(metrics: RunMetrics) -> bytes:
    """Every figure of a run, to the last bit."""
    return repr(metrics).encode()


def expanded_intervals(run: ServedRun) -> np.ndarray:
    """Every time between two successive tokens of a sequence, seconds, rising."""
    return np.sort(np.repeat(run.record.interval_s, run.record.interval_weight.astype(int)))
