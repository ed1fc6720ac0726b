"""What a format of a lab's files is, and all of them: those of the modules in `formats/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from npusim.lab.files import formats
from npusim.lab.files.files import json_objects, read_lab_text
from npusim.lab.files.lab_run import LabRun


@dataclass(frozen=True)
class Form:
    """How the content of a file comes to its format. suffixes: of file names; read: from a path, raises UserError."""

    suffixes: tuple[str, ...]
    read: Callable[[Path], Any]


JSON = Form((".json", ".jsonl"), lambda path: json_objects(path, read_lab_text(path)))
"""A list of objects, numbers as they are printed."""
CSV = Form((".csv",), read_lab_text)
TEXT = Form((".txt", ".prom", ".log", ".metrics", ""), read_lab_text)
WORKBOOK = Form((".xlsx",), lambda path: path)
"""The path alone: the format opens the book."""


@dataclass(frozen=True)
class Format:
    """says: what it is, for the list of known formats; recognises: whether a content is of it.

    runs: what was measured, from path and content (raises UserError); left_out: of a file in a folder, why it is not
    read by itself, None where it is.
    """

    says: str
    form: Form
    recognises: Callable[[Any], bool]
    runs: Callable[[Path, Any], Iterable[LabRun]]
    left_out: Callable[[Path, Any], str | None] = lambda path, content: None


@cache
def all_formats() -> tuple[Format, ...]:
    """The formats of every module in `formats/`, in the order of the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    modules = (importlib.import_module(f"{formats.__name__}.{name}") for name in names)
    return tuple(each for module in modules for each in module.FORMATS)
