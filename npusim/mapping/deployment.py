"""Deployment: a model in a precision, spread by a plan over an architecture that a runtime drives."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.runtime import Runtime
from npusim.hardware.system import System
from npusim.ledger import Certificate, certificates
from npusim.mapping.footprint import Footprint, cards_needed, require_fit
from npusim.mapping.plan import Plan, make_plan
from npusim.workload.catalog import load_model
from npusim.workload.formats import formats
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve

AUTO = "auto"


@dataclass(frozen=True)
class Deployment:
    """What runs on what."""

    system: System
    runtime: Runtime
    model: Model
    precision: Precision
    plan: Plan

    def certificates(self) -> list[Certificate]:
        """Every number that a result of this deployment can hang on."""
        return [
            *certificates(self.system.name, self.system),
            *certificates(self.runtime.name, self.runtime),
            *certificates("formats", formats()),
        ]

    def require_fit(self, tokens: int) -> Footprint:
        """The footprint, or DoesNotFit where a request of `tokens` has no room."""
        return require_fit(self.system, self.runtime, self.model, self.precision, self.plan, tokens)


def deploy(
    arch: str,
    model: str,
    *,
    precision: str = "bf16",
    kv_precision: str | None = None,
    cards: int | str = 1,
    tensor_parallel: int | None = None,
    runtime: str | None = None,
    tokens: int = 1,
) -> Deployment:
    """Resolve names and paths into a deployment.

    cards: a number, or "auto" for the smallest power of two that holds the weights and a request of `tokens`
    (1 where none does, so that `require_fit` can say what is missing). kv_precision and runtime default to the
    runtime's and the architecture's own. Raises UserError.
    """
    system = load_system(arch)
    driver = load_runtime(runtime or system.runtime, system.chip.unit.kind)
    shape = load_model(model)
    scheme = resolve(precision, kv_precision or driver.kv.precision)
    if isinstance(cards, str):
        if cards != AUTO:
            raise UserError("--cards", "", f"'{cards}' is no number of cards; give a number or {AUTO}")
        cards = cards_needed(system, driver, shape, scheme, tokens) or 1
    return Deployment(system, driver, shape, scheme, make_plan(system, cards, tensor_parallel, shape))
