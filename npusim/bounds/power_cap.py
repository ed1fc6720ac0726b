"""Power: mean watts of the cards are at most the limit that they enforce, and at least those of idle cards.

A limit that is only assumed makes nothing impossible: such a card may draw what it draws. What is beyond the upper end
of its range is implausible. Single samples pass a limit that holds on the mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from npusim.bounds.ceiling import Ceiling
from npusim.bounds.finding import Finding
from npusim.bounds.reading import LEAST, Reading
from npusim.words import Phrase

CAP, IDLE, DRAW = "power cap", "idle power", "assumed draw"
MEAN = "power_w_mean"


def power_cap(ceilings: tuple[Ceiling, Ceiling], chips: int, watts: Reading, meter: float) -> Iterator[Finding]:
    """Bounds on mean card watts. meter: relative margin of the sensor, counted in favour of the figure."""
    generous, usual = ceilings
    read = watts.widened(meter)
    if generous.power_w is not None and usual.power_w is not None:
        limit = generous.power_w * chips
        low, high = read.low / limit, watts.high / (usual.power_w * chips)
        says = Phrase("the {watts} W that the cards enforce", {"watts": f"{limit:,.0f}"})
        yield Finding(CAP, MEAN, low, high, says, limit * (1.0 + meter))
    idle = generous.idle_w * chips
    low, high = idle / max(read.high, LEAST), usual.idle_w * chips / max(watts.low, LEAST)
    says = Phrase(
        "its watts for idle chips alone (chips: {chips}; {watts} W)", {"chips": chips, "watts": f"{idle:,.0f}"}
    )
    yield Finding(IDLE, MEAN, low, high, says, idle * (1.0 - meter), hard=False)


def assumed_draw(generous: Ceiling, chips: int, watts: Reading, meter: float) -> Iterator[Finding]:
    """What cards draw at most whose limit is assumed: the upper end of its range."""
    if generous.assumed_w is not None:
        limit = generous.assumed_w * chips
        part = watts.widened(meter).low / limit
        says = Phrase("the {watts} W that the cards are assumed to draw at most", {"watts": f"{limit:,.0f}"})
        yield Finding(DRAW, MEAN, part, watts.high / limit, says, limit * (1.0 + meter), hard=False)
