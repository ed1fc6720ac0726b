"""What the configuration class of a `model_type` has where an object within a config.json leaves a key out.

The table is a JSON file, as the configurations are that it completes; its source is its own key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npusim.hardware.data import data_root
from npusim.inputs import remembered
from npusim.inputs.json_text import read_json


@remembered
def class_defaults() -> Mapping[str, dict[str, int | bool]]:
    """The shipped table: sizes by `model_type` and key (Transformers 5.24, configuration classes)."""
    table: Mapping[str, dict[str, int | bool]] = read_json(data_root("workloads") / "class_defaults.json")["classes"]
    return table


def defaults_of(model_type: Any) -> dict[str, int | bool]:
    """Sizes of the class of that `model_type` by their keys; empty for one whose class is not in the table."""
    return dict(class_defaults().get(model_type, {})) if isinstance(model_type, str) else {}
