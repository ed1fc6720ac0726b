"""What files and the names of their folders both tell of a run, where the two differ."""

from __future__ import annotations

from collections.abc import Iterator

from npusim.lab.files.lab_run import RunConditions
from npusim.lab.files.naming import shipped_arch
from npusim.workload.model_names import shipped_model

_LENGTHS = 0.1
"""Part by which mean lengths may differ from those in a name."""


def differences(file: RunConditions, names: RunConditions) -> Iterator[str]:
    """Each condition of which the file says one thing, and its name or a folder above it another."""
    for what in ("cards", "users", "tensor_parallel", "isl", "osl"):
        own, named = getattr(file, what), getattr(names, what)
        margin = _LENGTHS if what in ("isl", "osl") else 0.0
        if own and named and abs(own / named - 1.0) > margin:
            yield f"{what.replace('_', ' ')}: {own:g} in the file, {named:g} in the name of the file or its folder"
    for what, known in (("device", shipped_arch), ("model", shipped_model)):
        own, named = getattr(file, what), getattr(names, what)
        if own and named and known(own) and known(named) and known(own) != known(named):
            yield f"{what}: {own} in the file, {named} in the name of the file or its folder"
