"""Whether the claims of proposed chips can hold, and how several proposals rank."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.hardware.states import State
from npusim.publish import PAGE, OutFile
from npusim.words import Language, Tell

if TYPE_CHECKING:
    from npusim.explore.evaluate.comparing import Beside
    from npusim.explore.evaluate.proposal import Proposal
    from npusim.explore.evaluate.run import Evaluation


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """What `npusim evaluate` is asked."""

    proposals: Annotated[
        Path | Sequence[Path], Argument("The proposal, or several to be ranked.", metavar="PROPOSAL.yaml...")
    ]
    _: KW_ONLY
    out: Annotated[
        Path | None, Option("Write the report to this file.", metavar="F.html", writes=OutFile({".html": PAGE}))
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of the report.")] = "en"
    software: Annotated[
        State | None,
        Option(
            "State of the software of all claims, in place of what they tell.", default="what claims tell, else open"
        ),
    ] = None
    rule: Annotated[
        str, Option("Rule by which targets earn their weights, a shipped one or a file.", metavar="NAME|FILE")
    ] = "expected-weight"
    seed: Seed = 0
    say: Tell | None = None

    @property
    def paths(self) -> list[Path]:
        """The files of the proposals."""
        told = [self.proposals] if isinstance(self.proposals, str | Path) else self.proposals
        return [Path(each) for each in told]


@dataclass(frozen=True)
class EvaluateResult:
    """beside: the evaluated proposals with their scores and ranks; manifest: what made them."""

    beside: Beside
    manifest: Answer

    @property
    def found(self) -> Evaluation:
        """The evaluation of the first proposal."""
        return self.beside.evaluations[0]

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it: of one proposal its claims, of several one entry each."""
        from npusim.explore.evaluate.comparing import beside_json

        return beside_json(self.beside)


@asked_by(EvaluateOptions)
def evaluate(asked: EvaluateOptions) -> EvaluateResult:
    """Judges every claim of proposals: prediction, probability, bounds, deciding numbers; ranks several of them.

    Raises UserError.
    """
    from npusim.api.caveats import caveats
    from npusim.explore.evaluate.comparing import compare_proposals, require_comparable
    from npusim.explore.evaluate.page import evaluation_page
    from npusim.explore.evaluate.proposal import load_proposal
    from npusim.explore.evaluate.ranking_page import ranking_page
    from npusim.explore.evaluate.scoring import load_rule
    from npusim.report.page import write_page
    from npusim.words import speaker

    rule = load_rule(asked.rule)
    proposals = [load_proposal(path) for path in asked.paths]
    require_comparable(proposals, asked.paths)
    found = [_judged(proposal, path, asked) for proposal, path in zip(proposals, asked.paths, strict=True)]
    beside = compare_proposals(found, [str(path) for path in asked.paths], rule, asked.seed)
    record = asked.manifest("evaluate")
    for each in found:
        for number in each.unmoved:
            warnings.warn(f"{each.arch}: {number.text}", stacklevel=2)
    if asked.out is not None:
        say = speaker(asked.lang)
        if len(found) == 1:
            notes = caveats(found[0].deployments[:1], asked.lang)
            page = evaluation_page(found[0], beside.scores[0], notes, record, say, asked.lang)
        else:
            page = ranking_page(beside, record, say, asked.lang)
        write_page(page, asked.out)
    return EvaluateResult(beside, record)


def _judged(proposal: Proposal, path: Path, asked: EvaluateOptions) -> Evaluation:
    from npusim.explore.evaluate.run import evaluate_proposal

    if asked.software is not None:
        claims = tuple(each.model_copy(update={"software": asked.software}) for each in proposal.claims)
        proposal = proposal.model_copy(update={"claims": claims})
    tell = asked.say or (lambda _: None)
    if len(asked.paths) > 1:
        tell(f"proposal {proposal.name}")
    return evaluate_proposal(proposal, path, asked.seed, tell)
