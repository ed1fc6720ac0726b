"""A model that is written as a graph: its operators, and what of them a chip runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options


@dataclass(frozen=True)
class ImportOptions(Options):
    """What `npusim import` is asked."""

    path: Annotated[Path, Argument("An ONNX file or an archive of torch.export.", metavar="MODEL.onnx|MODEL.pt2")]
    _: KW_ONLY
    arch: Annotated[
        str | None,
        Option(
            "Architecture whose unit runs the graph, by name or path.",
            metavar="ARCH",
            default="any: of each operator the unit that runs it worst",
        ),
    ] = None
    dimensions: Annotated[
        Sequence[str] | None,
        Option(
            "Size of a dimension that the file leaves open; several with commas between them, or each after a --dim of "
            "its own.",
            names=("--dim",),
            metavar="NAME=N",
            default="none is open",
        ),
    ] = None


@dataclass(frozen=True)
class ImportResult:
    """answer: everything, as the command line's JSON has it."""

    answer: Answer
    asked: ImportOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("import")


@asked_by(ImportOptions)
def import_model(asked: ImportOptions) -> ImportResult:
    """The operators of a graph with their work, how a chip runs each, and what the host's part costs. UserError."""
    from npusim.answers.imported import import_graph, parse_sizes

    sizes = parse_sizes(asked.dimensions)
    return ImportResult(import_graph(Path(asked.path), asked.arch, sizes), asked)
