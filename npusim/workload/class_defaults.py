"""What the configuration class of a `model_type` has where an object within a config.json leaves a key out."""

from __future__ import annotations

from typing import Any

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered


class ClassDefaults(Part):
    """The shipped table of default sizes of configuration classes."""

    name: str
    """Name under which it is looked up and shown."""
    source: str
    """Where the sizes are from."""
    classes: dict[str, dict[str, int | bool]]
    """Sizes by `model_type` and key."""


@remembered
def class_defaults() -> ClassDefaults:
    """The shipped table."""
    return load_yaml(data_root("workloads") / "class_defaults.yaml", ClassDefaults)


def defaults_of(model_type: Any) -> dict[str, int | bool]:
    """Sizes of the class of that `model_type` by their keys; empty for one whose class is not in the table."""
    return dict(class_defaults().classes.get(model_type, {})) if isinstance(model_type, str) else {}
