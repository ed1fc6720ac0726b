"""Finding and loading models: shipped ones by name or alias, a user's own config.json by path."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.inputs import aside, is_file, is_folder, remembered
from npusim.workload.config_file import ConfigFile
from npusim.workload.dense_model import dense_model, told_parameters
from npusim.workload.hf_config import read_description, read_model
from npusim.workload.model import Model

_AS = " as "
"""Between a model and the family that it is taken for."""


def taken_for(model: str, family: str | None) -> str:
    """The name or path of a model that is taken for one of another family."""
    return model if family is None else f"{model}{_AS}{family}"


def model_path(name_or_path: str) -> Path:
    """The config.json of the model of that shipped name or alias (any case), or at that path.

    Raises UserError with the nearest names.
    """
    name_or_path = name_or_path.partition(_AS)[0]
    own = Path(name_or_path).expanduser()
    is_path = own.suffix == ".json" or name_or_path.startswith((".", "~", "/"))
    path = None if is_path else shipped_model_path(name_or_path)
    if path is not None:
        return path
    if is_folder(own):
        return own / "config.json"
    if is_file(own):
        return own
    if is_path:
        raise UserError(name_or_path, "", "no such file; give a shipped name or the path of a config.json")
    raise _unknown(name_or_path)


def load_model(name_or_path: str) -> Model:
    """The model of that shipped name or alias (any case), or of that config.json or folder holding one.

    "dense 20B" is a dense one with so many parameters, whose shape is assumed; "config.json as llama" has the layers of
    that family, whatever its file says.

    Raises UserError with the nearest names, or with what is wrong in the file.
    """
    parameters = told_parameters(name_or_path)
    if parameters is not None:
        return dense_model(parameters)
    return _load(model_path(name_or_path), name_or_path.partition(_AS)[2])


def list_models() -> tuple[Model, ...]:
    """Every shipped model, by name."""
    return tuple(_load(path, "") for path in _files())


def _files() -> list[Path]:
    return sorted((data_root("workloads") / "models").glob("*.json"))


def shipped_model_path(name: str) -> Path | None:
    """The file of the shipped model of that name or alias (any case)."""
    wanted = name.strip().lower()
    named = {path.stem: path for path in _files()}
    return named.get(wanted) or shipped_models().get(wanted)


@cache
def shipped_models() -> dict[str, Path]:
    """File of each shipped model by its name and by each alias, in lower case."""
    names: dict[str, Path] = {}
    with aside():
        for path in _files():
            names[path.stem] = path
            for alias in read_description(ConfigFile(path), path.stem).aliases:
                names[alias.lower()] = path
    return names


@remembered
def _load(path: Path, family: str) -> Model:
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return read_model(path, name, family.strip())


def _unknown(name: str) -> UserError:
    near = difflib.get_close_matches(name.strip().lower(), shipped_models(), n=1)
    known = ", ".join(path.stem for path in _files())
    mend = f"did you mean '{shipped_models()[near[0]].stem}'?" if near else f"known: {known}"
    others = "give the path of a config.json, or only the size as 'dense 20B'"
    message = f"unknown model; {mend} (npusim list models), or {others}"
    return UserError("model", name, message)
