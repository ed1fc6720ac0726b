"""The kinds of compute units: one module each, found by its name; whoever needs the list reads `KINDS`."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from npusim.compilation import kernel_by_record
from npusim.hardware.compute import Unit

MARK = "unit_is_"
"""Begins the name of the field that says of which kind the unit of a machine's record is."""


def _found() -> dict[str, type[Unit]]:
    """The model of each kind by its name, which is its module's and its `kind` in YAML."""
    kinds = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        models = [
            value
            for value in vars(import_module(f"{__name__}.{module}")).values()
            if isinstance(value, type) and issubclass(value, Unit) and value is not Unit
        ]
        if len(models) != 1 or get_args(models[0].model_fields["kind"].annotation) != (module,):
            raise TypeError(f"hardware/units/{module}.py: needs one Unit, with kind: Literal['{module}']")
        kinds[module] = models[0]
    return kinds


KINDS = _found()

if TYPE_CHECKING:
    ComputeUnit = Unit
else:
    ComputeUnit = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007


def kind_of(fields: frozenset[str]) -> str:
    """The kind of unit of a machine's record with these fields. Raises ValueError where it has none."""
    for kind in KINDS:
        if MARK + kind in fields:
            return kind
    raise ValueError("a record of no compute unit")


def kernel_by_unit(package: str, required: bool = False) -> Callable[[Any], Any]:
    """A kernel that each kind of unit may have its own of, of the same name and in the module `package`.<kind>.

    The function below it is what holds for kinds without one. required: there are none; it says what a kind must do.
    """

    def decorate(contract: Any) -> Any:
        def choose(fields: frozenset[str]) -> Any:
            kind = kind_of(fields)
            own = getattr(import_module(f"{package}.{kind}"), contract.__name__, None)
            if own is None and not required:
                return contract
            if own is None or inspect.signature(own).parameters.keys() != inspect.signature(contract).parameters.keys():
                asked = f"{contract.__name__}{inspect.signature(contract)}"
                raise TypeError(f"{package}.{kind} needs {asked}: {contract.__doc__}")
            return own

        return kernel_by_record("machine", choose)(contract)

    return decorate


@kernel_by_unit(__name__)
def rows_of_other_ranks(row, machine, runtime):  # type: ignore[no-untyped-def]
    """Rows for other ranks' experts that the row is computed for too, per row of this rank's."""
    return 0.0
