"""Deployment: a model in a precision, spread by a plan over an architecture that a runtime drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypedDict

import numpy as np

from npusim import dtypes
from npusim.errors import DoesNotFit, UserError
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibration_of, lent_to_runtime, load_runtime, load_system, software_in_use
from npusim.hardware.changes import Changes, of_runtime, of_system
from npusim.hardware.drafting import Drafting, read_drafting
from npusim.hardware.draws import RangedNumber, draw_with
from npusim.hardware.machine import PLACED, build_machine
from npusim.hardware.power import headroom_w, loaded_w, lowest_clocks
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.software import InUse
from npusim.hardware.states import AS_LABS_RAN
from npusim.hardware.system import System
from npusim.hardware.technology.energy import Spent, bottom_up
from npusim.inputs import remembered, remembered_last
from npusim.ledger import Provenance, provenances
from npusim.mapping.drafter import Drafter, drafter_of
from npusim.mapping.fitting import Fitting
from npusim.mapping.footprint import Footprint
from npusim.mapping.placement import place_groups
from npusim.mapping.plan import Plan, make_plan
from npusim.mapping.plan_file import read_plan
from npusim.mapping.shared import (
    FORMATS,
    ROUTING,
    calibrated_shared,
    drafting_owner,
    formats_under,
    routing_under,
    with_shared,
)
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve_precision
from npusim.workload.step import Ints, Step, decode

AUTO = "auto"
_PLAIN = "bf16"
_PLANNED = 64
"""Deployments of one process that are kept."""


@dataclass(frozen=True, eq=False)
class Deployment:
    """A model on an architecture under a plan and a runtime.

    machine, runtime_record: the flat records that the engine reads, arrays of shape (1,); calibration: the calibration
    that the descriptions are under, None without one; software: the state of the software, which the descriptions are
    in, None for a runtime of which only what it does is described; drafting: how tokens are drafted that a step
    verifies, None where each step makes one.
    """

    system: System
    runtime: Runtime
    model: Model
    precision: Precision
    plan: Plan
    machine: np.ndarray
    runtime_record: np.ndarray
    calibration: Calibration | None = None
    software: InUse | None = None
    drafting: Drafting | None = None

    @property
    def drafted(self) -> int:
        """Tokens that are drafted for each sequence and step."""
        return 0 if self.drafting is None else self.drafting.tokens

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens that a step puts out for each sequence."""
        return 1.0 if self.drafting is None else self.drafting.tokens_per_step

    def decoding(self, contexts: Sequence[int] | Ints, slots: int | None = None) -> Step:
        """The step in which sequences decode, what is drafted included; `contexts` hold one new token each."""
        return decode(np.asarray(contexts, np.int64) + self.drafted, slots, 1 + self.drafted)

    @cached_property
    def drafter(self) -> Deployment | None:
        """What drafts, by itself on the same chips; None where no model does."""
        found = self._drafter
        if found is None:
            return None
        alone = replace(self, model=found.model, precision=found.precision or self.precision, drafting=None)
        plan = found.plan(self.plan)
        return alone if plan == self.plan else alone.under(plan).with_records(self.machine, self.runtime_record)

    @cached_property
    def _drafter(self) -> Drafter | None:
        return drafter_of(self.drafting, self.model, self.precision.kv)

    def with_records(self, machine: np.ndarray, runtime_record: np.ndarray) -> Deployment:
        """The same deployment with other numbers: a draw from their ranges, a point of a sweep."""
        placed = machine.copy()
        for name in PLACED:
            placed[name] = self.machine[name]
        return replace(self, machine=placed, runtime_record=runtime_record)

    def provenances(self) -> list[Provenance]:
        """Every number on which a result of this deployment can depend."""
        return [
            *provenances(self.system.name, self.system),
            *provenances(self.runtime.name, self.runtime),
            *provenances(FORMATS, formats_under(self.calibration)),
            *(provenances(ROUTING, routing_under(self.calibration)) if self.model.experts else ()),
            *(() if self.drafting is None else provenances(drafting_owner(self.drafting), self.drafting)),
            *self.model.assumptions,
        ]

    @property
    def offload(self) -> str:
        """The policy by which operators go to PIM units; "none" without units."""
        known = self.runtime.offload
        return "none" if known is None or self.system.chip.pim is None else known.policy

    def require_fit(self, tokens: int) -> Footprint:
        """The footprint, or DoesNotFit where a request of `tokens` has no room, or the power cap leaves it no work."""
        if headroom_w(self.machine)[0] <= 0.0:
            raise _no_headroom(self.system.name, self.machine[0])
        if self._room.kv_tokens < tokens:
            raise self.fitting.does_not_fit(self.plan, tokens)
        return self._room

    @cached_property
    def _room(self) -> Footprint:
        return self.fitting.footprint(self.plan)

    @cached_property
    def energy_units(self) -> dict[str, Spent]:
        """What a unit of each part of the energy consists of on this chip."""
        return bottom_up(self.system, self.machine)

    @property
    def fitting(self) -> Fitting:
        """What says which plans have room."""
        records = self.machine, self.runtime_record
        return Fitting(self.system, *records, self.model, self.precision, self._drafter, self.runtime.heads)

    def under(self, plan: Plan) -> Deployment:
        """The same deployment under another plan."""
        driver = self.runtime.on_cards(plan.cards)
        machine, record = self.machine.copy(), build_runtime(driver, self.system)
        place_groups(machine, self.system, driver, plan)
        known = self.software
        software = None if known is None else replace(known, runtime=known.runtime.on_cards(plan.cards))
        return replace(self, runtime=driver, plan=plan, machine=machine, runtime_record=record, software=software)

    def drawn(
        self, shared: Sequence[RangedNumber], count: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray, dict[RangedNumber, np.ndarray]]:
        """`count` machines, runtime records and values of the `shared` numbers, drawn as `draw_with` says."""
        known = self.software
        if known is None or known.state == AS_LABS_RAN:
            return draw_with(self.system, self.runtime, shared, count, seed, self.calibration)
        return draw_with(known.system, known.runtime, shared, count, seed, known.calibration, known)

    def running(self, software: InUse) -> Deployment:
        """The same deployment with its software in another state, or without one of its mechanisms."""
        system, driver, calibration = software.described()
        moved = replace(self, system=system, runtime=driver, calibration=calibration, software=software)
        return replace(moved, machine=build_machine(system)).under(self.plan)


def _no_headroom(arch: str, machine: np.void) -> DoesNotFit:
    cap, idle = float(machine["power_cap"]), float(machine["power_idle"])
    loaded = float(loaded_w(machine, lowest_clocks(machine)))
    return DoesNotFit(
        arch,
        f"cannot run under its power cap of {cap:g} W: clocked it draws {idle + loaded:g} W before any work "
        f"({idle:g} idle + {loaded:g} loaded_static); raise chip.power.cap",
        None,
    )


def _offloading(runtime: Runtime, system: System, policy: str | None) -> Runtime:
    """The runtime under that offload policy. Raises UserError where the memory has no units to offload to."""
    if policy is None:
        return runtime
    if system.chip.pim is None:
        raise UserError("--offload", policy, f"the memory of {system.name} has no PIM units; leave it out")
    return runtime.offloading(policy)


class DeployWords(TypedDict):
    """What `deploy` is told beside architecture, model and tokens, as it takes them."""

    precision: str | None
    kv_precision: str | None
    cards: int | str | None
    tensor_parallel: int | None
    plan: str | Plan | None
    runtime: str | None
    uncalibrated: bool
    offload: str | None
    drafting: str | Drafting | None
    software: str | None


def deploy(
    arch: str,
    model: str,
    *,
    precision: str | None = None,
    kv_precision: str | None = None,
    cards: int | str | None = 1,
    tensor_parallel: int | None = None,
    plan: str | Plan | None = None,
    runtime: str | None = None,
    tokens: int = 1,
    uncalibrated: bool = False,
    offload: str | None = None,
    changes: Changes = (),
    software: str | None = None,
    drafting: str | Drafting | None = None,
) -> Deployment:
    """Resolve names and paths into a deployment.

    cards: a number, None for the architecture's usual ones, or "auto" for the smallest power of two that holds the
    weights and a request of `tokens` (1 where none does, so that `require_fit` can say what is missing). plan: a plan,
    its name (tp4-pp2) or a file of its degrees, in place of cards and tensor_parallel. precision and kv_precision
    default to the checkpoint's (bf16 and the runtime's where it tells none), runtime to the architecture's own;
    uncalibrated: leave the architecture's calibration out; offload: policy for PIM units, default the runtime's;
    software: its state, default what labs ran on silicon and open on a projection; drafting: described, or as
    `--speculate` has it, None for a token a step; changes: words put in place of those of the architecture and, after
    "runtime.", of its runtime. The same arguments give the same deployment, for reading, as long as its files are
    unchanged. Raises UserError.
    """
    base = _unplanned(arch, model, precision, kv_precision, runtime, uncalibrated, offload, changes, software, drafting)
    if plan is not None:
        return _under(base, _taken(base, read_plan(plan, base.system, base.model), "--plan"))
    chosen = _plan(base.fitting, cards, tensor_parallel, tokens)
    return _under(base, _taken(base, chosen, "--cards" if tensor_parallel is None else "--tp"))


def _taken(base: Deployment, plan: Plan, option: str) -> Plan:
    """The plan. Raises UserError where the runtime refuses it."""
    reason = base.fitting.refusal(plan)
    if reason:
        raise UserError(option, plan.name, f"{base.runtime.name} {reason}")
    return plan


@remembered_last(_PLANNED)
def _under(base: Deployment, plan: Plan) -> Deployment:
    return base.under(plan)


@remembered
def _unplanned(
    arch: str,
    model: str,
    precision: str | None,
    kv_precision: str | None,
    runtime: str | None,
    uncalibrated: bool,
    offload: str | None,
    changes: Changes,
    software: str | None,
    drafting: str | Drafting | None,
) -> Deployment:
    """The deployment that `deploy` resolves, on a single chip: its plan is still to be chosen."""
    chip = _calibrated(arch, runtime, uncalibrated, changes)
    shape = load_model(model)
    _require_kernels(chip.system, shape)
    scheme = _scheme(chip, shape, precision, kv_precision or stored_kv(shape) or chip.driver.kv.precision)
    driven, record, used = _driven(arch, runtime, uncalibrated, offload, changes, software)
    system, driver, calibration, machine = driven
    drafts = read_drafting(drafting) if isinstance(drafting, str) else drafting
    drafter_of(drafts, shape, scheme.kv)
    found = Deployment(system, driver, shape, scheme, Plan(1, 1), machine, record, calibration, used, drafts)
    return with_shared(found, calibrated_shared(calibration))


class _Chip(NamedTuple):
    """An architecture and its runtime under a calibration, and its machine, for reading."""

    system: System
    driver: Runtime
    calibration: Calibration | None
    machine: np.ndarray


@remembered_last(_PLANNED)
def _calibrated(arch: str, runtime: str | None, uncalibrated: bool, changes: Changes) -> _Chip:
    """The chip of `deploy` as it is described and calibrated, whatever it serves."""
    system = load_system(arch, uncalibrated, of_system(changes))
    driver = load_runtime(runtime or system.runtime, system.chip.unit.kind, of_runtime(changes))
    calibration = None if uncalibrated else calibration_of(arch, of_system(changes))
    if calibration is not None:
        calibration = lent_to_runtime(calibration, runtime or system.runtime)
        driver = calibration.apply(driver.name, driver)
    return _Chip(system, driver, calibration, build_machine(system))


@remembered_last(_PLANNED)
def _driven(
    arch: str, runtime: str | None, uncalibrated: bool, offload: str | None, changes: Changes, software: str | None
) -> tuple[_Chip, np.ndarray, InUse | None]:
    """The same with its software in the state that is asked for, the runtime's record, and what that software is."""
    system, driver, calibration, machine = _calibrated(arch, runtime, uncalibrated, changes)
    driver = _offloading(driver, system, offload)
    used = software_in_use(system, driver, calibration, software)
    if used is not None:
        system, driver, calibration = used.described()
        machine = build_machine(system)
    return _Chip(system, driver, calibration, machine), build_runtime(driver, system), used


def stored_kv(model: Model) -> str | None:
    """The format of the KV cache that the checkpoint is made for."""
    return model.checkpoint.kv if model.checkpoint else None


def _scheme(chip: _Chip, model: Model, told: str | None, kv: str) -> Precision:
    """The scheme that is told, else the checkpoint's own, else 16 bits; as the chip can run it. Raises UserError.

    Where a chip does not multiply the activations that a checkpoint is made for (4-bit floats, or 8-bit ones on older
    chips), they stay in 16 bits, as vLLM runs such weights there.
    """
    own = model.checkpoint
    scheme = resolve_precision(told or (own.scheme if own else _PLAIN), kv)
    if own is not None and scheme.name == own.scheme and own.bits:
        scheme = replace(scheme, bits=own.bits)
    table = chip.machine[0]["multiplies"]
    weights, plain = dtypes.code(scheme.weights), dtypes.code(_PLAIN)
    narrow = scheme.activations == dtypes.name(dtypes.NVFP4) and chip.system.chip.unit.macs.nvfp4 is None
    if told is None and table[weights, dtypes.code(scheme.activations)] == dtypes.NOT_MULTIPLIED:
        narrow = bool(table[weights, plain] != dtypes.NOT_MULTIPLIED)
    return replace(scheme, activations=_PLAIN) if narrow else scheme


def _require_kernels(system: System, model: Model) -> None:
    """UserError where the chip's unit has no kernels for the model's kind of layer."""
    lacking = system.chip.unit.lacks(model.experts is not None, model.latent is not None)
    if lacking is not None:
        key, mend = lacking
        raise UserError(system.name, f"chip.unit.{key}", f"{model.name} {mend}")


def _plan(fitting: Fitting, cards: int | str | None, tensor_parallel: int | None, tokens: int) -> Plan:
    """The plan without a wish for one: replicas that fill an architecture's usual cards, else tensor parallelism."""
    system, usual = fitting.system, fitting.system.usual_cards
    if isinstance(cards, str) and cards != AUTO:
        raise UserError("--cards", "", f"'{cards}' is no number of cards; give a number or {AUTO}")
    if usual > 1 and cards in (None, AUTO) and tensor_parallel is None:
        return fitting.filled(tokens, usual)
    number = fitting.cards_needed(tokens) or 1 if isinstance(cards, str) else cards or usual
    plan = make_plan(system, number, tensor_parallel, fitting.model)
    is_told = isinstance(cards, int) or tensor_parallel is not None
    return plan if is_told or not fitting.refusal(plan) else fitting.widest(number)
