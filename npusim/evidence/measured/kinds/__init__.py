"""Every kind of measured table: a module here is one, and its KIND says all about it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from npusim.evidence.measured.kind import TableKind


@cache
def table_kinds() -> dict[str, TableKind]:
    """The kinds by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.KIND.name: module.KIND for module in modules}
