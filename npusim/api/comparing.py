"""What two labs measured of the same cells."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.publish import PAGE, OutFile
from npusim.words import Language

if TYPE_CHECKING:
    from npusim.lab.compare.compare import Compared


@dataclass(frozen=True)
class CompareOptions(Options):
    """What `npusim compare` is asked."""

    lab_a: Annotated[Path, Argument("What the first lab measured.", metavar="LAB_A")]
    lab_b: Annotated[Path, Argument("What the second lab measured.", metavar="LAB_B")]
    _: KW_ONLY
    coverage: Annotated[
        float, Option("Coverage factor k of expanded uncertainties.", metavar="K", least=1.0, most=4.0)
    ] = 2.0
    out: Annotated[
        Path | None,
        Option("Write the comparison to this file.", metavar="PAGE.html", writes=OutFile({".html": PAGE})),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of the page.")] = "en"


@dataclass(frozen=True)
class CompareAnswer:
    """found: pairs and what they have in common; manifest: what made them."""

    found: Compared
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return self.found.as_dict()


@asked_by(CompareOptions)
def compare(asked: CompareOptions) -> CompareAnswer:
    """Pairs of two labs' figures with their scores, and the factor between the labs. Raises UserError."""
    from npusim.lab.compare.compare import compare_labs
    from npusim.lab.compare.page import comparison_page
    from npusim.report.page import write_page
    from npusim.words import speaker

    found = compare_labs(Path(asked.lab_a), Path(asked.lab_b), asked.coverage)
    record = asked.manifest("compare")
    if asked.out is not None:
        write_page(comparison_page(found, record, speaker(asked.lang), asked.lang), asked.out)
    return CompareAnswer(found, record)
