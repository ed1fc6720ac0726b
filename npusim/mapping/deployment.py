"""Deployment: a model in a precision, spread by a plan over an architecture that a runtime drives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from npusim.errors import UserError
from npusim.hardware.catalog import calibration_of, load_runtime, load_system
from npusim.hardware.machine import PLACED, build_machine
from npusim.hardware.overlay import Overlay
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.system import System
from npusim.ledger import Certificate, certificates
from npusim.mapping.footprint import Footprint, cards_needed, does_not_fit, footprint
from npusim.mapping.placement import place
from npusim.mapping.plan import Plan, make_plan
from npusim.workload.catalog import load_model
from npusim.workload.formats import formats
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve
from npusim.workload.routing import routing

AUTO = "auto"


@dataclass(frozen=True)
class Deployment:
    """What runs on what.

    machine, runtime_record: the flat records that the engine reads, arrays of shape (1,); overlay: the calibration
    that the descriptions are under, None without one.
    """

    system: System
    runtime: Runtime
    model: Model
    precision: Precision
    plan: Plan
    machine: np.ndarray
    runtime_record: np.ndarray
    overlay: Overlay | None = None

    def with_records(self, machine: np.ndarray, runtime_record: np.ndarray) -> Deployment:
        """The same deployment with other numbers: a draw from their ranges, a point of a sweep."""
        placed = machine.copy()
        for name in PLACED:
            placed[name] = self.machine[name]
        return replace(self, machine=placed, runtime_record=runtime_record)

    def certificates(self) -> list[Certificate]:
        """Every number that a result of this deployment can hang on."""
        return [
            *certificates(self.system.name, self.system),
            *certificates(self.runtime.name, self.runtime),
            *certificates("formats", formats()),
            *(certificates("routing", routing()) if self.model.experts else ()),
            *self.model.assumptions,
        ]

    def require_fit(self, tokens: int) -> Footprint:
        """The footprint, or DoesNotFit where a request of `tokens` has no room."""
        machine, runtime = self.machine[0], self.runtime_record[0]
        room = footprint(machine, runtime, self.model, self.precision, self.plan)
        if room.kv_tokens < tokens:
            raise does_not_fit(self.system, machine, runtime, self.model, self.precision, self.plan, tokens)
        return room


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
    uncalibrated: bool = False,
) -> Deployment:
    """Resolve names and paths into a deployment.

    cards: a number, or "auto" for the smallest power of two that holds the weights and a request of `tokens`
    (1 where none does, so that `require_fit` can say what is missing). kv_precision and runtime default to the
    runtime's and the architecture's own; uncalibrated: leave the architecture's calibration out. Raises UserError.
    """
    system = load_system(arch, uncalibrated)
    driver = load_runtime(runtime or system.runtime, system.chip.unit.kind)
    overlay = None if uncalibrated else calibration_of(arch)
    if overlay is not None:
        driver = overlay.apply(driver.name, driver)
    shape = load_model(model)
    _require_kernels(system, shape)
    scheme = resolve(precision, kv_precision or driver.kv.precision)
    machine = build_machine(system)
    if isinstance(cards, str):
        if cards != AUTO:
            raise UserError("--cards", "", f"'{cards}' is no number of cards; give a number or {AUTO}")
        numbers = build_runtime(driver, system)[0]
        cards = cards_needed(system, machine[0], numbers, shape, scheme, tokens) or 1
    plan = make_plan(system, cards, tensor_parallel, shape)
    driver = driver.on_cards(plan.cards)
    record = build_runtime(driver, system)
    place(machine, system, driver, plan)
    return Deployment(system, driver, shape, scheme, plan, machine, record, overlay)


def _require_kernels(system: System, model: Model) -> None:
    """UserError where the chip is a GPU without kernels for the model's kind of layer."""
    unit = system.chip.unit
    if unit.kind != "gpu":
        return
    if model.experts and not unit.grouped:
        raise UserError(
            system.name, "chip.unit.grouped", f"{model.name} has experts; describe a library of grouped products"
        )
    if model.latent and all(library.join_efficiency is None for library in unit.attention):
        message = f"{model.name} has latent attention; describe a library with join_efficiency"
        raise UserError(system.name, "chip.unit.attention", message)
