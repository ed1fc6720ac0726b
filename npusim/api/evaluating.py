"""Whether the claims of a proposed chip can hold."""

from __future__ import annotations

import warnings
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Given, Option, Options
from npusim.hardware.states import State
from npusim.publish import PAGE, OutFile
from npusim.words import Language, Tell

if TYPE_CHECKING:
    from npusim.explore.evaluate.run import Evaluation


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """What `npusim evaluate` is asked."""

    proposal: Annotated[Path, Argument("The proposal.", metavar="PROPOSAL.yaml")]
    _: KW_ONLY
    out: Annotated[
        Path | None, Option("Write the report to this file.", metavar="F.html", writes=OutFile({".html": PAGE}))
    ] = None
    lang: Annotated[Language, Option("Language of the report.", only_with=("out", Given))] = "en"
    software: Annotated[
        State | None,
        Option(
            "State of the software of all claims, in place of what they tell.", default="what claims tell, else open"
        ),
    ] = None
    seed: Seed = 0
    say: Tell | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """found: the judged claims; manifest: what made them."""

    found: Evaluation
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        factors = [vars(factor) | {"reason": str(factor.reason)} for factor in self.found.factors]
        unmoved = [vars(number) for number in self.found.unmoved]
        return {"claims": self.found.as_json(), "credibility": factors, "unmoved": unmoved}


@asked_by(EvaluateOptions)
def evaluate(asked: EvaluateOptions) -> EvaluateResult:
    """Judges every claim of a proposal: prediction, probability, bounds, deciding numbers. Raises UserError."""
    from npusim.api.caveats import caveats
    from npusim.explore.evaluate.page import evaluation_page
    from npusim.explore.evaluate.proposal import load_proposal
    from npusim.explore.evaluate.run import evaluate_proposal as judge
    from npusim.report.page import write_page
    from npusim.words import speaker

    path = Path(asked.proposal)
    proposal = load_proposal(path)
    if asked.software is not None:
        claims = tuple(each.model_copy(update={"software": asked.software}) for each in proposal.claims)
        proposal = proposal.model_copy(update={"claims": claims})
    found = judge(proposal, path, asked.seed, asked.say or (lambda _: None))
    record = asked.manifest("evaluate")
    for number in found.unmoved:
        warnings.warn(f"{found.arch}: {number.text}", stacklevel=2)
    if asked.out is not None:
        notes = caveats(found.deployments[:1], asked.lang)
        write_page(evaluation_page(found, notes, record, speaker(asked.lang), asked.lang), Path(asked.out))
    return EvaluateResult(found, record)
