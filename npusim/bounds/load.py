"""What was run, as the bounds take it: once on the terms that favour the figure most, once on the usual ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from npusim.bounds.ceiling import Ceiling, ceiling_of
from npusim.bounds.demand import Demand, demand_of
from npusim.bounds.finding import Finding
from npusim.bounds.pim_units import OperandFormats
from npusim.words import Phrase
from npusim.workload.model import Model
from npusim.workload.precision import Precision

MOST_A_STEP = 8.0
"""Most tokens of a step that are taken for speculative decoding where nobody tells of it: the best that is published
is 6.6 in the mean (Li et al., EAGLE-3, arXiv 2503.01840, table 1, recalled)."""


@dataclass(frozen=True)
class Terms:
    """A model's demand and a chip's ceiling, both counted the same way."""

    demand: Demand
    ceiling: Ceiling

    def seconds_of(self, ops: Mapping[tuple[str, str], float], chips: int) -> float:
        """Least seconds of that arithmetic on `chips`."""
        return self.ceiling.seconds_of(ops) / chips


@dataclass(frozen=True)
class BoundedLoad:
    """generous, usual: the terms. chips: that work together; isl, osl: tokens of every request.

    users: most requests in flight, None where it is not known. requests: of the run, where all are sent as soon as
    users are free. prompts_differ: False where requests may share their prompts' KV. tokens_per_step: most tokens
    that a step gives one sequence (above one with speculative decoding); drafts_open: whether it may have been more,
    since nobody tells of speculative decoding. tensor_parallel: chips that share every layer, None where it is not
    known.
    """

    generous: Terms
    usual: Terms
    chips: int
    isl: int
    osl: int
    users: float | None = None
    requests: int | None = None
    prompts_differ: bool = True
    tokens_per_step: float = 1.0
    drafts_open: bool = False
    tensor_parallel: int | None = None

    def of_steps(self, found: Finding) -> Finding:
        """A finding that counts the steps of further tokens: where drafts are open, they may be what breaks it."""
        if not self.drafts_open or not 1.0 < found.low <= MOST_A_STEP:
            return found
        told = {"what": found.says, "tokens": f"{found.low:.3g}"}
        says = Phrase("{what}, or {tokens} tokens a step by speculative decoding (tell it with --speculate)", told)
        return replace(found, says=says, hard=False)

    @property
    def both(self) -> tuple[Terms, Terms]:
        return self.generous, self.usual


def load_of(
    arch: str, model: Model, precisions: tuple[Precision, Precision], chips: int, isl: int, osl: int
) -> BoundedLoad:
    """The load of an architecture; precisions: the most favourable, and the usual or given one. Raises UserError."""
    generous, usual = (
        Terms(demand_of(model, scheme, isl, osl, favourable), ceiling_of(arch, favourable, _formats(scheme)))
        for scheme, favourable in zip(precisions, (True, False), strict=True)
    )
    return BoundedLoad(generous, usual, chips, isl, osl)


def _formats(scheme: Precision) -> OperandFormats:
    return scheme.weights, scheme.activations, scheme.kv
