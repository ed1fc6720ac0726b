"""What every reader of a prediction must know: the scope of watts, what is a projection, calibration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from npusim.words import ENGLISH, Phrase, speaker

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment

_WATTS = Phrase("Watts and joules are those of the cards: no server, no wall socket.")


def caveats(deployments: Iterable[Deployment], language: str = ENGLISH, of_cards: bool = True) -> list[str]:
    """What every reader of a prediction must know: the scope of watts, what is a projection, calibration.

    of_cards: whether all watts and joules are those of the cards.
    """
    from npusim.hardware.calibration import calibration_text
    from npusim.hardware.software import software_text

    known, say = list(deployments), speaker(language)
    projections = [
        say("{title} has no measured silicon: this is a projection.", title=where.system.title)
        for where in known
        if not where.system.silicon
    ]
    software = [software_text(where.software).in_words_of(say) for where in known if where.software is not None]
    told = {
        where.system.title: calibration_text(where.calibration, where.runtime.name).in_words_of(say) for where in known
    }
    several = len(set(told.values())) > 1
    calibrations = [f"{title}: {text}." for title, text in told.items()] if several else _sentences(told.values())
    watts = [_WATTS.in_words_of(say)] if of_cards else []
    return [*watts, *projections, *dict.fromkeys(software), *calibrations]


def _sentences(texts: Iterable[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:]}." for text in dict.fromkeys(texts)]
