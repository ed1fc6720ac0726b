"""The model or head that drafts for another model, on the same chips."""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.errors import UserError
from npusim.hardware.drafting import OPTION, Drafting
from npusim.mapping.plan import Plan
from npusim.workload.catalog import load_model
from npusim.workload.drafters import drafting_head, drafting_model
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve_precision


@dataclass(frozen=True)
class Drafter:
    """precision: None for that of the model for which it drafts."""

    model: Model
    precision: Precision | None

    def plan(self, own: Plan) -> Plan:
        """Its plan beside a model under `own`: the chips that share a layer share its layers, all in one stage."""
        experts = own.expert_parallel if self.model.experts else 1
        return replace(own, pipeline_parallel=1, micro_batches=1, expert_parallel=experts)


def drafter_of(drafting: Drafting | None, model: Model, kv: str) -> Drafter | None:
    """What drafts for `model`, None where no model does; kv: format of its keys and values. Raises UserError."""
    if drafting is None or not drafting.passes:
        return None
    scheme = None if drafting.precision is None else resolve_precision(drafting.precision, kv)
    if drafting.head is not None:
        return Drafter(drafting_head(model, drafting.head.features, drafting.head.vocabulary), scheme)
    assert drafting.model is not None
    small = load_model(drafting.model)
    if small.vocab != model.vocab:
        raise UserError(
            OPTION,
            drafting.model,
            f"has {small.vocab:,} tokens, {model.name} {model.vocab:,}: drafts are of the same vocabulary; choose "
            "another model",
        )
    return Drafter(drafting_model(small), scheme)
