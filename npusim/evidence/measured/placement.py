"""What ran on what, in plain names that compare and hash; the deployment is made once from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from npusim.errors import UserError
from npusim.evidence.measured.case import OF_THE_RUN
from npusim.evidence.measured.tables import Unrepresentable
from npusim.hardware.drafting import Drafting
from npusim.hardware.runtime import AttentionShapes, KvCacheRules, Policy, Runtime, RuntimeLimits
from npusim.hardware.runtime_record import build_runtime
from npusim.inputs import is_file, remembered
from npusim.mapping.deployment import Deployment, deploy
from npusim.workload.formats import scheme_of_label
from npusim.workload.model_names import shipped_model
from npusim.workload.precision import SCHEMES


@dataclass(frozen=True)
class Placement:
    """A model in a precision scheme on `cards` cards; policy, attention, kv_precision: the run's own, in place of the
    runtime's; tensor_parallel: chips that share every layer, None for all; plan: the name
    of a plan in place of both; sequences: that were in service at once, where the runtime would admit fewer;
    prefix_caching: whether the KV of common prefixes was kept; drafting: how tokens were drafted, None where they were
    not."""

    arch: str
    runtime: str
    model: str
    precision: str
    cards: int = 1
    policy: Policy | None = None
    attention: AttentionShapes | None = None
    kv_precision: str | None = None
    tensor_parallel: int | None = None
    plan: str | None = None
    sequences: int | None = None
    prefix_caching: bool | None = None
    drafting: Drafting | None = None


@remembered
def measured_deployment(placement: Placement) -> Deployment:
    """The deployment under the numbers of the descriptions, uncalibrated. Raises UserError."""
    made = deploy(
        placement.arch,
        placement.model,
        precision=placement.precision,
        kv_precision=placement.kv_precision,
        cards=placement.cards,
        tensor_parallel=placement.tensor_parallel,
        plan=placement.plan,
        runtime=placement.runtime,
        uncalibrated=True,
        drafting=placement.drafting,
    )
    own = {
        "policy": placement.policy,
        "attention": placement.attention,
        "limits": _limits(made.runtime, placement),
        "kv": _kv(made.runtime, placement),
    }
    changes = {name: part for name, part in own.items() if part is not None}
    if not changes:
        return made
    runtime = made.runtime.model_copy(update=changes)
    return replace(made, runtime=runtime, runtime_record=build_runtime(runtime, made.system))


def _kv(runtime: Runtime, placement: Placement) -> KvCacheRules | None:
    """The runtime's KV cache as it was set; None where it is the runtime's own."""
    if placement.prefix_caching in (None, runtime.kv.prefix_caching):
        return None
    return runtime.kv.model_copy(update={"prefix_caching": placement.prefix_caching})


def _limits(runtime: Runtime, placement: Placement) -> RuntimeLimits | None:
    """The runtime's limits raised to the sequences that were in service; None where they hold them."""
    most = runtime.limits.max_sequences
    if placement.sequences is None or placement.sequences <= most.value:
        return None
    told = {"value": placement.sequences, "kind": "measured", "source": OF_THE_RUN}
    return RuntimeLimits.model_validate({"max_sequences": told, "max_waiting": runtime.limits.max_waiting})


def placed(placement: Placement) -> Placement:
    """`placement`, checked to be one that can be deployed. Raises Unrepresentable."""
    try:
        measured_deployment(placement)
    except UserError as error:
        raise Unrepresentable(str(error)) from error
    return placement


def model_name(text: str) -> str:
    """The shipped name of the model that a table names, or the path that it gives. Raises Unrepresentable."""
    if not text:
        raise Unrepresentable("model is not given")
    shipped = shipped_model(text)
    if shipped is not None:
        return shipped
    if is_file(Path(text)):
        return text
    raise Unrepresentable(f"no shape of the model '{text}' is shipped (npusim list models)")


def scheme(text: str) -> str:
    """The precision scheme that a table names. Raises Unrepresentable."""
    plain = text.strip().lower()
    name = plain if plain in SCHEMES else scheme_of_label(plain)
    if name is None:
        raise Unrepresentable(f"no precision scheme '{text}'; known: {', '.join(SCHEMES)}")
    return name
