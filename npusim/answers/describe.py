"""What is shipped, and what one architecture, model, runtime, memory or PIM is: the answers of `list` and `show`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from npusim.answers.energy import bottom_up_over_given
from npusim.answers.origins import numbers_by_kind, origins
from npusim.answers.peaks import peak_ops_per_s, scopes
from npusim.answers.silicon import silicon_facts
from npusim.answers.software import software_facts
from npusim.errors import UserError
from npusim.hardware.address_map import FittedMap
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import (
    calibration_of,
    lent_to_runtime,
    load_memory,
    load_pim,
    load_runtime,
    load_system,
    runtime_path,
    shipped_memories,
    shipped_pims,
    shipped_runtimes,
    shipped_systems,
    software_in_use,
)
from npusim.hardware.description import Description, extended, read_yaml
from npusim.hardware.dram import Dram
from npusim.hardware.pim import Pim, PimRates
from npusim.hardware.runtime import Runtime
from npusim.hardware.software import InUse
from npusim.hardware.system import System
from npusim.hardware.undisclosed import undisclosed
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import is_file
from npusim.mapping.footprint import weight_bytes
from npusim.mapping.lower import program
from npusim.mapping.plan import Plan
from npusim.units import NS_PER_S
from npusim.workload.catalog import list_models, load_model, shipped_models, taken_for
from npusim.workload.formats import formats, kv_bits
from npusim.workload.grid import Grid, list_grids
from npusim.workload.loads.catalog import list_loads
from npusim.workload.loads.facts import load_summary
from npusim.workload.model import Model
from npusim.workload.precision import SCHEMES, resolve_precision
from npusim.workload.profile import Profile, list_profiles

_Kind = Literal["architecture", "model", "runtime", "memory", "pim"]

_DESCRIPTIONS: dict[_Kind, type[Description]] = {"architecture": System, "runtime": Runtime, "memory": Dram, "pim": Pim}
_BITS_PER_BYTE = 8
_ANY_KV = "bf16"


def list_items(what: str) -> list[dict[str, Any]]:
    """A short record of everything shipped of `what`, one of the words of `npusim list`.

    SI units.
    """
    return _LISTS[what]()


def describe(name_or_path: str, uncalibrated: bool = False, family: str | None = None) -> dict[str, Any]:
    """Everything known of an architecture, model, runtime or DRAM standard. Raises UserError for an unknown name.

    uncalibrated: leave an architecture's calibration out; a runtime is shown as described, whatever chips it drives.
    family: of models, whose layers a model is taken to have.
    """
    kind = kind_of_description(name_or_path)
    if kind == "model":
        return _show_model(taken_for(name_or_path, family))
    if kind == "architecture":
        return _show_architecture(name_or_path, uncalibrated)
    return {"runtime": _show_runtime, "memory": _show_memory, "pim": _show_pim}[kind](name_or_path)


def kind_of_description(name_or_path: str) -> _Kind:
    """What a shipped name, an alias or a file describes. Raises UserError with the nearest name."""
    path = Path(name_or_path).expanduser()
    if path.suffix in {".yaml", ".yml"}:
        return max(_DESCRIPTIONS, key=lambda kind: _likeness(path, _DESCRIPTIONS[kind]))
    name = name_or_path.strip().lower()
    if name in shipped_systems():
        return "architecture"
    if name in shipped_runtimes():
        return "runtime"
    if name in {
        spelling.lower() for memory in shipped_memories() for spelling in (memory, *load_memory(memory).aliases)
    }:
        return "memory"
    if name in shipped_pims():
        return "pim"
    if name in shipped_models() or is_file(path) or path.suffix == ".json":
        return "model"
    described = (load_system(system, uncalibrated=True) for system in shipped_systems())
    aliases = {alias.lower() for system in described for alias in system.aliases}
    if name in aliases:
        return "architecture"
    unknown_silicon = undisclosed(name_or_path)
    if unknown_silicon is not None:
        raise unknown_silicon
    known = [*shipped_systems(), *shipped_runtimes(), *shipped_memories(), *shipped_pims(), *shipped_models(), *aliases]
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean '{near[0]}'?" if near else "see npusim list --help"
    raise UserError(
        "show", name_or_path, f"no such architecture, model, runtime or DRAM standard; {mend}, or give a file"
    )


def _likeness(path: Path, schema: type[Description]) -> tuple[int, bool]:
    """How well a file fits a kind of description: the fewer foreign keys the better, then whether it is complete."""
    foreign = read_yaml(path).keys() - schema.model_fields.keys()
    try:
        known = extended(schema.FOLDER, read_yaml(path), path).keys()
    except UserError:
        return -len(foreign), False
    return -len(foreign), all(name in known for name, field in schema.model_fields.items() if field.is_required())


def _calibration_facts(calibration: Calibration | None) -> dict[str, Any]:
    """`calibrated`, and what the calibration is where there is one."""
    if calibration is None:
        return {"calibrated": False}
    named = {"name": calibration.name, "date": calibration.date, "source": calibration.source}
    return {"calibrated": True, "calibration": {**named, "numbers": len(calibration.numbers)}}


def _architecture_facts(system: System, calibration: Calibration | None) -> dict[str, Any]:
    memory = system.chip.memory
    return {
        "name": system.name,
        "title": system.title,
        "vendor": system.vendor,
        "silicon": system.silicon,
        "unit": system.chip.unit.kind,
        "runtime": system.runtime,
        **_calibration_facts(calibration),
        "chips_per_card": system.chips_per_card,
        "max_cards": system.max_cards,
        "peak_ops_per_s": peak_ops_per_s(system),
        "memory_technology": memory.technology,
        "memory_bandwidth_bytes_per_s": memory.peak_bandwidth_bytes_per_s,
        "memory_capacity_bytes": memory.capacity.value,
        "memory_usable_bytes": memory.data_bytes,
        **({} if not isinstance(memory.address_map, FittedMap) else {"address_map_rule": memory.address_map.rule}),
        **{name: system.chip.unit.product(parts) for name, parts in system.chip.unit.TRAITS.on_chip.items()},
        "tdp_w": system.chip.power.tdp.value,
        "power_cap_w": system.chip.power.cap.value if system.chip.power.enforces else None,
    }


def _show_architecture(name_or_path: str, uncalibrated: bool) -> dict[str, Any]:
    system = load_system(name_or_path, uncalibrated)
    calibration = None if uncalibrated else calibration_of(name_or_path)
    facts, found = _architecture_facts(system, calibration), origins(name_or_path, calibration)
    used = _software_of(system, calibration)
    return {
        "kind": "architecture",
        **facts,
        "per": scopes(system),
        "die": silicon_facts(system),
        "energy_bottom_up_over_given": bottom_up_over_given(system),
        "numbers": numbers_by_kind(name_or_path, system),
        **({} if found is None else {"origins": found}),
        **({} if used is None else {"software": software_facts(used)}),
        "note": system.note,
        "aliases": list(system.aliases),
        "config": system.model_dump(mode="json"),
    }


def _software_of(system: System, calibration: Calibration | None) -> InUse | None:
    """The software of the architecture's usual runtime; None where only what it does is described."""
    driver = load_runtime(system.runtime, system.chip.unit.kind)
    if calibration is not None:
        driver = lent_to_runtime(calibration, system.runtime).apply(driver.name, driver)
    return software_in_use(system, driver, calibration, None)


def _list_architectures() -> list[dict[str, Any]]:
    return [_architecture_facts(load_system(name), calibration_of(name)) for name in shipped_systems()]


def _weight_bytes(model: Model) -> dict[str, float]:
    """Bytes of all weights by precision scheme."""
    one_chip = Plan(tensor_parallel=1, cards=1)
    return {
        scheme: weight_bytes(program(model, resolve_precision(scheme, _ANY_KV), one_chip), model, one_chip)
        for scheme in SCHEMES
    }


def _kv_bytes_per_token(model: Model) -> dict[str, float]:
    elements = model.kv_elements_per_token
    kinds = type(formats().kv).model_fields
    return {name: elements * kv_bits(name) / _BITS_PER_BYTE for name in kinds}


_MODEL_FACTS = (
    "name",
    "title",
    "family",
    "parameters",
    "published_parameters",
    "active_parameters",
    "published_active_parameters",
)


def _show_model(name_or_path: str) -> dict[str, Any]:
    model = load_model(name_or_path)
    load_summary = model.summary()
    return {
        "kind": "model",
        **{key: load_summary.pop(key) for key in _MODEL_FACTS},
        "max_context": model.max_context,
        "weight_bytes": _weight_bytes(model),
        "kv_bytes_per_token": _kv_bytes_per_token(model),
        "config": load_summary,
    }


def _list_models() -> list[dict[str, Any]]:
    keys = ("name", "title", "family", "parameters", "layers", "heads", "kv_heads", "max_context")
    return [{key: model.summary()[key] for key in keys} for model in list_models()]


def _runtime_facts(runtime: Runtime) -> dict[str, Any]:
    return {
        "name": runtime.name,
        "title": runtime.title,
        "unit": runtime.unit,
        "policy": runtime.policy.kind,
        "decode_batch": runtime.decode_batch.kind,
        "prefill_chunk": runtime.prefill_chunk.kind,
        "attention": runtime.attention.kind,
        "max_sequences": int(runtime.limits.max_sequences.value),
        "kv_precision": runtime.kv.precision,
        "prefix_caching": runtime.kv.prefix_caching,
    }


def _show_runtime(name_or_path: str) -> dict[str, Any]:
    runtime = load_yaml(runtime_path(name_or_path), Runtime)
    return {"kind": "runtime", **_runtime_facts(runtime), "config": runtime.model_dump(mode="json")}


def _list_runtimes() -> list[dict[str, Any]]:
    return [_runtime_facts(load_yaml(path, Runtime)) for path in shipped_runtimes().values()]


def _memory_facts(memory: Dram) -> dict[str, Any]:
    shape = memory.organisation
    return {
        "name": memory.name,
        "title": memory.title,
        "family": memory.family,
        "peak_bytes_per_s": memory.peak_bandwidth.value,
        "clock_ns": memory.clock_period_s * NS_PER_S,
        "access_bytes": shape.access.value,
        "metadata_fraction": shape.metadata.value / (shape.access.value + shape.metadata.value),
        "row_bytes": shape.row.value,
        "ranks": int(shape.ranks.value),
        "bank_groups": int(shape.bank_groups.value),
        "banks_per_group": int(shape.banks_per_group.value),
    }


def _show_memory(name_or_path: str) -> dict[str, Any]:
    memory = load_memory(name_or_path)
    facts = _memory_facts(memory) | {"note": memory.note, "aliases": list(memory.aliases)}
    return {"kind": "memory", **facts, "config": memory.model_dump(mode="json")}


def _list_memories() -> list[dict[str, Any]]:
    return [_memory_facts(load_memory(name)) for name in shipped_memories()]


def _pim_facts(pim: Pim) -> dict[str, Any]:
    rates = pim.unit.mac.rates
    maps = {"gemv": pim.unit.linear, "attention": pim.unit.attention, "element-wise": pim.unit.streams}
    return {
        "name": pim.name,
        "title": pim.title,
        "silicon": pim.silicon,
        "memory": pim.memory.name,
        "channels": int(pim.channels.value),
        "units_per_channel": int(pim.unit.mac.units.value),
        "external_bytes_per_s": pim.external_bandwidth_bytes_per_s,
        "all_bank_bytes_per_s": pim.all_bank_bandwidth_bytes_per_s,
        "types": [name for name in PimRates.model_fields if getattr(rates, name) is not None],
        "operations": [name for name, mapping in maps.items() if mapping is not None],
    }


def _show_pim(name_or_path: str) -> dict[str, Any]:
    pim = load_pim(name_or_path)
    facts = _pim_facts(pim) | {"note": pim.note, "aliases": list(pim.aliases)}
    return {"kind": "pim", **facts, "config": pim.model_dump(mode="json")}


def _list_pims() -> list[dict[str, Any]]:
    return [_pim_facts(load_pim(name)) for name in shipped_pims()]


def _grid_facts(grid: Grid) -> dict[str, Any]:
    return {
        "name": grid.name,
        "title": grid.title,
        "arrival": grid.arrival,
        "requests_per_user": grid.requests_per_user,
        "cells": len(list(grid.cells())),
        "source": grid.source,
    }


def _list_grids() -> list[dict[str, Any]]:
    return [_grid_facts(grid) for grid in list_grids()]


def _profile_facts(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "interactive": profile.traffic is not None,
        "requests": [each.name for each in profile.requests],
        "longest": profile.longest,
    }


def _list_profiles() -> list[dict[str, Any]]:
    return [_profile_facts(profile) for profile in list_profiles()]


_LISTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "archs": _list_architectures,
    "models": _list_models,
    "runtimes": _list_runtimes,
    "memories": _list_memories,
    "pims": _list_pims,
    "grids": _list_grids,
    "loads": lambda: [load_summary(load) for load in list_loads()],
    "profiles": _list_profiles,
}
