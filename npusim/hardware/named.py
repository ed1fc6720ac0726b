"""A part may stand in a description by the name of its own file, or as a map that changes another's (`based_on`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BeforeValidator

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import read_yaml

BASE = "based_on"


def named(folder: str) -> BeforeValidator:
    """Reads a part that is given by the name of a shipped file in `folder` of arch_configs, or by a file's path."""

    def resolve(value: Any) -> Any:
        return read_yaml(part_file(folder, value)) if isinstance(value, str) else value

    return BeforeValidator(resolve)


def with_base(folder: str, data: Any) -> Any:
    """`data` laid over the description that its key `based_on` names; a provenance is replaced as a whole."""
    if not isinstance(data, dict) or BASE not in data:
        return data
    changes = {key: value for key, value in data.items() if key != BASE}
    base = read_yaml(part_file(folder, str(data[BASE])))
    return _laid_over(with_base(folder, base), changes)


def part_file(folder: str, name_or_path: str) -> Path:
    """The file of a shipped part in that folder of arch_configs, or a user's own. Raises UserError with the names."""
    own = Path(name_or_path)
    if own.suffix in {".yaml", ".yml"}:
        return own
    files = {path.stem: path for path in sorted((data_root("arch_configs") / folder).glob("*.yaml"))}
    if name_or_path not in files:
        raise UserError(
            folder, name_or_path, f"no such file; known: {', '.join(files)}, or give a path ending in .yaml"
        )
    return files[name_or_path]


def _laid_over(base: Any, changes: Any) -> Any:
    plain = isinstance(base, dict) and isinstance(changes, dict) and "value" not in changes
    if not plain:
        return changes
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in changes.items()}}
