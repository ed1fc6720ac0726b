"""Event-driven units that are shipped, and what one of them is: the answers of `list neuromorphic` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npusim.hardware.catalog import load_neuromorphic, shipped_neuromorphic
from npusim.hardware.description import read_yaml
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.inputs import is_file
from npusim.ledger import Quantity, provenances


def list_event_units() -> list[dict[str, Any]]:
    """A short record of each, SI units; None for what nobody tells."""
    return [_facts(load_neuromorphic(name)) for name in shipped_neuromorphic()]


def is_event_unit(name_or_path: str) -> bool:
    """Whether that is the name of a shipped unit, or a YAML file with keys of one alone."""
    own = Path(name_or_path).expanduser()
    if own.suffix in {".yaml", ".yml"} and is_file(own):
        told = read_yaml(own).keys()
        return told <= Neuromorphic.model_fields.keys() and told >= {"name", "title", "silicon"}
    return name_or_path.strip().lower() in shipped_neuromorphic()


def show_event_unit(name_or_path: str) -> dict[str, Any]:
    """What a unit is, each number with its source. Raises UserError."""
    unit = load_neuromorphic(name_or_path)
    return {"kind": "event-driven unit", **_facts(unit), "note": unit.note, "config": unit.model_dump(mode="json")}


def _facts(unit: Neuromorphic) -> dict[str, Any]:
    told: dict[str, Quantity | None] = {name: getattr(unit, name) for name in (*_COUNTS, *_RATES)}
    counts = {name: None if (each := told[name]) is None else int(each.value) for name in _COUNTS}
    rates = {name: None if (each := told[name]) is None else each.value for name in _RATES}
    optional = [name for name, field in Neuromorphic.model_fields.items() if not field.is_required() and name != "note"]
    return {
        "name": unit.name,
        "title": unit.title,
        "silicon": unit.silicon,
        **counts,
        "peak_synaptic_ops_per_s": rates["peak"],
        "power_limit_w": rates["power_limit"],
        "numbers": sum(1 for _ in provenances(unit.name, unit)),
        "untold": [name for name in optional if getattr(unit, name) is None],
    }


_COUNTS, _RATES = ("cores", "neurons_per_core", "synapses"), ("peak", "power_limit")
