"""How the tokens of a measured run were drafted, as its row tells it."""

from __future__ import annotations

from itertools import pairwise

from npusim.evidence.measured.case import OF_THE_RUN
from npusim.evidence.measured.placement import model_name
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.hardware.drafting import Drafting, load_drafting

_NGRAM, _DRAFT = "ngram", "draft"


def told_drafting(row: Row) -> Drafting | None:
    """By the columns draft (`ngram` or a model), drafted (tokens a step) and acceptance (chance that the first one, two
    ... are all accepted); None where nothing was drafted. Raises Unrepresentable.
    """
    who, drafted = row.text("draft"), row.size("drafted")
    if not drafted:
        return None
    together = [1.0, *(_chance(text) for text in row.text("acceptance").split())]
    if len(together) != drafted + 1:
        raise Unrepresentable(f"{drafted} tokens were drafted, but acceptance tells of {len(together) - 1}")
    if any(after > before for before, after in pairwise(together)):
        raise Unrepresentable("acceptance rises: it is the chance that all up to a token are accepted")
    chances = [after / before if before else 0.0 for before, after in pairwise(together)]
    told = [{"value": each, "kind": "measured", "source": OF_THE_RUN} for each in chances]
    model = {} if who == _NGRAM else {"model": model_name(who)}
    shipped = load_drafting(_NGRAM if who == _NGRAM else _DRAFT)
    return Drafting.model_validate(dict(shipped) | {"tokens": drafted, "acceptance": told} | model)


def _chance(text: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = -1.0
    if not 0.0 <= chance <= 1.0:
        raise Unrepresentable(f"acceptance '{text}' is no chance")
    return chance
