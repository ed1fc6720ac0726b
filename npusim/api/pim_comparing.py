"""A design with its PIM units against the same board without them, and what decides the difference."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer, Json, plain_answer
from npusim.api.deploying import Arch, ModelName, Placing, Seed, conditions_of, configuration, deployed
from npusim.api.function import asked_by
from npusim.api.grids import GridCards
from npusim.api.options import Option
from npusim.inputs.limits import MOST, MOST_USERS
from npusim.publish import OutFolder

if TYPE_CHECKING:
    from npusim.explore.pim.chart import Caption
    from npusim.explore.pim.compare import PimComparison
    from npusim.mapping.deployment import Deployment


@dataclass(frozen=True)
class PimCompareOptions(Placing):
    """What `npusim pim compare` is asked."""

    arch: Arch
    model: ModelName
    _: KW_ONLY
    isl: Annotated[int, Option("Prompt tokens of every request.", metavar="I", least=1, most=MOST)] = 1024
    osl: Annotated[int, Option("Output tokens of every request.", metavar="O", least=1, most=MOST)] = 256
    concurrency: Annotated[
        int, Option("Users, each with one request in flight.", metavar="C", least=1, most=MOST_USERS)
    ] = 1
    draws: Annotated[int, Option("Boards that are drawn for the intervals.", metavar="N", least=1, most=10_000)] = 64
    out: Annotated[
        Path | None,
        Option(
            "Write a table, a chart and the answer into this folder.",
            metavar="DIR",
            writes=OutFolder(("pim-compare.csv", "pim-compare.png", "pim-compare.json")),
        ),
    ] = None
    cards: GridCards = "auto"
    seed: Seed = 0

    @property
    def load(self) -> dict[str, Json]:
        """The load as the answer gives it."""
        return {name: getattr(self, name) for name in ("isl", "osl", "concurrency", "draws")}


@dataclass(frozen=True)
class PimCompareResult:
    """answer: everything, as the command line's JSON has it; manifest: what made it."""

    deployment: Deployment
    found: PimComparison
    answer: Answer
    manifest: Answer


@asked_by(PimCompareOptions)
def pim_compare(asked: PimCompareOptions) -> PimCompareResult:
    """Tokens per second and per joule with PIM units and without; every offload policy runs. Raises UserError."""
    from npusim.explore.pim.compare import compare_pim
    from npusim.explore.pim.report import answer_of, write_comparison

    deployment = deployed(asked, asked.arch, asked.model, tokens=asked.isl + asked.osl)
    found = compare_pim(deployment, asked.isl, asked.osl, asked.concurrency, seed=asked.seed, draws=asked.draws)
    answer: dict[str, Json] = {
        "configuration": configuration(deployment),
        "conditions": conditions_of(asked, deployment),
        **asked.load,
        **answer_of(found),
        "projection": not deployment.system.silicon,
        "note": deployment.system.note,
    }
    record = asked.manifest("pim compare")
    if asked.out is not None:
        whole = plain_answer({**answer, "manifest": record})
        files = write_comparison(found, whole, _caption(deployment, asked), Path(asked.out))
        answer |= {"files": [str(file) for file in files]}
    return PimCompareResult(deployment, found, answer, record)


def _caption(deployment: Deployment, asked: PimCompareOptions) -> Caption:
    from npusim.api.deploying import configuration_text
    from npusim.explore.pim.chart import Caption

    projection = "PROJECTION of a design that does not exist in silicon"
    return Caption(
        title=configuration_text(deployment),
        load=f"prompts of {asked.isl:,} and outputs of {asked.osl:,} tokens, users: {asked.concurrency:,}",
        standing="PREDICTION, not a measurement" if deployment.system.silicon else projection,
        note=" ".join(deployment.system.note.split()),
    )
