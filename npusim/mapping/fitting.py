"""Which plans have room for a model, and the message where the requested one has not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npusim import dtypes
from npusim.errors import DoesNotFit
from npusim.hardware.runtime import HeadRule
from npusim.hardware.system import System
from npusim.mapping.drafter import Drafter
from npusim.mapping.footprint import Footprint, data_bytes, footprint, joint_footprint
from npusim.mapping.head_split import accepted, is_certain, mend, refusal
from npusim.mapping.plan import Plan, all_plans, make_plan
from npusim.units import GIB
from npusim.workload.model import Model
from npusim.workload.precision import SCHEMES, Precision, resolve_precision

Room = Callable[[Plan, Precision], Footprint]


@dataclass(frozen=True)
class Fitting:
    """A model in a precision on an architecture; machine, runtime: its records, arrays of shape (1,); drafter: a model
    that drafts for it on the same chips, None without one; heads: over which chips the runtime splits heads."""

    system: System
    machine: np.ndarray
    runtime: np.ndarray
    model: Model
    precision: Precision
    drafter: Drafter | None = None
    heads: HeadRule | None = None

    def refusal(self, plan: Plan) -> str:
        """Why the runtime refuses the plan, with what it takes in its place; "" where it does not."""
        reason = refusal(self.heads, self.model, plan)
        if not reason:
            return ""
        most = self.system.max_cards * self.system.chips_per_card
        return f"{reason}; {mend(self.heads, self.model, plan.tensor_parallel, most)}"

    def serves(self, plan: Plan, tokens: int) -> bool:
        """Whether the runtime takes the plan, and a request of `tokens` has room beside the weights."""
        return not refusal(self.heads, self.model, plan) and self.holds(plan, tokens)

    def recommends(self, plan: Plan, tokens: int) -> bool:
        """As `serves`, of a plan that the runtime is known to take."""
        return is_certain(self.heads, self.model, plan) and self.holds(plan, tokens)

    def footprint(self, plan: Plan, precision: Precision | None = None) -> Footprint:
        """The footprint under `plan`, in another precision where one is given."""
        scheme, machine, runtime = precision or self.precision, self.machine[0], self.runtime[0]
        own = footprint(machine, runtime, self.model, scheme, plan)
        if self.drafter is None:
            return own
        drafter = self.drafter
        beside = footprint(machine, runtime, drafter.model, drafter.precision or scheme, drafter.plan(plan))
        return joint_footprint(own, beside)

    def holds(self, plan: Plan, tokens: int, precision: Precision | None = None) -> bool:
        """Whether a request of `tokens` has room beside the weights."""
        return self.footprint(plan, precision).kv_tokens >= tokens

    def cards_needed(self, tokens: int) -> int | None:
        """The smallest power of two of cards on which tensor parallelism alone has room; None where none has."""
        cards = 1
        while cards <= self.system.max_cards and cards * self.system.chips_per_card <= self.model.heads:
            if self.recommends(make_plan(self.system, cards, None, self.model), tokens):
                return cards
            cards *= 2
        return None

    def fitting_plan(self, tokens: int) -> Plan | None:
        """The plan with room on the fewest cards, the least pipelined among them; None where none has room.

        Plans whose chips together have less memory than the weights take are not looked at: splits pad or repeat, so
        that no plan stores less than one chip would.
        """
        alone = self.footprint(Plan(1, 1))
        least = alone.weight_bytes / max(1.0, alone.available_bytes + alone.weight_bytes)
        known = all_plans(self.system, self.model, self.system.max_cards)
        plans = sorted(
            (plan for plan in known if plan.data_parallel == 1 and plan.chips >= least),
            key=lambda plan: (plan.cards, plan.pipeline_parallel, plan.expert_parallel, -plan.tensor_parallel),
        )
        return next((plan for plan in plans if self.recommends(plan, tokens)), None)

    def filled(self, tokens: int, cards: int) -> Plan:
        """On all of `cards`: the fewest chips that share a layer and have room, and replicas of them.

        All chips in one replica where that is the only way, or none has room.
        """
        chips = cards * self.system.chips_per_card
        powers = [1 << power for power in range(chips.bit_length()) if chips % (1 << power) == 0]
        for tensor in powers:
            plan = Plan(tensor, cards, data_parallel=chips // tensor)
            if tensor <= self.model.heads and self.recommends(plan, tokens):
                return plan
        return self.widest(cards)

    def widest(self, cards: int) -> Plan:
        """Tensor parallelism alone over the most chips of so many cards that the runtime takes."""
        widths = accepted(self.heads, self.model, cards * self.system.chips_per_card)
        return make_plan(self.system, cards, widths[-1], self.model)

    def does_not_fit(self, plan: Plan, tokens: int) -> DoesNotFit:
        """The error that says what is missing for a request of `tokens`, and what would do."""
        room = self.footprint(plan)
        usable = float(data_bytes(self.machine[0]))
        held_back = usable - room.available_bytes - room.weight_bytes
        cache = f" and {_gib(room.kv_bytes(tokens))} of KV cache for {tokens} tokens" if tokens > 1 else ""
        return DoesNotFit(
            self.model.name,
            f"does not fit on {plan.cards} x {self.system.name} in {self.precision.name} ({plan.name}): each chip "
            f"would hold {_gib(room.weight_bytes)} of weights{cache}; {_gib(usable)} are usable, of which the runtime "
            f"holds back {_gib(held_back)}; {self._mend(plan, tokens)}",
            self.cards_needed(tokens),
        )

    def _mend(self, asked: Plan, tokens: int) -> str:
        cards, most = self.cards_needed(tokens), self.system.max_cards
        smaller = self._smaller_precision(asked, tokens)
        here = f", or {smaller} on {'these' if asked.cards > 1 else 'this one'}" if smaller else ""
        if cards:
            return f"{cards} cards would do (--cards {cards}){here}"
        plan = self.fitting_plan(tokens)
        if plan is not None:
            asking = plan.name.lower().replace(" ", "-")
            return f"{plan.name} on {plan.cards} cards would do (--plan {asking}){here}"
        largest = self.widest(most)
        weights = self.footprint(largest).weight_bytes
        told = (
            f"not even {most} cards, the most of one instance, would do ({_gib(weights)} of weights on each chip of "
            f"{largest.name})"
        )
        smaller = self._smaller_precision(largest, tokens)
        return f"{told}; choose a smaller precision{f': {smaller} would do there' if smaller else ''}"

    def _smaller_precision(self, plan: Plan, tokens: int) -> str | None:
        """The maker's own scheme, else the widest, in which the model fits and that the chip can multiply."""
        multiplies = self.machine[0]["multiplies"]
        own = self.model.checkpoint.scheme if self.model.checkpoint else None
        for name in sorted(SCHEMES, key=lambda scheme: scheme != own):
            weights, activations = SCHEMES[name]
            native = multiplies[dtypes.code(weights), dtypes.code(activations)] != dtypes.NOT_MULTIPLIED
            if native and self.holds(plan, tokens, resolve_precision(name, self.precision.kv)):
                return name
        return None


def _gib(byte_count: float) -> str:
    return f"{byte_count / GIB:.1f} GiB"
