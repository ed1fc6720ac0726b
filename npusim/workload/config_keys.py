"""Keys of a config.json that do not change what a model costs, and the refusal of those of which that is not known."""

from __future__ import annotations

import re
from typing import Any

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.workload.config_file import ConfigFile
from npusim.workload.families import FAMILIES, KEYS

_COSTS = re.compile(
    r"num|size|dim|rank|layer|head|expert|window|state|conv|index|top_?k|group|width|hidden|block|pattern|spars|share"
    r"|chunk|lora|bias|norm|gate|gating|mtp|proj|att|moe|embed|mlp|ffn|depth|linear|kv|mamba|ssm|cross|expan|ratio|mult"
    r"|loop|recur|memory|cache|residual|router|period|interval|freq"
)
"""What a key is called that may change the cost."""


class ConfigKeys(Part):
    """The shipped table of keys."""

    name: str
    """Name under which it is looked up and shown."""
    harmless: tuple[str, ...]
    """Keys that do not change the cost."""
    harmless_pattern: str
    """Regular expression that is searched in keys of the same kind."""
    read: tuple[str, ...]
    """Keys that are read under one spelling."""


@remembered
def config_keys() -> ConfigKeys:
    """The shipped table."""
    return load_yaml(data_root("workloads") / "config_keys.yaml", ConfigKeys)


def read_keys() -> set[str]:
    """Every key that is read for some family."""
    spelled = {name for spellings in KEYS.values() for name in spellings}
    rows = FAMILIES.values()
    own = {name for row in rows for names in row.keys.values() for name in names}
    switches = {value for row in rows for value in vars(row).values() if isinstance(value, str)}
    return set(config_keys().read) | spelled | own | switches | {name for row in rows for name in row.defaults}


def is_harmless(key: str) -> bool:
    """Whether a key is known not to change what a model costs."""
    table = config_keys()
    return key in table.harmless or re.search(table.harmless_pattern, key) is not None


def refuse_unread(config: ConfigFile, harmless: tuple[str, ...]) -> None:
    """Raises UserError for a key that may change the cost, and that nothing has read; `harmless`: the file's own."""
    for path, value in config.unasked():
        key = path.rpartition(".")[2]
        if is_harmless(key) or key in harmless:
            continue
        if _COSTS.search(key) and _says_something(value):
            raise config.mistake(
                path, "is not understood and may change the cost; if it does not, name it in npusim.harmless (a list)"
            )


def _says_something(value: Any) -> bool:
    """Whether a value can change a shape: a number, a switch that is on, a list or an object that is not empty."""
    return bool(value) and not isinstance(value, str | float)
