"""Finding and loading architectures, runtimes and DRAM standards: shipped ones by name or alias, one's own by path."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from npusim.errors import UserError
from npusim.hardware.calibration import Calibration, same_numbers
from npusim.hardware.changes import Changes
from npusim.hardware.data import data_root
from npusim.hardware.description import lineage, part_file, read_yaml
from npusim.hardware.dram import Dram
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.hardware.pim import Pim
from npusim.hardware.runtime import Runtime
from npusim.hardware.software import InUse, Software, usual_state
from npusim.hardware.states import AS_LABS_RAN, STATES
from npusim.hardware.system import System
from npusim.hardware.undisclosed import undisclosed
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import aside, is_file, remembered

_Described = TypeVar("_Described", System, Runtime, Calibration, Dram, Pim, Software, Neuromorphic)
Aliased = TypeVar("Aliased", System, Dram, Pim)


@cache
def shipped_systems() -> dict[str, Path]:
    """File of each shipped architecture by its name."""
    return {path.stem: path for path in sorted(data_root("arch_configs").glob("*.yaml"))}


@cache
def shipped_runtimes() -> dict[str, Path]:
    """File of each shipped runtime by its name."""
    return {path.stem: path for path in sorted((data_root("arch_configs") / "runtimes").glob("*.yaml"))}


@cache
def shipped_memories() -> dict[str, Path]:
    """File of each shipped DRAM standard by its name."""
    return {path.stem: path for path in sorted((data_root("arch_configs") / "memories").glob("*.yaml"))}


@cache
def shipped_pims() -> dict[str, Path]:
    """File of each shipped memory with PIM units by its name."""
    return {path.stem: path for path in sorted((data_root("arch_configs") / "pims").glob("*.yaml"))}


@cache
def shipped_neuromorphic() -> dict[str, Path]:
    """File of each shipped event-driven unit by its name."""
    return {path.stem: path for path in sorted((data_root("arch_configs") / "neuromorphic").glob("*.yaml"))}


def system_path(name_or_path: str) -> Path:
    """The file of the architecture of that shipped name, alias or path. Raises UserError with the nearest names."""
    path = _own_file(name_or_path)
    if path is not None:
        return path
    files = shipped_systems()
    file = _shipped_file(files, name_or_path, System)
    if file is None:
        raise undisclosed(name_or_path) or _unknown("architecture", name_or_path, list(files), "npusim list archs")
    return file


def load_system(name_or_path: str, uncalibrated: bool = False, changes: Changes = ()) -> System:
    """The architecture of that shipped name, alias or path, under its calibration unless that is switched off.

    changes: words put in place of its own. Raises UserError with the nearest names.
    """
    system = _read_system(system_path(name_or_path), changes)
    calibration = None if uncalibrated else calibration_of(name_or_path, changes)
    return system if calibration is None else calibration.apply(system.name, system)


def calibration_of(name_or_path: str, changes: Changes = ()) -> Calibration | None:
    """The calibration that the architecture names under `calibration:`, beside its own file. Raises UserError.

    changes: of the architecture; numbers that follow from them are no longer calibrated.
    """
    found = _calibration_of(name_or_path)
    if found is None or not changes:
        return found
    path = system_path(name_or_path)
    system = _read_system(path)
    return found.lent(system.name, system.name, same_numbers(system, _read_system(path, changes)))


@remembered
def _calibration_of(name_or_path: str) -> Calibration | None:
    path, file = system_path(name_or_path), calibration_path(name_or_path)
    if file is None:
        return None
    if not is_file(file):
        raise UserError(
            str(path),
            "calibration",
            f"no file {file}; put the calibration there, or take the key out (or --uncalibrated)",
        )
    calibration = _read(file, Calibration)
    system = _read_system(path)
    if calibration.arch == system.name:
        return calibration.held_by(system.name, system)
    fitted = next((base for base, data in _bases(path) if data.get("name") == calibration.arch), None)
    if fitted is None:
        raise UserError(
            str(path),
            "calibration",
            f"{calibration.name} was fitted to {calibration.arch}, not to {system.name}; take the key out",
        )
    base = _read_system(fitted)
    return calibration.held_by(base.name, base).lent(base.name, system.name, same_numbers(base, system))


def lent_to_runtime(calibration: Calibration, name_or_path: str) -> Calibration:
    """The calibration for a runtime: as it is, or lent where the runtime inherits from one that it holds for."""
    path = runtime_path(name_or_path)
    runtime = _read(path, Runtime)
    if calibration.holds_for(runtime.name):
        return calibration.held_by(runtime.name, runtime)
    for file, data in lineage(Runtime.FOLDER, read_yaml(path), path):
        if calibration.holds_for(str(data.get("name"))):
            base = _read(file, Runtime)
            return calibration.held_by(base.name, base).lent(base.name, runtime.name, same_numbers(base, runtime))
    return calibration


def calibration_path(name_or_path: str) -> Path | None:
    """The file of that calibration, None where the architecture names none. Raises UserError."""
    path = system_path(name_or_path)
    system = _read_system(path)
    if system.calibration is None:
        return None
    beside = [file.parent / system.calibration for file in (path, *(base for base, _ in _bases(path)))]
    return next((file for file in beside if is_file(file)), beside[0])


def _bases(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    return lineage(System.FOLDER, read_yaml(path), path)


def root_of(name_or_path: str) -> Path | None:
    """The file of the architecture at the end of the lineage of that one; None where it inherits from none."""
    bases = _bases(system_path(name_or_path))
    return bases[-1][0] if bases else None


def base_system(name_or_path: str) -> System | None:
    """The nearest shipped architecture that a user's own one extends, uncalibrated; None where it extends none."""
    path, shipped = system_path(name_or_path), set(shipped_systems().values())
    bases = [] if path in shipped else _bases(path)
    return next((_read_system(base) for base, _ in bases if base in shipped), None)


def calibrated_systems(unit: str) -> list[str]:
    """Names of the shipped architectures with that compute unit and silicon of their own that have a calibration."""
    described = {name: _read_system(path) for name, path in shipped_systems().items()}
    return [
        name
        for name, system in described.items()
        if system.chip.unit.kind == unit and system.silicon and system.calibration is not None
    ]


def runtime_path(name_or_path: str) -> Path:
    """The file of the runtime of that shipped name or path. Raises UserError with the nearest names."""
    path = _own_file(name_or_path) or shipped_runtimes().get(name_or_path.strip().lower())
    if path is None:
        raise _unknown("runtime", name_or_path, list(shipped_runtimes()), "npusim list runtimes")
    return path


def load_runtime(name_or_path: str, unit: str, changes: Changes = ()) -> Runtime:
    """The runtime of that shipped name or path with `changes`, checked to drive the compute unit `unit`."""
    runtime = _read(runtime_path(name_or_path), Runtime, changes)
    if runtime.unit != unit:
        fitting = [name for name, file in shipped_runtimes().items() if _read(file, Runtime).unit == unit]
        raise UserError(
            "--runtime",
            "",
            f"'{runtime.name}' drives a {runtime.unit}, this chip is a {unit}; use one of: {', '.join(fitting)}",
        )
    return runtime


def load_software(name: str) -> Software:
    """The shipped software of that name. Raises UserError."""
    return _read(part_file(Software.FOLDER, name), Software)


def software_in_use(
    system: System, driver: Runtime, calibration: Calibration | None, state: str | None
) -> InUse | None:
    """The software in a state, the usual one where none is asked for; None for a runtime that describes no states."""
    if state is not None and state not in STATES:
        raise UserError("--software", state, f"is no state of software; use one of: {', '.join(STATES)}")
    if driver.software is None:
        if state in (None, AS_LABS_RAN):
            return None
        raise UserError(
            "--software", str(state), f"{driver.name} tells nothing but what it does (no key 'software'); leave it out"
        )
    chosen = next(each for each in STATES if each == (state or usual_state(system)))
    return InUse(load_software(driver.software), chosen, state is not None, system, driver, calibration)


def memory_path(name_or_path: str) -> Path:
    """The file of the DRAM standard of that shipped name, alias or path. Raises UserError with the nearest names."""
    path = _own_file(name_or_path)
    if path is not None:
        return path
    files = shipped_memories()
    file = _shipped_file(files, name_or_path, Dram)
    if file is None:
        raise _unknown("DRAM standard", name_or_path, list(files), "npusim list memories")
    return file


def load_memory(name_or_path: str) -> Dram:
    """The DRAM standard of that shipped name, alias or path. Raises UserError, also for impossible timings."""
    return _read(memory_path(name_or_path), Dram)


def pim_path(name_or_path: str) -> Path:
    """The file of the memory with PIM units of that shipped name or path. Raises UserError with the nearest names."""
    path = _own_file(name_or_path)
    if path is not None:
        return path
    files = shipped_pims()
    file = _shipped_file(files, name_or_path, Pim)
    if file is None:
        raise _unknown("memory with PIM units", name_or_path, list(files), "npusim list pims")
    return file


def load_pim(name_or_path: str) -> Pim:
    """The memory with PIM units of that shipped name or path. Raises UserError."""
    return _read(pim_path(name_or_path), Pim)


def load_neuromorphic(name_or_path: str) -> Neuromorphic:
    """The event-driven unit of that shipped name or path. Raises UserError with the nearest names."""
    files = shipped_neuromorphic()
    path = _own_file(name_or_path) or files.get(name_or_path.strip().lower())
    if path is None:
        raise _unknown("event-driven unit", name_or_path, list(files), "npusim neuromorphic --help")
    return _read(path, Neuromorphic)


def _shipped_file(files: Mapping[str, Path], name: str, schema: type[Aliased]) -> Path | None:
    """The shipped file of that name, or with that alias. Files that are only asked for their aliases are no inputs."""
    wanted = name.strip().lower()
    if wanted in files:
        return files[wanted]
    with aside():
        found = (file for file in files.values() if wanted in map(str.lower, _read(file, schema).aliases))
        return next(found, None)


def _read_system(path: Path, changes: Changes = ()) -> System:
    return _read(path, System, changes)


@remembered
def _read(path: Path, schema: type[_Described], changes: Changes = ()) -> _Described:
    return load_yaml(path, schema, changes)


def _own_file(name_or_path: str) -> Path | None:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.parent != Path("."):
        if not is_file(path):
            raise UserError(name_or_path, "", "no such file; give a shipped name or the path of a YAML file")
        return path
    return None


def _unknown(what: str, name: str, known: list[str], command: str) -> UserError:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UserError(what, name, f"unknown {what}; {mend} ({command}), or give the path of a YAML file")
