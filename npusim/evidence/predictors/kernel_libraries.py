"""Which kernel libraries of a GPU something measured was built with, by the kind of kernel."""

from __future__ import annotations

from typing import Any

from npusim.errors import UserError
from npusim.hardware.catalog import load_system
from npusim.hardware.runtime_record import RUNTIME_DTYPE
from npusim.inputs import remembered
from npusim.mapping.optable import ATTENTION, LINEAR

_ATTENTION_KINDS = ("attention", "latent", "latent_prompt")

Libraries = tuple[tuple[str, str], ...]
"""(kind, name) of libraries that replace the runtime's: linear, attention, vector, grouped, latent."""


def choose(libraries: Libraries, arch: str, runtime: Any) -> None:
    """Write `libraries` into a runtime's record, in place, also as those of 8-bit operands. Raises UserError for one
    that the chip does not have."""
    for kind, name in libraries:
        for field in (f"{kind}_library", f"{kind}_fp8_library"):
            if field in (RUNTIME_DTYPE.names or ()):
                runtime[field] = _index(arch, kind, name)


def library_of(row: Any, runtime: Any) -> int:
    """Index of the library that runs the operator of an OpTable row alone."""
    kinds = {ATTENTION: "attention", LINEAR: "grouped" if row["matrices"] > 0.0 else "linear"}
    return int(runtime[f"{kinds.get(int(row['kind']), 'vector')}_library"])


@remembered
def _index(arch: str, kind: str, name: str) -> int:
    unit = load_system(arch, uncalibrated=True).chip.unit
    known = [library.name for library in getattr(unit, "attention" if kind in _ATTENTION_KINDS else kind, ())]
    if name not in known:
        raise UserError(arch, f"{kind}.{name}", "the chip describes no such kernel library")
    return known.index(name)
