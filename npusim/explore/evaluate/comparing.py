"""Evaluated proposals beside each other: scores by one rule, ranks, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.explore.evaluate.answer import evaluation_json, score_json
from npusim.explore.evaluate.draws import DRAWS
from npusim.explore.evaluate.prediction import ACCEPT_FROM
from npusim.explore.evaluate.proposal import Proposal, architecture_of
from npusim.explore.evaluate.ranking import Ranked, ranked
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import BATCHES, Score, ScoringRule, score_of


@dataclass(frozen=True)
class Beside:
    """evaluations: as given; files: they were read from; scores: None where nothing of a proposal is decidable; ranks:
    None for a single proposal, and for one without a score."""

    evaluations: Sequence[Evaluation]
    files: Sequence[str]
    rule: ScoringRule
    scores: Sequence[Score | None]
    ranks: Sequence[Ranked | None]

    @property
    def order(self) -> list[int]:
        """Positions of the proposals, the first rank first, those without a rank last."""
        return sorted(range(len(self.ranks)), key=lambda at: self._place(self.ranks[at]))

    @property
    def ranked_count(self) -> int:
        """Proposals that have a rank."""
        return sum(rank is not None for rank in self.ranks)

    @property
    def undecided(self) -> bool:
        """Whether several are ranked and none is the first with the probability that acceptance asks for."""
        firsts = [rank.probability[0] for rank in self.ranks if rank is not None]
        return len(firsts) > 1 and max(firsts) < ACCEPT_FROM

    def _place(self, rank: Ranked | None) -> int:
        return len(self.ranks) + 1 if rank is None else rank.rank


def require_comparable(proposals: Sequence[Proposal], files: Sequence[Path]) -> None:
    """Raises UserError where two proposals have one name, or the architecture of one is not there."""
    names = [each.name for each in proposals]
    for position, (proposal, file) in enumerate(zip(proposals, files, strict=True)):
        if proposal.name in names[:position]:
            mend = f"'{proposal.name}' is another proposal's name too; give each its own"
            raise UserError(str(file), "name", mend)
        architecture_of(proposal, file)


def compare_proposals(evaluations: Sequence[Evaluation], files: Sequence[str], rule: ScoringRule, seed: int) -> Beside:
    """Score proposals, and rank them where there are several; files: they were read from."""
    scores = [score_of(each.items, rule) for each in evaluations]
    ranks: list[Ranked | None] = [None] * len(scores)
    known = [position for position, score in enumerate(scores) if score is not None]
    if len(evaluations) > 1 and known:
        told = [score for score in scores if score is not None]
        found = ranked(told, [evaluations[position].chip for position in known], seed)
        for position, rank in zip(known, found, strict=True):
            ranks[position] = rank
    return Beside(evaluations, files, rule, scores, ranks)


def beside_json(beside: Beside) -> dict[str, Any]:
    """Of one proposal what is said of it; of several an entry each, in the order in which they were given."""
    answers = [evaluation_json(found, score) for found, score in zip(beside.evaluations, beside.scores, strict=True)]
    rule = beside.rule.model_dump(mode="json") | {"machines": BATCHES * DRAWS}
    if len(answers) == 1:
        return {**answers[0], "rule": rule}
    proposals = [
        {
            "name": found.proposal.name,
            "title": found.proposal.title,
            "file": file,
            "weights_told": bool(found.targets),
            **answer,
            "score": None if score is None else score_json(score),
            **_rank_json(rank),
        }
        for found, file, answer, score, rank in zip(
            beside.evaluations, beside.files, answers, beside.scores, beside.ranks, strict=True
        )
    ]
    order = [beside.evaluations[position].proposal.name for position in beside.order]
    return {"proposals": proposals, "order": order, "first_decided": not beside.undecided, "rule": rule}


def _rank_json(rank: Ranked | None) -> dict[str, Any]:
    if rank is None:
        return {"rank": None, "rank_probability": [], "first": None}
    first = {"value": rank.probability[0], "low": rank.first_low, "high": rank.first_high}
    return {"rank": rank.rank, "rank_probability": list(rank.probability), "first": first}
