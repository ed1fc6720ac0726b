"""Which numbers of chips a runtime lets share the heads of a model, and the words where it refuses one.

A layer's query heads are spread over the chips of tensor parallelism, its KV heads too, or each on several chips where
they are fewer. Some runtimes refuse what does not come out even, others pad it at a cost; of others nobody tells. An
uneven plan of the last is priced as padding where it is asked for, and never recommended.
"""

from __future__ import annotations

from npusim.hardware.runtime import HeadRule
from npusim.mapping.plan import Plan
from npusim.workload.model import Model

_MOST_NAMED = 8
"""Numbers of chips that a mend names."""


def refusal(rule: HeadRule | None, model: Model, plan: Plan) -> str:
    """Why the runtime of that rule refuses the plan's tensor parallelism, "" where it does not."""
    chips = plan.tensor_parallel
    if rule is None:
        return ""
    if rule.query == "divide" and model.heads % chips:
        return f"refuses {model.heads} query heads over {chips} chips, which must divide them"
    if rule.kv == "even" and not _even_kv(model, chips):
        return f"refuses {model.kv_heads} KV heads over {chips} chips: one number must divide the other"
    return ""


def is_certain(rule: HeadRule | None, model: Model, plan: Plan) -> bool:
    """Whether the plan is one that the runtime is known to take: any that it does not refuse where its rule is told,
    else one in which all heads come out even."""
    if rule is not None:
        return not refusal(rule, model, plan)
    return model.heads % plan.tensor_parallel == 0 and _even_kv(model, plan.tensor_parallel)


def accepted(rule: HeadRule | None, model: Model, most: int) -> list[int]:
    """Numbers of chips from 1 to `most` that may share the layers."""
    widths = range(1, min(most, model.heads) + 1)
    return [chips for chips in widths if not refusal(rule, model, Plan(chips, chips))]


def mend(rule: HeadRule | None, model: Model, asked: int, most: int) -> str:
    """The numbers of chips that would do, the nearest ones to what was asked where they are many."""
    near = sorted(accepted(rule, model, most), key=lambda chips: (abs(chips - asked), chips))[:_MOST_NAMED]
    below = max((chips for chips in near if chips < asked), default=near[0])
    named = ", ".join(str(chips) for chips in sorted(near))
    return f"{named} would do (--tp {below})"


def _even_kv(model: Model, chips: int) -> bool:
    """Whether each chip has as many KV heads as the next, or each KV head is on as many chips as the next."""
    heads = 0 if model.latent is not None else model.kv_heads
    return heads == 0 or max(heads, chips) % min(heads, chips) == 0
