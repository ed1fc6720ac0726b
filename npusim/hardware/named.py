"""A part may stand in a description by the name of its own file, or as a map that changes another's (`based_on`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import named_file, read_yaml, reading_from

BASE = "based_on"


def named(folder: str) -> WrapValidator:
    """Reads a part that is given by the name of a shipped file in `folder` of arch_configs, or by a file's path.

    A relative path counts from the folder of the description that names it, or from the working folder.
    """

    def resolve(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, str):
            return check(value)
        file = part_file(folder, value)
        with reading_from(file.parent):
            return check(read_yaml(file))

    return WrapValidator(resolve)


def with_base(folder: str, data: Any) -> Any:
    """`data` laid over the description that its key `based_on` names; a provenance is replaced as a whole."""
    if not isinstance(data, dict) or BASE not in data:
        return data
    changes = {key: value for key, value in data.items() if key != BASE}
    file = part_file(folder, str(data[BASE]))
    with reading_from(file.parent):
        return _laid_over(with_base(folder, read_yaml(file)), changes)


def part_file(folder: str, name_or_path: str) -> Path:
    """The file of a shipped part in that folder of arch_configs, or a user's own. Raises UserError with the names."""
    if Path(name_or_path).suffix in {".yaml", ".yml"}:
        return named_file(name_or_path)
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
