"""A model that is written as a graph: which kinds of files are read, and which never are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from npusim.errors import UserError
from npusim.graphs.exported_graph import read_exported
from npusim.graphs.graph import ModelGraph
from npusim.graphs.onnx_graph import read_onnx

_EXPORT = "torch.export.save(torch.export.export(model, inputs), 'model.pt2')"
_PROGRAMS = (".py", ".ipynb")
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")


def read_graph(path: Path, sizes: Mapping[str, int]) -> ModelGraph:
    """The graph of an ONNX file or of an archive of torch.export. sizes: of dimensions that it leaves open, by name.

    A program or a pickle is refused: to learn its graph it would have to be run. Raises UserError.
    """
    suffix = path.suffix.lower()
    if suffix in _PROGRAMS:
        raise UserError(
            str(path), "", f"is a program, and npusim runs none; where you trust it, run {_EXPORT} and import that file"
        )
    if suffix in _PICKLES:
        raise UserError(str(path), "", f"is pickled, and loading it can run anything; give {_EXPORT}, or an ONNX file")
    if suffix == ".onnx":
        return read_onnx(path, sizes)
    if suffix == ".pt2":
        return read_exported(path, sizes)
    raise UserError(str(path), "", "is no model that is read; give ONNX (.onnx) or a torch.export archive (.pt2)")
